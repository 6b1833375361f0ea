"""Reads files that lie in the host's own folders, whatever has come to lie in their place."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_plain_file(path: Path, most_bytes: int) -> bytes:
    """At most so many bytes of the file.

    Raises:
        OSError: it cannot be read, or is a folder, a pipe or a device.
    """
    # Without O_NONBLOCK the open of a named pipe would wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no plain file", str(path))
    with os.fdopen(descriptor, "rb") as file:
        return file.read(most_bytes)
