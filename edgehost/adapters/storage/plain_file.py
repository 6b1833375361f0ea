"""Opens files that lie in the host's own folders, whatever has come to lie in their place."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO, Final

#: What the kernel says of a folder that is to be written, and of a socket.
_NOT_PLAIN_ERRNOS: Final = frozenset({errno.EISDIR, errno.ENXIO})


class NotPlainError(OSError):
    """A folder, a pipe, a socket or a device has come to lie where a file belongs."""

    def __init__(self, path: Path) -> None:
        super().__init__(errno.EINVAL, "it is no plain file", str(path))


def plain_descriptor(path: Path, flags: int, mode: int = 0) -> int:
    """The descriptor of a plain file, opened at once whatever lies there.

    Raises:
        NotPlainError: it is no plain file.
        OSError: it cannot be opened.
    """
    try:
        # Without O_NONBLOCK the open of a named pipe would wait for its other end.
        descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, mode)
    except OSError as error:
        if error.errno in _NOT_PLAIN_ERRNOS:
            raise NotPlainError(path) from error
        raise
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise NotPlainError(path)


def open_plain_file(path: Path) -> BinaryIO:
    """The file, to be read.

    Raises:
        NotPlainError: it is no plain file.
        OSError: it cannot be opened.
    """
    return os.fdopen(plain_descriptor(path, os.O_RDONLY), "rb")


def read_plain_file(path: Path, most_bytes: int) -> bytes:
    """At most so many bytes of the file.

    Raises:
        OSError: it cannot be read, or is a folder, a pipe or a device.
    """
    with open_plain_file(path) as file:
        return file.read(most_bytes)
