"""Where the host's Unix socket is when its own place cannot be written: in a folder of memory, found by that place.

What a host must remember between two processes of one boot of the machine has such a folder too.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

#: In memory on every usual machine, whatever the card does.
_PLACES: Final = (Path("/run"), Path("/dev/shm"), Path("/tmp"))  # noqa: S108 - a folder of our own in it, and checked
_MODE: Final = 0o700
_NAME: Final = "edgehost.sock"
_HASH_CHARS: Final = 16


def spare_socket(wanted: Path, refused: Path) -> Path:
    """The wanted place when it can be written, else one in memory, in a folder that only this user can enter.

    ``refused``: a folder whose disk takes nothing, whatever its permissions say. The wanted place too when there is
    none in memory: whoever binds to it says what is wrong.
    """
    if os.access(wanted.parent, os.W_OK | os.X_OK) and not _share_a_disk(wanted.parent, refused):
        return wanted
    folder = spare_folder(wanted)
    return wanted if folder is None else folder / _NAME


def spare_folder(wanted: Path) -> Path | None:
    """A folder in memory that stands for this path, and that only this user can enter; None when there is no memory."""
    for folder in _folders(wanted, os.geteuid()):
        try:
            folder.mkdir(mode=_MODE, exist_ok=True)
        except OSError:
            continue
        if _is_own(folder, os.geteuid()):
            return folder
    return None


def spare_sockets(wanted: Path) -> Iterator[Path]:
    """Where a host of this user may be instead of at the wanted place; root finds those of the place's owner too."""
    users = [os.geteuid()]
    if users == [0]:
        for path in (wanted.parent, wanted.parent.parent):
            with suppress(OSError):  # not made, or out of reach
                users.append(path.stat().st_uid)
    for user in dict.fromkeys(users):
        yield from (folder / _NAME for folder in _folders(wanted, user) if _is_own(folder, user))


def _folders(wanted: Path, user: int) -> Iterator[Path]:
    digest = hashlib.sha256(os.fsencode(wanted)).hexdigest()[:_HASH_CHARS]
    return (place / f"edgehost-{user}-{digest}" for place in _PLACES)


def _share_a_disk(one: Path, other: Path) -> bool:
    try:
        return one.stat().st_dev == other.stat().st_dev
    except OSError:
        return False


def _is_own(folder: Path, user: int) -> bool:
    """Whether it is a folder that this user made, and nobody else can put anything into."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & 0o077
