"""The few calls that change files, in one place, so that a test can fail, tear or forget any of them."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import ClassVar, Final
from weakref import WeakValueDictionary

from edgehost.adapters.storage.plain_file import NotPlainError, plain_descriptor
from edgehost.domain.disk_room import READ_ONLY_HINT
from edgehost.domain.errors import StorageFullError, UnavailableError

#: The process or the machine has too much open; the disk and what is on it are as they should be.
SHORT_ERRNOS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
#: No room for these bytes: the disk, a quota, or the size limit of the process.
FULL_ERRNOS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_FILE_MODE: Final = 0o600
_FOLDER_MODE: Final = 0o700

#: Who writes a path now.
_TURNS: Final[WeakValueDictionary[Path, threading.Lock]] = WeakValueDictionary()
_ONE_LOOK: Final = threading.Lock()


class Disk:
    """The operating system's own calls. Every method may raise OSError and then has changed what it could."""

    #: Nothing is ever written through it.
    reads_only: ClassVar[bool] = False

    def make_folder(self, folder: Path) -> None:
        """Make the folder and those above it; durable once the folder above is synced."""
        if folder.is_dir():
            return
        folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        self.sync_folder(folder.parent)

    def open(self, path: Path, *, empty: bool = False) -> int:
        """A file descriptor for reading and writing; the file is made when it is not there.

        Raises:
            NotPlainError: a pipe or a device is there; it was not written to.
        """
        flags = os.O_RDWR | os.O_CREAT | (os.O_TRUNC if empty else 0)
        return plain_descriptor(path, flags, _FILE_MODE)

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        """All of the bytes, at this offset."""
        view = memoryview(data)
        while view:
            written = os.pwrite(descriptor, view, offset)
            view, offset = view[written:], offset + written

    def sync(self, descriptor: int) -> None:
        """Wait until the file's bytes and its size are on the medium."""
        os.fdatasync(descriptor) if hasattr(os, "fdatasync") else os.fsync(descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut the file off at this size."""
        os.ftruncate(descriptor, size)

    def close(self, descriptor: int) -> None:
        """Give the descriptor back."""
        os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Put a file in another's place; durable once the folder is synced."""
        source.replace(target)

    def remove(self, path: Path) -> None:
        """Unlink a file that may already be gone."""
        path.unlink(missing_ok=True)

    def sync_folder(self, folder: Path) -> None:
        """Wait until names made, renamed or removed in the folder are on the medium."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_whole_file(disk: Disk, path: Path, content: bytes) -> None:
    """Write a file so that a crash at any instant leaves the old content or the new.

    Writers of one path come one after another: a task that was cancelled leaves its thread at work, and the next
    write must neither meet it in the same temporary file nor be overtaken by it.
    """
    with _turn_of(path):
        _write_whole(disk, path, content)


def _turn_of(path: Path) -> threading.Lock:
    with _ONE_LOOK:
        return _TURNS.setdefault(path, threading.Lock())


def _write_whole(disk: Disk, path: Path, content: bytes) -> None:
    temporary = path.with_name(path.name + ".tmp")
    try:
        descriptor = disk.open(temporary, empty=True)
        try:
            disk.write(descriptor, content, 0)
            disk.sync(descriptor)
        finally:
            disk.close(descriptor)
        disk.rename(temporary, path)
        disk.sync_folder(path.parent)
    except OSError:
        remove_quietly(disk, temporary)
        raise


def remove_quietly(disk: Disk, path: Path) -> None:
    """Remove what a failed write left behind, as far as the disk lets us."""
    try:
        disk.remove(path)
    except OSError:
        return  # the error that brought us here is the one to report; the file is removed at the next start


def storage_error(error: OSError, path: Path) -> UnavailableError:
    """What an operating system error means for whoever asked for the write."""
    if error.errno in FULL_ERRNOS:
        return StorageFullError(
            f"There is no room on the disk for {path.name}; nothing was changed.",
            hint="Free some space, or lower the retention of records and releases; then try again.",
        )
    if error.errno in SHORT_ERRNOS:
        return UnavailableError(
            f"{path.name} cannot be opened now ({error.strerror}).",
            hint="Raise the limit of open files ('ulimit -n', or LimitNOFILE of the service), or give more memory.",
        )
    if isinstance(error, NotPlainError):
        return UnavailableError(
            f"{error.filename} is a pipe, a device or a folder; a file of the host belongs there.",
            hint="Move it away ('mv'), put a copy of the file back if there is one, and try again.",
        )
    if error.errno == errno.EROFS:
        return UnavailableError(
            f"The disk did not take {path.name}: it is read-only; nothing was changed.", hint=READ_ONLY_HINT
        )
    return UnavailableError(
        f"The disk did not take {path.name} ({error.strerror or error}); nothing was changed.",
        hint="Look at 'dmesg' for errors of the medium, and at the file's owner and mode.",
    )
