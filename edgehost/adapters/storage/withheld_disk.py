"""A disk that is read and not written: what cannot be kept is refused by whoever asked for it, never lost later."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import ClassVar, Final

from edgehost.adapters.storage.metered_disk import MeteredDisk
from edgehost.adapters.storage.plain_file import plain_descriptor

#: What is held open in place of a file that is not there.
_NOTHING: Final = Path(os.devnull)
#: What a host cannot run without writing to, below its data folder. Others may be others' (``lost+found`` is).
_FOLDERS: Final = ("config", "records", "releases", "releases/files", "flows")
#: Written where they lie; all other files are replaced, which their folder allows or not.
_IN_PLACE: Final = ("lock", "*.journal")


class WithheldDisk(MeteredDisk):
    """Every change fails with ``refusal``, an errno, also once the medium would take it: stores are opened anew then."""

    reads_only: ClassVar[bool] = True

    def __init__(self, refusal: int) -> None:
        super().__init__()
        self._refusal = refusal

    def make_folder(self, folder: Path) -> None:
        """A folder that is not there has nothing in it, which is no error until something is written."""

    def open(self, path: Path, *, empty: bool = False) -> int:
        """A descriptor for reading; of nothing when the file is not there."""
        if not empty:
            try:
                return plain_descriptor(path, os.O_RDONLY)
            except FileNotFoundError:
                pass
        return os.open(_NOTHING, os.O_RDONLY | os.O_CLOEXEC)

    def write(self, descriptor: int, data: bytes, offset: int) -> None:  # noqa: ARG002 - as in Disk
        """Refused."""
        raise self._refused()

    def sync(self, descriptor: int) -> None:
        """Nothing waits to be written."""

    def truncate(self, descriptor: int, size: int) -> None:  # noqa: ARG002 - as in Disk
        """Refused."""
        raise self._refused()

    def rename(self, source: Path, target: Path) -> None:  # noqa: ARG002 - as in Disk
        """Refused."""
        raise self._refused()

    def remove(self, path: Path) -> None:  # noqa: ARG002 - as in Disk
        """Refused."""
        raise self._refused()

    def sync_folder(self, folder: Path) -> None:
        """Nothing waits to be written."""

    def _refused(self) -> OSError:
        return OSError(self._refusal, os.strerror(self._refusal))


def refusal_to_write(data: Path) -> tuple[int, Path] | None:
    """The errno with which a host would be refused to write to its data folder, and where; None when it would not.

    Asks for flags and permissions, and writes nothing. A folder that is not there is asked for where it would be made.

    Raises:
        OSError: it is out of reach.
    """
    existing = data
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        return None  # whoever makes the folder says what is in the way
    if existing == data and not _may(data, os.R_OK | os.X_OK):
        return None  # it cannot even be read: whoever locks it says so
    for folder in (existing, *(data / name for name in _FOLDERS)):
        if not folder.is_dir():
            continue
        if not _may(folder, os.R_OK | os.W_OK | os.X_OK):
            return _errno_of(folder), folder
        for file in (path for pattern in _IN_PLACE for path in folder.glob(pattern)):
            if not _may(file, os.R_OK | os.W_OK) and file.exists():  # a journal ends when the next one begins
                return _errno_of(file), file
    return None


def _may(path: Path, how: int) -> bool:
    # The call that asks for the effective user is refused in containers whose filter of system calls is older than it.
    is_another = (os.geteuid(), os.getegid()) != (os.getuid(), os.getgid())
    return os.access(path, how, effective_ids=is_another and os.access in os.supports_effective_ids)


def _errno_of(path: Path) -> int:
    return errno.EROFS if os.statvfs(path).f_flag & os.ST_RDONLY else errno.EACCES
