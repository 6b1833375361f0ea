"""What runs on this host and how it is: the host itself, what is live, its remotes."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from edgehost.cli.command_table import OK
from edgehost.cli.host_client import HostClient
from edgehost.cli.host_config import host_client
from edgehost.cli.moments import moment, span
from edgehost.cli.output import Output, size, table
from edgehost.cli.progress import Progress

#: A broker that is away is known to be away within a few seconds.
_LOOK_S: Final = 10.0
_KNOCK_S: Final = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("--refresh", action="store_true", help="look at the remotes first")


def run(args: argparse.Namespace, out: Output) -> int:
    """Ask, and print."""
    host = host_client(args)
    if args.refresh:
        with Progress("looking at the remotes", out):
            _wait_for_news(host)
    status = host.control("GET", "status")
    out.result(status, *_lines(status))
    return OK


def _wait_for_news(host: HostClient) -> None:
    """Have the host look at its remotes, and wait until it has, or has given up on one."""
    before = host.control("POST", "refresh")
    give_up_at = time.monotonic() + _LOOK_S
    while time.monotonic() < give_up_at:
        remotes = host.control("GET", "status")["remotes"]
        if all(remote != before.get(remote["name"]) for remote in remotes):
            return
        time.sleep(_KNOCK_S)


def _lines(status: Mapping[str, Any]) -> Iterator[str]:
    """Scalars as they come, lists of objects as tables: the host may say more than this version knows."""
    for name, value in status.items():
        if not isinstance(value, dict | list):
            yield f"{_title(name):<16} {_cell(name, value)}"
    for name, value in status.items():
        rows = list(value.values()) if isinstance(value, dict) and _all_objects(value.values()) else value
        if isinstance(rows, list) and _all_objects(rows):
            yield ""
            yield f"{_title(name)}:" if rows else f"{_title(name)}: none"
            if rows:
                yield from (f"  {line}" for line in object_table(rows))
        elif isinstance(value, dict) and value and set(value.values()) == {"on"}:
            yield ""
            yield f"{_title(name)}: all on ({', '.join(map(_title, value))})"
        elif isinstance(value, dict):
            yield ""
            yield f"{_title(name)}:"
            for key, item in value.items():
                yield f"  {_title(key):<16} {_cell(key, item)}"
        elif isinstance(value, list):
            yield f"{_title(name):<16} {', '.join(map(str, value)) or 'none'}"


def object_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Objects as a table, one column a key."""
    headings = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[_cell(key, row.get(key, "")) for key in headings] for row in rows]
    return table([_title(key) for key in headings], cells)


def _all_objects(values: Any) -> bool:  # noqa: ANN401 - whatever the host sent
    return all(isinstance(value, dict) for value in values)


def _title(key: str) -> str:
    for unit in ("_at", "_s", "_bytes"):
        key = key.removesuffix(unit)
    return key.replace("_", " ")


def _cell(key: str, value: object) -> str:
    """The value by the unit that its key names."""
    if key in {"now", "since"} or key.endswith(("_at", "_until", "_since")):
        return moment(value)
    if key.endswith("_bytes") and isinstance(value, int):
        return size(value)
    if key.endswith("_s"):
        return span(value)
    if key == "digest":
        return str(value)[:12]
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value in (None, "") else str(value)
