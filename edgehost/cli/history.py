"""What became of each release that this host has met: where it stands, since when, and why."""

from __future__ import annotations

import argparse

from edgehost.cli.command_table import OK
from edgehost.cli.host_config import host_client
from edgehost.cli.moments import moment
from edgehost.cli.output import Output, size, table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("component", metavar="NAME", nargs="?", help="only this component")


def run(args: argparse.Namespace, out: Output) -> int:
    """The ledger, oldest first."""
    query = {"component": args.component} if args.component else None
    document = host_client(args).control("GET", "releases", query=query)
    rows = [
        (
            release["component"],
            release["version"],
            release["stage"],
            moment(release["changed_at"]),
            release["sequence"],
            size(release["size_bytes"]),
            "-" if release.get("written_bytes") is None else size(release["written_bytes"]),
            release["digest"][:12],
            release["reason"],
        )
        for release in document["releases"]
    ]
    headings = ("component", "version", "stage", "since", "seq", "size", "written", "sha256", "reason")
    out.result(document, *(table(headings, rows) if rows else ["No release has arrived yet."]))
    return OK
