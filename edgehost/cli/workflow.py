"""Workflows: which port leads to which, what was done for a record, and taking it back.

  edgehost workflow show                    every port that takes part, and the events between them
  edgehost workflow show delivery           of one model
  edgehost workflow show --mermaid          the picture alone, for a Mermaid viewer
  edgehost workflow history delivery ID     the steps of one record
  edgehost workflow undo delivery ID        take them back, the last one first

Taking back begins at once and goes on in the host; the history shows how far it is.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from edgehost.cli.command_table import OK
from edgehost.cli.host_config import host_client
from edgehost.cli.moments import moment
from edgehost.cli.output import Output, table
from edgehost.cli.usage import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("verb", metavar="show|history|undo", choices=("show", "history", "undo"))
    parser.add_argument("model", metavar="MODEL", nargs="?", help="a model's name")
    parser.add_argument("id", metavar="ID", nargs="?", help="a record's id")
    parser.add_argument(
        "--mermaid", action="store_true", help="show: only the picture, in Mermaid's language"
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Ask, and print."""
    if args.verb == "show":
        if args.id is not None:
            raise UsageError(f"'{args.id}' is too much: show takes one model at most.")
        _show(args, out)
        return OK
    if args.model is None or args.id is None:
        raise UsageError(f"{args.verb} needs a MODEL and an ID.")
    of = f"{quote(args.model, '')}/{quote(args.id, '')}"
    host = host_client(args)
    if args.verb == "history":
        document = host.control("GET", f"workflow-history/{of}")
    else:
        document = host.control("POST", f"workflow-undo/{of}")
    out.result(document, *_history_lines(document))
    return OK


def _show(args: argparse.Namespace, out: Output) -> None:
    query = {"model": args.model} if args.model else None
    graph = host_client(args).control("GET", "workflow", query=query)
    if args.mermaid:
        out.result(graph, graph["mermaid"])
        return
    if not graph["nodes"]:
        out.result(graph, "No live model has a port that consumes or produces an event.")
        return
    rows = [
        (
            node["port"],
            node["direction"],
            node["consumes"],
            node["produces"],
            node["undo"],
            " ".join(edge["to"] for edge in graph["edges"] if edge["from"] == node["port"]),
        )
        for node in graph["nodes"]
    ]
    out.result(graph, *table(("port", "direction", "consumes", "produces", "undo", "leads to"), rows))


def _history_lines(document: Mapping[str, Any]) -> list[str]:
    reason = f": {document['reason']}" if document["reason"] else ""
    lines = [f"{document['model']}/{document['id']} is {document['state']}{reason}"]
    rows = [
        (
            step["number"],
            step["trigger"]["port"],
            step["state"],
            step["attempts"],
            moment(step["started_at"]) if step["started_at"] else "",
            f"{step['finished_at'] - step['started_at']:.3f} s" if step["finished_at"] else "",
            moment(step["undone_at"]) if step["undone_at"] else "",
            step["trigger"]["event"],
            step["reason"],
        )
        for step in document["steps"]
    ]
    headings = ("step", "port", "state", "attempts", "began", "took", "taken back", "because of", "reason")
    return lines + table(headings, rows)
