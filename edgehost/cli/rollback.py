"""Bring the last good release of a component back, without a network: its file is still on the shelf."""

from __future__ import annotations

import argparse

from edgehost.cli.command_table import OK
from edgehost.cli.host_config import host_client
from edgehost.cli.output import Output
from edgehost.cli.progress import Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("component", metavar="NAME", help="a component")


def run(args: argparse.Namespace, out: Output) -> int:
    """Roll back, and say what is live now."""
    host = host_client(args)
    with Progress(f"rolling {args.component} back", out):
        release = host.control("POST", "rollback", body={"component": args.component})
    out.result(release, f"{release['component']} {release['version']} is {release['stage']}.")
    return OK
