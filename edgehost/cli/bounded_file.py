"""Reads what the command line names, never more than is of use."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import Final

from edgehost.domain.errors import RefusedError, TooLargeError

_MIB: Final = 1024 * 1024
#: Far above what a host takes by default, far below what would hurt a small machine.
MOST_COMPONENT_BYTES: Final = 64 * _MIB
MOST_INPUT_BYTES: Final = 64 * _MIB


def read_regular(path: Path, most_bytes: int) -> bytes:
    """As ``read_bounded``; a pipe or device, which may never end, is refused at once.

    Raises:
        RefusedError: it is no regular file.
        TooLargeError, OSError: as for read_bounded.
    """
    descriptor = os.open(path.expanduser(), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # before fdopen, which would call a folder by a number
        os.close(descriptor)
        raise RefusedError(f"{path} is no regular file.", hint="Name a file.")
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise TooLargeError(f"{path} has more than {most_bytes} bytes.", hint="Is it the right file?")
    return content


def read_bounded(path: Path, most_bytes: int) -> bytes:
    """The file.

    Raises:
        TooLargeError: it has more than ``most_bytes``.
        OSError: it cannot be read.
    """
    with path.expanduser().open("rb") as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise TooLargeError(f"{path} has more than {most_bytes} bytes.", hint="Is it the right file?")
    return content


def read_input(text: str | None) -> bytes:
    """What ``TEXT``, ``@FILE`` or ``-`` for standard input stands for.

    Raises:
        TooLargeError, OSError: as for read_bounded.
    """
    if text is None:
        return b""
    if text.startswith("@"):
        return read_bounded(Path(text[1:]), MOST_INPUT_BYTES)
    if text != "-":
        return text.encode("utf-8", "surrogateescape")
    content = sys.stdin.buffer.read(MOST_INPUT_BYTES + 1)
    if len(content) > MOST_INPUT_BYTES:
        raise TooLargeError(f"Standard input has more than {MOST_INPUT_BYTES} bytes.", hint="Send less.")
    return content
