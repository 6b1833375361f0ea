"""Show and change what leads where: a port to an adapter, an adapter to a service, while the host runs.

Without an order it lists every port, adapter and service. A call that has begun finishes on its old way. What is
bound here outlives a restart and comes before the configuration and the component's own word; --back takes it
back. A port's target may name the service as well, for this port alone: ADAPTER:SERVICE. The built-in adapter
'direct' hands a port's arguments to the service as they are.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from edgehost.cli.command_table import OK
from edgehost.cli.host_config import host_client
from edgehost.cli.output import Output, table
from edgehost.cli.usage import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("what", metavar="WHAT", nargs="?", help="MODEL.PORT, or an adapter")
    parser.add_argument("target", metavar="TARGET", nargs="?", help="an adapter, or a service")
    parser.add_argument("--back", action="store_true", help="take the binding of WHAT back")


def run(args: argparse.Namespace, out: Output) -> int:
    """Do what was ordered, and show what leads where."""
    if args.what and bool(args.target) == args.back:
        raise UsageError("Give a target for it, or --back.")
    if args.back and not args.what:
        raise UsageError("--back needs the name of what to take back.")
    host = host_client(args)
    if args.what:
        order = {"what": args.what, "target": args.target or ""}
        document = host.control("POST", "bindings", body=order)
    else:
        document = host.control("GET", "bindings")
    out.result(document, *_lines(document))
    return OK


def _lines(document: Mapping[str, Any]) -> list[str]:
    outbound = [port for port in document["ports"] if port["direction"] == "outbound"]
    lines = table(
        ("PORT", "ADAPTER", "BY", "SERVICE", "BY", "BREAKER"),
        [
            (
                f"{port['model']}.{port['port']}",
                port["adapter"],
                port["adapter_by"],
                port["service"] or "-",
                port["service_by"],
                _breaker(port) if port["there"] else "leads nowhere",
            )
            for port in outbound
        ],
    )
    inbound = [port for port in document["ports"] if port["direction"] == "inbound"]
    if inbound:
        lines += ["", "Inbound: " + ", ".join(f"{port['model']}.{port['port']}" for port in inbound)]
    if document["services"]:
        lines.append("")
        lines += table(
            ("SERVICE", "KIND", "STATE", "FUNCTIONS"),
            [
                (
                    service["service"],
                    service["kind"],
                    f"{service['state']} {service['detail']}".strip(),
                    ", ".join(service["functions"]),
                )
                for service in document["services"]
            ],
        )
    return lines or ["No port, adapter or service is here."]


def _breaker(port: Mapping[str, Any]) -> str:
    positions = {breaker["position"] for breaker in port["breakers"].values()}
    return next((name for name in ("open", "half-open") if name in positions), "closed")
