"""A secret in a file: its first line, read at each use, so that a changed one needs no restart."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from edgehost.domain.errors import UnavailableError

_MOST_BYTES: Final = 4096


async def read_secret(path: Path) -> str:
    """The secret.

    Raises:
        UnavailableError: the file cannot be read, is empty or too long.
    """
    return await asyncio.to_thread(_read, path)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as problem:
        raise UnavailableError(f"{path} cannot be read: {problem.strerror}.") from None
    line = content.partition(b"\n")[0].strip().decode("utf-8", "replace")
    if not line or not line.isprintable() or len(content) > _MOST_BYTES:
        raise UnavailableError(f"{path} holds no secret in its first line.")
    return line
