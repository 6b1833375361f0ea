"""Bootloaders and probes that show themselves as a USB drive: finding it, copying to it, noticing that it has gone."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edgehost.adapters.boards.flash_run import FlashRun
from edgehost.domain.errors import DeviceError, LineDeniedError, LineLostError, NoLineError, NoSyncError
from edgehost.domain.flashing import BoardState, Phase

#: Where desktops, udisks and people mount drives.
ROOTS: Final = (Path("/media"), Path("/run/media"), Path("/mnt"))
_DEPTH: Final = 3  # /run/media/USER/DRIVE
_MOST_FOLDERS: Final = 256
_MOST_NOTE: Final = 4096
_CHUNK: Final = 32 * 1024
_SECTOR: Final = 512
_LOOK_S: Final = 0.25
_APPEAR_LOOKS: Final = 60
_GO_LOOKS: Final = 40
#: A host without a desktop mounts no drive by itself.
_MOUNT: Final = "A drive that 'lsblk' shows and nobody has mounted: {how}, and --line {folder}."
_MOUNT_IT: Final = "sudo mount -o uid=$(id -u) /dev/NAME {folder}"

Pause = Callable[[float], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Drive:
    """A mounted drive and what its note says: keys in lower case."""

    folder: Path
    note: Path
    facts: dict[str, str] = field(default_factory=dict)


def drives(roots: Iterable[Path], notes: tuple[str, ...]) -> list[Drive]:
    """Drives below the folders, or the folders themselves, that have such a note; blocks."""
    found: dict[Path, Drive] = {}
    for folder in _folders(roots):
        for name in notes:
            note = folder / name
            if (text := read_note(note)) and folder not in found:
                facts = (line.partition(":") for line in text.splitlines())
                found[folder] = Drive(folder, note, {k.strip().lower(): v.strip() for k, _, v in facts if v})
    return [found[folder] for folder in sorted(found)]


def read_note(path: Path) -> str:
    """The beginning of a text file; "" when there is none. A link is none: what it leads to is not the drive's."""
    try:
        # A named pipe would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as note:
            return note.read(_MOST_NOTE).decode("utf-8", "replace")
    except OSError:
        return ""


def _folders(roots: Iterable[Path]) -> list[Path]:
    level, seen = [root for root in roots if root.is_dir()], list[Path]()
    for _ in range(_DEPTH):
        seen += level
        level = [inner for folder in level for inner in _inner(folder)][: _MOST_FOLDERS - len(seen)]
    return seen


def _inner(folder: Path) -> list[Path]:
    try:
        return sorted(Path(each.path) for each in os.scandir(folder) if each.is_dir(follow_symlinks=False))
    except OSError:
        return []


async def the_drive(
    roots: Iterable[Path], notes: tuple[str, ...], *, looks: int, pause: Pause, hint: str, kind: str
) -> Drive:
    """The one that is there, waiting for it for a while.

    Raises:
        NoSyncError: there is none.
        NoLineError: there are several.
    """
    roots = tuple(roots)
    for look in range(max(1, looks)):
        if look:
            await pause(_LOOK_S)
        found = await asyncio.to_thread(drives, roots, notes)
        if len(found) > 1:
            raise NoLineError(
                f"There are several such drives: {', '.join(str(each.folder) for each in found)}.",
                hint="Name one of them as --line.",
            )
        if found:
            return found[0]
    places = ", ".join(map(str, roots))
    unmounted = _MOUNT.format(how=_MOUNT_IT.format(folder="/mnt"), folder="/mnt")
    raise NoSyncError(f"There is no drive of {kind} below {places}.", hint=f"{hint} {unmounted}")


def looks_after_touch() -> int:
    """How often to look for a drive that is about to appear."""
    return _APPEAR_LOOKS


async def copy(run: FlashRun, drive: Drive, name: str, data: bytes) -> None:
    """Write the file, each piece through to the drive; a drive that goes with the last piece has all of it.

    Raises:
        LineDeniedError: this user may not write there, or nobody may.
        LineLostError: it went before that, or is full.
    """
    run.tell(Phase.WRITE, 0, len(data))
    done = 0
    try:
        descriptor = await asyncio.to_thread(_opened, drive.folder / name)
        try:
            for end in _ends(len(data)):
                run.state = BoardState.PARTIAL
                await asyncio.to_thread(_write, descriptor, data[done:end])
                done = end
                if done < len(data) and not await _is_there(drive):
                    raise FileNotFoundError
                run.tell(Phase.WRITE, done, len(data))
        finally:
            await asyncio.shield(asyncio.to_thread(_close, descriptor))
    except OSError as problem:
        if done + _SECTOR < len(data) or await _is_there(drive):
            raise _untaken(drive, problem, done, len(data)) from None
        run.tell(Phase.WRITE, len(data), len(data))
    run.state = BoardState.WRITTEN


def _untaken(drive: Drive, problem: OSError, done: int, size: int) -> DeviceError:
    folder = drive.folder
    if problem.errno == errno.EROFS:
        return LineDeniedError(
            f"The drive {folder} is mounted read-only.",
            hint=f"Plug the board in again, in its bootloader; or: sudo mount -o remount,rw {folder}.",
        )
    if problem.errno in (errno.EACCES, errno.EPERM):
        again = _MOUNT_IT.format(folder=folder)
        return LineDeniedError(
            f"This user may not write to the drive {folder}.",
            hint=f"Mount it for yourself: sudo umount {folder} && {again}.",
        )
    hint = "Plug the board in again, in its bootloader, and flash again."
    if problem.errno == errno.ENOSPC:
        hint = f"Is {folder} the bootloader's drive, and is nothing else on it? {hint}"
    why = problem.strerror or "it is gone"
    return LineLostError(f"The drive {folder} took {done} of {size} bytes ({why}).", hint=hint)


async def gone(drive: Drive, pause: Pause) -> bool:
    """Whether the drive goes within ten seconds, as it does when its board restarts."""
    for _ in range(_GO_LOOKS):
        if not await _is_there(drive):
            return True
        await pause(_LOOK_S)
    return False


async def _is_there(drive: Drive) -> bool:
    return await asyncio.to_thread(os.path.exists, drive.note)


def _ends(size: int) -> list[int]:
    """Where pieces end. The last sector is one of its own: a board that restarts takes no more than that from us."""
    last = max(0, size - _SECTOR)
    return [*range(_CHUNK, last, _CHUNK), *([last] if last else []), size]


def _opened(path: Path) -> int:
    # A stick that plays a drive must not lead us to another file of this machine.
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)


def _write(descriptor: int, piece: bytes) -> None:
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    os.fsync(descriptor)


def _close(descriptor: int) -> None:
    try:
        os.close(descriptor)
    except OSError:  # the drive is gone; whether that is good was decided where it was written
        return
