"""Bring a release of a component live: the newest one on offer, or the version that is named.

Only signed releases from a configured remote are deployed: 'edgehost publish' signs one, 'edgehost call' tries
a file without deploying it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from edgehost.cli.command_table import OK
from edgehost.cli.host_client import HostClient
from edgehost.cli.host_config import host_client
from edgehost.cli.output import Output
from edgehost.cli.progress import Progress
from edgehost.cli.usage import UsageError
from edgehost.domain.errors import NotFoundError
from edgehost.domain.names import NAME

#: A release of the largest size over a slow link; the host goes on when we stop waiting.
_TIMEOUT_S: Final = 600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("release", metavar="NAME[@VERSION]", help="a component, and which version of it")
    parser.add_argument(
        "--lift-quarantine", action="store_true", help="try a release again that has misbehaved here"
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Deploy it, and say what is live now."""
    component, version = _release(args.release)
    host = host_client(args)
    if args.lift_quarantine:
        _lift(host, component, version)
    order = {"component": component, "version": version} if version else {"component": component}
    with Progress(f"deploying {args.release}", out):
        release = host.control("POST", "deploy", body=order, timeout_s=_TIMEOUT_S)
    out.result(release, f"{release['component']} {release['version']} is {release['stage']}.")
    return OK


def _release(text: str) -> tuple[str, str]:
    component, _, version = text.partition("@")
    if text.endswith(".wasm") or "/" in text or Path(text).is_file():
        raise UsageError(
            f"'{text}' is a file, and only signed releases are deployed. Sign it: 'edgehost publish'; "
            "try it without: 'edgehost call'."
        )
    if not NAME.fullmatch(component) or (text.endswith("@")):
        raise UsageError(f"'{text}' is no NAME or NAME@VERSION.")
    return component, version


def _lift(host: HostClient, component: str, version: str) -> None:
    releases = host.control("GET", "releases", query={"component": component})["releases"]
    found = [
        release
        for release in releases
        if release["stage"] == "quarantined" and version in ("", release["version"])
    ]
    if not found:
        raise NotFoundError(f"No quarantined release of '{component}' fits.", hint="See 'edgehost history'.")
    host.control("POST", "unquarantine", body={"digest": found[-1]["digest"]})
