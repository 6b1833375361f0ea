"""Who has a line open, and who may open it, as far as this user may see."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
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


def way_in(path: str) -> str:
    """Who may open the line, and how to become one of them."""
    group, may = "dialout", True
    with suppress(OSError, KeyError):
        group, may = Path(path).group(), bool(Path(path).stat().st_mode & stat.S_IWGRP)
    if may and group != "root":
        return f"Add yourself to {group} (sudo usermod -aG {group} $USER) and log in again."
    return f"It is open to its owner alone: sudo chgrp dialout {path} && sudo chmod g+rw {path}, then join dialout."


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
