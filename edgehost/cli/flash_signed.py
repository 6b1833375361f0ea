"""Flashes signed firmware through the running host, which has the trust and the line."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any, Final

from edgehost.cli.command_table import OK
from edgehost.cli.flash_progress import FlashView
from edgehost.cli.host_client import HostClient, error_named
from edgehost.cli.host_config import host_client
from edgehost.cli.output import Output
from edgehost.cli.usage import UsageError
from edgehost.domain.errors import DeviceError
from edgehost.domain.flashing import FlashProgress, Phase

_WAIT_S: Final = 20
#: A remote that is slow may take its time over an image of some megabytes.
_FETCH_S: Final = 600.0


def flash_signed(args: argparse.Namespace, out: Output) -> int:
    """Order it, follow it, and say how it went."""
    if args.boards is not None:
        raise UsageError("--boards is for files; the host has its own: [boards] folder in its configuration")
    host = host_client(args)
    name, _, version = args.firmware.partition("@")
    order = {
        "board": args.board,
        "firmware": name,
        "version": version,
        "line": args.line,
        "baud": args.baud,
        "verify": not args.no_verify,
        "erase_all": args.erase_all,
        "tool": args.tool,
        "dry_run": args.dry_run,
    }
    view = FlashView(out)
    flash = host.control("POST", "flash", body=order, timeout_s=_FETCH_S)
    view.plan(flash["plan"])
    if args.dry_run:
        view.note("Nothing was touched: this was a dry run.")
        return OK
    with view:
        try:
            flash = _followed(host, flash, view)
        except KeyboardInterrupt:
            view.note(
                f"The host flashes on. 'edgehost get /api/host/flash-state/{flash['flash']}' shows how it is."
            )
            raise
    if problem := flash["problem"]:
        error = error_named(problem["code"], problem["message"], problem["hint"])
        if isinstance(error, DeviceError):
            error.state = problem["board_state"]
        view.failed(problem["board_state"])
        raise error
    view.done(flash["outcome"])
    return OK


def _followed(host: HostClient, flash: Mapping[str, Any], view: FlashView) -> Mapping[str, Any]:
    """The flash once it is over; whoever stops following does not stop it."""
    while flash["state"] == "running":
        if progress := flash["progress"]:
            view.report(FlashProgress(**{**progress, "phase": Phase(progress["phase"])}))
        query = {"seen": flash["turn"], "wait_s": _WAIT_S}
        flash = host.control("GET", f"flash-state/{flash['flash']}", query=query)
    return flash
