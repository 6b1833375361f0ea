"""Run a pipeline: components in a row, the answer of each the input of the next.

edgehost pipeline                                   those that the host's configuration describes
edgehost pipeline risk --input '{"speed": 12}'      what comes out at the end
"""

from __future__ import annotations

import argparse
import sys
from urllib.parse import quote

from edgehost.cli.command_table import OK
from edgehost.cli.host_config import host_client
from edgehost.cli.output import Output, table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("name", metavar="NAME", nargs="?", help="the pipeline; without it they are listed")
    parser.add_argument("--input", metavar="TEXT", default="", help="what its first step gets")


def run(args: argparse.Namespace, out: Output) -> int:
    """Call it, and print what came out."""
    host = host_client(args)
    if args.name is None:
        document = host.control("GET", "pipelines")
        rows = [(each["name"], " -> ".join(each["steps"]), each["on"]) for each in document["pipelines"]]
        lines = table(("name", "steps", "started by"), rows) if rows else ["There is no pipeline."]
        out.result(document, *lines)
        return OK
    answer = host.request(
        "POST", f"{host.root}/host/pipeline/{quote(args.name, '')}", content=args.input.encode()
    )
    sys.stdout.flush()
    sys.stdout.buffer.write(answer.body + (b"" if answer.body.endswith(b"\n") else b"\n"))
    sys.stdout.buffer.flush()
    return OK
