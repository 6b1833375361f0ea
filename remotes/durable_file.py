"""Files that are old or new after a crash, never half of each."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from edgehost.domain.errors import StorageFullError
from remotes.write_count import WRITTEN

_PREFIX: Final = ".new-"


def drop_leftovers(folder: Path) -> None:
    """Remove what a killed writer left half-written; for folders that have one writer, before it writes."""
    for file in folder.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            file.unlink()


def write_durably(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Replace the file and return once both it and its name are on the disk.

    Raises:
        StorageFullError: disk or quota; the old file is still there.
    """
    replace(path, content, mode=mode, sync=True)


def replace(path: Path, content: bytes, *, mode: int = 0o644, sync: bool) -> None:
    """Replace the file at once; ``sync=False`` is for content that carries its own digest."""
    with fresh_file(path, mode=mode, sync=sync) as file:
        file.write(content)


@contextlib.contextmanager
def fresh_file(path: Path, *, mode: int = 0o644, sync: bool = True) -> Iterator[BinaryIO]:
    """A file to write to that takes the place of ``path`` at the end of the block, whole and on the disk.

    Raises:
        StorageFullError: disk or quota; the old file is still there.
    """
    with storage_errors():
        try:
            descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=_PREFIX)
        except OSError as error:
            error.filename = str(path)  # what somebody asked for, not the name that it has for a moment
            raise
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), mode)
                yield file
                file.flush()
                WRITTEN.add(os.fstat(file.fileno()).st_size)
                if sync:
                    os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise
        if sync:
            _sync_folder(path.parent)


def read_bounded(path: Path, most_bytes: int) -> bytes | None:
    """The file's bytes; None when there is none, it is no plain file, or it is longer."""
    try:
        descriptor = open_plain_file(path)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        try:
            content = file.read(most_bytes + 1)
        except OSError:
            return None
    return content if len(content) <= most_bytes else None


def open_plain_file(path: Path) -> int:
    """A descriptor for reading.

    Raises:
        OSError: it cannot be opened, or is a folder, a pipe or a device.
    """
    # Without O_NONBLOCK the open of a named pipe would wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "It is not a plain file", str(path))


@contextlib.contextmanager
def storage_errors() -> Iterator[None]:
    """Turn a full disk into the error that says so."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise StorageFullError(
                f"{error.filename or 'The disk'}: {error.strerror}.", hint="Free some space, then try again."
            ) from error
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
