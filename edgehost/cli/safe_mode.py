"""Turn safe mode on or off: in it the host runs without its components, and can still be reached.

A host enters it by itself after three starts in a row that ended uncleanly before it was well, and leaves it by itself
when a new configuration or release arrives, or after an hour, doubled each time.
"""

from __future__ import annotations

import argparse

from edgehost.cli.command_table import OK
from edgehost.cli.host_config import own_host
from edgehost.cli.output import Output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("state", choices=("on", "off"), help="'edgehost run --safe' starts in it")


def run(args: argparse.Namespace, out: Output) -> int:
    """Ask the running host, which restarts in place."""
    own_host(args).control("POST", "safe-mode", body={"state": args.state})
    out.result({"safe_mode": args.state == "on"}, f"Safe mode is {args.state}; the host restarts.")
    return OK
