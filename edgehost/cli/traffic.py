"""Run versions of a component beside the live one: a share of its calls for each, or copies of them.

Without an order it shows how the calls are divided and how the versions compare. A candidate must serve the same
records by the same schema. A call that a candidate fails before it has done anything is answered by the live
release. A stopped candidate is quarantined: 'edgehost deploy NAME@VERSION --lift-quarantine' lets it try again.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any, Final

from edgehost.cli.command_table import OK
from edgehost.cli.host_config import host_client
from edgehost.cli.output import Output, table
from edgehost.cli.progress import Progress
from edgehost.cli.usage import UsageError

#: A candidate may have to be fetched first, over a slow link.
_TIMEOUT_S: Final = 600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("component", metavar="NAME", help="a component")
    parser.add_argument(
        "shares",
        metavar="VERSION=WEIGHT",
        nargs="*",
        default=[],
        help="what a candidate gets, from 0 to 1: 1.2.0=0.1",
    )
    parser.add_argument(
        "--sticky", metavar="KEY", default="", help="header:NAME, id or member:PATH: keep a key"
    )
    parser.add_argument("--shadow", action="store_true", help="send copies, compare the answers, drop them")
    parser.add_argument(
        "--ignore", metavar="PATH", action="append", help="a member that may differ in a shadow"
    )
    parser.add_argument("--auto", action="store_true", help="promote or stop by the rules in edgehost.toml")
    parser.add_argument("--promote", metavar="VERSION", help="make this candidate the live release")
    parser.add_argument("--stop", metavar="VERSION", help="end this candidate's trial and quarantine it")


def run(args: argparse.Namespace, out: Output) -> int:
    """Do what was ordered, and show the division."""
    host = host_client(args)
    order = _order(args)
    path = f"traffic/{args.component}"
    if order:
        with Progress(f"dividing the calls of {args.component}", out):
            document = host.control("POST", path, body=order, timeout_s=_TIMEOUT_S)
    else:
        document = host.control("GET", path)
    out.result(document, *_lines(document))
    return OK


def _order(args: argparse.Namespace) -> dict[str, Any]:
    orders: dict[str, Any] = {"promote": args.promote, "stop": args.stop, "shares": _shares(args.shares)}
    given = {name: order for name, order in orders.items() if order}
    if len(given) > 1:
        raise UsageError("Give shares, or --promote, or --stop: one at a time.")
    options = {
        name: value
        for name, value in (
            ("sticky", args.sticky),
            ("shadow", args.shadow),
            ("auto", args.auto),
            ("ignore", args.ignore),
        )
        if value
    }
    if options and "shares" not in given:
        raise UsageError(f"--{next(iter(options))} goes with VERSION=WEIGHT.")
    return given | options


def _shares(texts: list[str]) -> dict[str, float]:
    shares = {}
    for text in texts:
        version, equals, weight = text.rpartition("=")
        try:
            shares[version] = float(weight)
        except ValueError:
            equals = ""
        if not equals or not version:
            raise UsageError(f"'{text}' is no VERSION=WEIGHT, such as 1.2.0=0.1.")
    return shares


def _lines(document: Mapping[str, Any]) -> list[str]:
    main = document["main"]
    rows = [_row(main, "live", main.get("figures"))]
    rows += [
        _row(each, "shadow" if each["shadow"] else "candidate", each["figures"])
        for each in document["candidates"]
    ]
    headings = ("version", "role", "share", "calls", "failed", "p50 ms", "p95 ms")
    lines = list(table(headings, rows))
    if document["sticky"]:
        lines.append(f"Calls stay with one version by {document['sticky']}.")
    for each in document["candidates"]:
        lines.append(f"{each['version']}: {each['decision']}: {each['reason']}")
        if each["shadow"]:
            compared = each["comparison"]
            lines.append(
                f"{each['version']}: {compared['mismatches']} of {compared['compared']} answers differ; "
                f"{compared['uncompared']} asked for an effect, {compared['skipped']} were skipped."
            )
            paths = sorted({path or "(all of it)" for sample in each["samples"] for path in sample["paths"]})
            if paths:
                lines.append(f"{each['version']}: they differ at {', '.join(paths[:10])}.")
    return lines


def _row(version: Mapping[str, Any], role: str, figures: Mapping[str, Any] | None) -> tuple[str, ...]:
    shown = ("", "", "", "")
    if figures is not None:
        shown = (
            str(figures["calls"]),
            f"{figures['error_rate']:.1%}",
            f"{figures['p50_s'] * 1000:.1f}",
            f"{figures['p95_s'] * 1000:.1f}",
        )
    return (version["version"], role, f"{version['weight']:.0%}", *shown)
