"""Follow what happens on the host, one line an event: records, releases, remotes, what components log and say.

Ends with Ctrl-C, after --count events, or with the host.
"""

from __future__ import annotations

import argparse
import json
from typing import Any, Final

from edgehost.cli.command_table import OK
from edgehost.cli.host_config import host_client
from edgehost.cli.output import Output

_WIDTH: Final = 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument(
        "--model", metavar="NAME", action="append", default=[], help="records of this model only"
    )
    parser.add_argument(
        "--type",
        metavar="TYPE",
        action="append",
        default=[],
        help="events of this type only, such as edgehost.release.moved; 'edgehost.record.*' takes a family",
    )
    parser.add_argument("--count", metavar="N", type=int, help="stop after so many")


def run(args: argparse.Namespace, out: Output) -> int:
    """Print events as they come."""
    host = host_client(args)
    query = [("model", name) for name in args.model] + [("type", kind) for kind in args.type]
    left = args.count
    with host.events(f"{host.root}/events", query=query) as events:
        for event in events:
            document: dict[str, Any] = json.loads(event.data)
            out.item(document, event_line(document))
            left = None if left is None else left - 1
            if left is not None and left <= 0:
                return OK
    out.note("edgehost: the host has ended the stream.")
    return OK


def event_line(event: dict[str, Any]) -> str:
    """The event for people: time, kind, subject, and what it carries."""
    kind = str(event.get("type", "")).removeprefix("edgehost.")
    details = json.dumps(event.get("data", {}), ensure_ascii=False)
    return f"{event.get('time', '')}  {kind:<16}  {event.get('subject', ''):<{_WIDTH}}  {details}"
