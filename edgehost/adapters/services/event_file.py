"""Events in a file, one JSON document a line (NDJSON); full files are kept under numbers, the oldest go."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgehost.domain.errors import StorageFullError, UnavailableError
from edgehost.domain.json_text import tell_json

#: ENOSPC, EDQUOT, EFBIG.
_FULL = frozenset({28, 122, 27})


@dataclass(slots=True)
class EventFile:
    """An EventSink in a folder: ``path`` is written, ``path.1`` is the one before."""

    path: Path
    file_bytes: int
    files: int  # the one that is written among them

    async def send(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Append these.

        Raises:
            StorageFullError, UnavailableError: the disk does not take them now.
        """
        lines = [tell_json(event) + b"\n" for event in events]
        try:
            await asyncio.to_thread(self._append, lines)
        except OSError as error:
            kind = StorageFullError if error.errno in _FULL else UnavailableError
            raise kind(f"{self.path} cannot be written: {error.strerror}.") from None

    def _append(self, lines: Sequence[bytes]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        size = self.path.stat().st_size if self.path.exists() else 0
        waiting: list[bytes] = []
        for line in lines:
            if size and size + len(line) > self.file_bytes:
                self._write(waiting)
                waiting, size = [], 0
                self._rotate()
            waiting.append(line)
            size += len(line)
        self._write(waiting)

    def _write(self, lines: Sequence[bytes]) -> None:
        if lines:
            with self.path.open("ab") as file:
                file.write(b"".join(lines))

    def _rotate(self) -> None:
        """A crash in between leaves a number free, which does no harm."""
        if self.files == 1:
            self.path.unlink()
            return
        for number in range(self.files - 1, 0, -1):
            older = self._numbered(number)
            newer = self._numbered(number - 1) if number > 1 else self.path
            if newer.exists():
                newer.replace(older)

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")
