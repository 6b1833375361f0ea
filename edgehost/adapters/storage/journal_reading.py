"""Reading journals and compacted files back: what holds is applied, what does not is named."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgehost.adapters.storage.journal_lines import (
    Change,
    changes_in,
    is_base_structure,
    parse_base_line,
    split_journal_line,
)
from edgehost.adapters.storage.plain_file import open_plain_file

#: Damaged bytes that are kept per place: enough to look at, too few to fill the memory.
KEPT_BYTES: Final = 64 * 1024

#: Damaged places named one by one; what follows them in the same file is named together.
MAX_DAMAGES: Final = 1000
MAX_LOGGED: Final = 20

Apply = Callable[[Change], None]


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes that are not what was written."""

    file: str
    offset: int
    size_bytes: int
    what: str
    content: bytes = b""  # at most KEPT_BYTES of them
    acknowledged: bool = True  # False: a write that nobody was told had succeeded

    def __str__(self) -> str:
        return f"{self.file}, byte {self.offset}: {self.what} ({self.size_bytes} bytes)."


def log_damages(log: logging.Logger, store: str, damages: Sequence[Damage]) -> None:
    """Tell the log, without filling it."""
    for damage in damages[:MAX_LOGGED]:
        level = logging.ERROR if damage.acknowledged else logging.WARNING
        log.log(level, "%s: %s", store, damage)
    if len(damages) > MAX_LOGGED:
        log.error("%s: %d more damaged places.", store, len(damages) - MAX_LOGGED)


@dataclass(frozen=True, slots=True)
class ReadJournal:
    """What reading a journal found besides its changes."""

    size_bytes: int  # up to where the file can be gone on with
    torn_bytes: int  # what an unfinished write left after that
    ended: bool  # whether a line end stands before that place
    damages: tuple[Damage, ...]


def _lines(path: Path, limit_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of each line; one that is longer than the limit comes in parts."""
    offset = 0
    with open_plain_file(path) as file:
        while line := file.readline(limit_bytes):
            yield offset, line
            offset += len(line)


class _Damages:
    """Collects damages of one file, neighbours as one."""

    def __init__(self, file: str) -> None:
        self._file = file
        self.found: list[Damage] = []

    def add(self, offset: int, content: bytes, what: str) -> None:
        last = self.found[-1] if self.found else None
        full = len(self.found) == MAX_DAMAGES
        if last is not None and (
            full or (last.what == what and last.offset + last.size_bytes == offset and content)
        ):
            room = max(0, KEPT_BYTES - len(last.content))
            self.found[-1] = Damage(
                self._file, last.offset, last.size_bytes + len(content), what, last.content + content[:room]
            )
        else:
            self.found.append(Damage(self._file, offset, len(content), what, content[:KEPT_BYTES]))


def read_journal(path: Path, apply: Apply, *, max_line_bytes: int) -> ReadJournal:
    """Apply every line that checks out, in order.

    Raises:
        DamagedError: a later version of edgehost wrote the file.
    """
    damages = _Damages(path.name)
    size = torn = 0
    ended = True
    # Two lines may come as one when the end of the first has changed.
    for offset, line in _lines(path, 2 * max_line_bytes):
        pieces = list(split_journal_line(line))
        ended = line.endswith(b"\n")
        size = offset + len(line)
        if not ended and pieces[-1].payload is None and len(line) < 2 * max_line_bytes:
            tail = pieces.pop()
            size, torn, ended = offset + tail.offset, tail.size, tail.offset == 0
        for piece in pieces:
            if piece.payload is None:
                content = line[piece.offset : piece.offset + piece.size]
                damages.add(offset + piece.offset, content, "a line does not match its checksum")
                continue
            for change in changes_in(piece.payload):
                apply(change)
    return ReadJournal(size, torn, ended, tuple(damages.found))


def read_base(path: Path, apply: Apply, *, max_line_bytes: int) -> tuple[Damage, ...]:
    """Apply every document of a compacted file whose checksum holds."""
    damages = _Damages(path.name)
    last = heading = b""
    size = 0
    for offset, line in _lines(path, 2 * max_line_bytes):
        size, last = offset + len(line), line
        body = line.removesuffix(b"\n")
        change = parse_base_line(body)
        if change is not None:
            apply(change)
            if heading and heading != b'"%b":{' % change.table.encode():
                damages.add(offset, b"", "the heading above names another table")
                heading = b""
        elif not is_base_structure(body):
            damages.add(offset, line, "a line does not match its checksum")
            heading = b""
        elif body.startswith(b'"'):
            heading = body
    if last != b"}\n":
        damages.add(size, b"", "the end of the file is missing")
    return tuple(damages.found)
