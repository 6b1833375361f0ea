"""What components logged: the last lines that the host remembers and, with -f, every new one."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from edgehost.cli.command_table import OK
from edgehost.cli.host_client import HostClient
from edgehost.cli.host_config import host_client
from edgehost.cli.moments import moment
from edgehost.cli.output import Output
from edgehost.domain.events import EventsDropped, GuestLogged


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("component", metavar="NAME", nargs="?", help="only this component")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until Ctrl-C")


def run(args: argparse.Namespace, out: Output) -> int:
    """Print the lines."""
    host = host_client(args)
    if not args.follow:
        if not _show_remembered(host, args.component, out):
            out.note("Nothing was logged" + (f" by '{args.component}'." if args.component else "."))
        return OK
    query = [("type", GuestLogged.type), ("type", EventsDropped.type)]
    with host.events(f"{host.root}/events", query=query) as events:
        last = _show_remembered(host, args.component, out)
        for event in events:
            line = json.loads(event.data)["data"]
            if event.type == EventsDropped.type:
                out.note(f"edgehost: {line['count']} lines came too fast and were dropped.")
            elif args.component in (None, line["component"]) and _key(line) not in last:
                _show(line, out)
    out.note("edgehost: the host has ended the stream.")
    return OK


def _show_remembered(host: HostClient, component: str | None, out: Output) -> set[tuple[object, ...]]:
    """Print what the host remembers; names its lines, since the stream was opened before and may repeat some."""
    lines = host.control("GET", "logs", query={"component": component} if component else None)["lines"]
    for line in lines:
        _show(line, out)
    return {_key(line) for line in lines}


def _key(line: Mapping[str, Any]) -> tuple[object, ...]:
    return line.get("at"), line["component"], line["message"]


def _show(line: Mapping[str, Any], out: Output) -> None:
    out.item(line, f"{moment(line.get('at'))}  {line['component']}  {line['level']:<7}  {line['message']}")
