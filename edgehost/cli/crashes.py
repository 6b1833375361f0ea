"""How the host's last unhappy ends came about: errors, fatal signals, kills for memory, power cuts.

Works with and without a running host.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgehost.cli.command_table import OK
from edgehost.cli.host_config import config_path
from edgehost.cli.moments import moment
from edgehost.cli.output import Output, table
from edgehost.domain.errors import NotFoundError

if TYPE_CHECKING:
    from edgehost.adapters.storage.life_files import CrashFolder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("number", type=int, nargs="?", help="the whole report with this number")
    parser.add_argument("--clear", action="store_true", help="forget them, once they have been looked at")


def run(args: argparse.Namespace, out: Output) -> int:
    """Print the reports."""
    if args.clear:
        count = _folder(args).clear()
        out.result({"cleared": count}, f"Crash reports forgotten: {count}.")
        return OK
    reports = crash_documents(args)
    if args.number is not None:
        found = next((each for each in reports if each["number"] == args.number), None)
        if found is None:
            raise NotFoundError(
                f"There is no crash report {args.number}.", hint="'edgehost crashes' lists them."
            )
        out.result(found, *(f"{name:<12} {value}" for name, value in found.items() if name != "detail"))
        if found["detail"] and not out.as_json:
            out.result({}, "", *found["detail"].splitlines())
        return OK
    rows = [
        (
            each["number"],
            moment(each["at"]),
            each["kind"],
            "yes" if each["was_well"] else "no",
            each["generation"],
            each["reason"][:200],
        )
        for each in reports
    ]
    headings = ("number", "noticed", "kind", "was well", "configuration", "reason")
    out.result({"crashes": reports}, *(table(headings, rows) if rows else ["No crash report is kept."]))
    if _has_fallen(args):
        out.note(
            "Its last run did not end in order, and it was not started since: the next start writes the report."
        )
    return OK


def crash_documents(args: argparse.Namespace) -> list[dict[str, Any]]:
    """The reports in the host's data folder, oldest first."""
    return [each.document() for each in _folder(args).all()]


def _has_fallen(args: argparse.Namespace) -> bool:
    """Whether the host is down and never said that it ends, which nobody has looked into yet."""
    from edgehost.adapters.storage.life_files import BootRecordFile  # noqa: PLC0415 - not for --help
    from edgehost.composition.life_opening import machine_boot  # noqa: PLC0415 - as above

    record = BootRecordFile(_folder(args).folder.parent / "config" / "boot.json").load()
    if not record.running or record.reported:
        return False
    return record.machine_boot != machine_boot() or not Path(f"/proc/{record.pid}").exists()


def _folder(args: argparse.Namespace) -> CrashFolder:
    from edgehost.adapters.storage.life_files import CrashFolder  # noqa: PLC0415 - not for --help
    from edgehost.composition.life_opening import data_folder  # noqa: PLC0415 - as above
    from edgehost.config import read_config_file  # noqa: PLC0415 - as above

    path = config_path(args).absolute()
    return CrashFolder(data_folder(read_config_file(path), path) / "crashes")
