"""Which processes have a line open, as far as this user may see."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_MOST: Final = 4


def holders_of(path: str, *, with_self: bool) -> tuple[str, ...]:
    """``name (process 123)`` of those that have the path open; blocks for the time of a look through /proc."""
    found: list[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        own = process.name == str(os.getpid())
        if (own and not with_self) or not _has_open(process, path):
            continue
        found.append("this program itself" if own else f"{_name_of(process)} (process {process.name})")
        if len(found) == _MOST:
            break
    return tuple(found)


def _has_open(process: Path, path: str) -> bool:
    try:
        return any(str(link.readlink()) == path for link in (process / "fd").iterdir())
    except OSError:  # of another user, or gone
        return False


def _name_of(process: Path) -> str:
    try:
        return (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "a program"
