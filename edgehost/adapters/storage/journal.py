"""An append-only journal with a compacted base, in generations.

``NAME-000007.json`` is the base of generation 7, ``NAME-000007.journal`` what was changed since. A compaction
opens journal 8 first, so that writers go on, and then writes base 8 beside: temporary file, sync, rename, sync of
the folder. At any instant the newest base and the journals from it onwards are the whole truth, so a crash
leaves the old generation or the new one. The generation before is kept until the next compaction: a damaged
document of the base is taken from there.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from edgehost.adapters.storage.damage_notes import DamageNotes
from edgehost.adapters.storage.disk import FULL_ERRNOS, Disk, remove_quietly, storage_error
from edgehost.adapters.storage.journal_lines import Change, base_file, journal_line
from edgehost.adapters.storage.journal_reading import Apply, Damage, read_base, read_journal

#: A compaction writes this much at a time and then lets other threads run.
_SLICE_BYTES: Final = 64 * 1024
_PAUSE_S: Final = 0.001

ResultT = TypeVar("ResultT")
Snapshot = Mapping[str, Mapping[int, bytes]]


@dataclass(slots=True)
class JournalCounters:
    """What was asked of the disk since the start: flash wears out by this."""

    bytes_appended: int = 0
    bytes_compacted: int = 0
    syncs: int = 0
    compactions: int = 0


class Journal:
    """The files of one store. Not thread-safe: appends and rotations come from one thread at a time."""

    def __init__(self, folder: Path, name: str, *, disk: Disk, max_line_bytes: int) -> None:
        self._folder = folder
        self._name = name
        self._disk = disk
        self._max_line_bytes = max_line_bytes
        self._descriptor = -1
        self._size = 0  # of the newest journal, up to its last acknowledged line
        self._torn = False  # there may be bytes of a failed write after that
        self._line_end = b""  # what the last line still lacks
        self._base = 0
        self._generation = 0
        self._closing = False
        self.counters = JournalCounters()
        self._noted = DamageNotes(folder / f"{name}.damaged", disk)

    @property
    def damages(self) -> list[Damage]:
        """What was found damaged when the files were read."""
        return self._noted.damages

    @property
    def generation(self) -> int:
        """Of the journal that is appended to."""
        return self._generation

    @property
    def base_path(self) -> Path | None:
        """The newest compacted file, which stock TinyDB opens; None before the first compaction."""
        return self._path(self._base, "json") if self._base else None

    def load(self, apply: Apply) -> None:
        """Read everything that is stored, oldest first, and get ready to append.

        Raises:
            DamagedError: a later version of edgehost wrote the files.
            UnavailableError: the disk does not let them be read or mended.
        """
        try:
            self._load(apply)
        except OSError as error:
            raise storage_error(error, self._folder) from error

    def append(self, lines: bytes, *, may_make_room: bool = True) -> None:
        """Write these lines durably, or leave everything as it was.

        ``may_make_room`` lets a full disk give up the generation before.

        Raises:
            StorageFullError: there was no room; nothing was changed.
            UnavailableError: the disk did not take them; nothing was changed.
        """
        lines = self._line_end + lines
        try:
            if may_make_room:
                self._making_room(lambda: self._append(lines))
            else:
                self._append(lines)
        except OSError as error:
            with contextlib.suppress(OSError):  # tried again before the next append, which waits for it
                self._mend()
            raise storage_error(error, self._path(self._generation, "journal")) from error
        self._torn, self._line_end = False, b""
        self._size += len(lines)
        self.counters.syncs += 1
        self.counters.bytes_appended += len(lines)

    def _append(self, lines: bytes) -> None:
        self._mend()
        self._torn = True
        self._disk.write(self._descriptor, lines, self._size)
        self._disk.sync(self._descriptor)

    def rotate(self, tops: Mapping[str, int]) -> int:
        """Go on in a new journal and return its generation, for ``write_base``.

        Raises:
            StorageFullError, UnavailableError: as for append; the old journal stays in use.
        """
        generation = self._generation + 1
        path = self._path(generation, "journal")
        try:
            self._mend()
            descriptor, size = self._making_room(lambda: self._start_journal(path, tops))
        except OSError as error:
            remove_quietly(self._disk, path)
            raise storage_error(error, path) from error
        self._disk.close(self._descriptor)
        self._descriptor, self._size, self._generation = descriptor, size, generation
        self._line_end = b""
        return generation

    def write_base(self, generation: int, tables: Snapshot, *, pause_s: float = _PAUSE_S) -> int:
        """Write what was stored when the journal of this generation began; returns the size of the file.

        Runs beside appends in a thread of its own, in slices, so that the event loop gets its turns.

        Raises:
            StorageFullError, UnavailableError: the old generation stays in use.
        """
        path = self._path(generation, "json")
        temporary = path.with_name(path.name + ".tmp")
        try:
            size = self._making_room(lambda: self._write_slices(temporary, tables, pause_s))
            self._disk.rename(temporary, path)
            self._disk.sync_folder(self._folder)
            self._remove_before(self._base)
        except OSError as error:
            remove_quietly(self._disk, temporary)
            raise storage_error(error, path) from error
        self._base = generation
        self.counters.syncs += 2
        self.counters.compactions += 1
        self.counters.bytes_compacted += size
        return size

    def stop(self) -> None:
        """Make a compaction that runs in another thread end without pauses."""
        self._closing = True

    def close(self) -> None:
        """Give the file back; harmless when repeated."""
        if self._descriptor >= 0:
            self._disk.close(self._descriptor)
            self._descriptor = -1

    def _load(self, apply: Apply) -> None:
        for leftover in self._folder.glob(f"{self._name}-*.tmp"):
            remove_quietly(self._disk, leftover)
        bases, journals = self._generations("json"), self._generations("journal")
        self._base = bases[-1] if bases else 0
        if self._base:
            self._load_base(bases, apply)
        current = [number for number in journals if number >= self._base]
        self._generation = current[-1] if current else max(1, self._base)
        self._expect_journals(current)
        path = self._path(self._generation, "journal")
        read = None
        for number in current:
            read = read_journal(self._path(number, "journal"), apply, max_line_bytes=self._max_line_bytes)
            self._noted.note(read.damages)
            self._noted.note_torn(self._path(number, "journal"), read.size_bytes, read.torn_bytes)
        if read is None:
            self._descriptor, self._size = self._start_journal(path, {})
            return
        self._descriptor = self._disk.open(path)
        self._size, self._torn = read.size_bytes, read.torn_bytes > 0
        # A last line without its end was complete: the next one must not be glued to it.
        self._line_end = b"" if read.ended else b"\n"
        with contextlib.suppress(OSError):  # what is on a full or read-only disk can still be read
            self._mend()

    def _load_base(self, bases: list[int], apply: Apply) -> None:
        seen: set[tuple[str, int]] = set()

        def apply_and_note(change: Change) -> None:
            seen.add((change.table, change.doc_id))
            apply(change)

        path = self._path(self._base, "json")
        damages = read_base(path, apply_and_note, max_line_bytes=self._max_line_bytes)
        if not damages:
            return
        self._noted.note(damages)
        recovered = 0
        for (table, doc_id), raw in self._generation_before(bases).items():
            if (table, doc_id) not in seen:
                recovered += 1
                apply(Change("put", table, doc_id, raw))
        if recovered:
            self._noted.note(
                [Damage(path.name, 0, 0, f"{recovered} documents were recovered from the generation before")]
            )

    def _generation_before(self, bases: list[int]) -> dict[tuple[str, int], bytes]:
        """What the damaged base was made of: the generation before and its journals up to the base."""
        documents: dict[tuple[str, int], bytes] = {}

        def apply(change: Change) -> None:
            key = (change.table, change.doc_id)
            if change.op == "put":
                documents[key] = change.raw
            elif change.op == "del":
                documents.pop(key, None)

        previous = bases[-2] if len(bases) > 1 else 0
        limit = self._max_line_bytes
        if previous:
            read_base(self._path(previous, "json"), apply, max_line_bytes=limit)
        journals = [n for n in self._generations("journal") if previous <= n < self._base]
        if not previous and journals[:1] != [1]:
            return {}  # without its beginning a journal would bring back what was deleted
        for number in journals:
            read_journal(self._path(number, "journal"), apply, max_line_bytes=limit)
        return documents

    def _expect_journals(self, current: list[int]) -> None:
        """Name a journal that should be there: its changes are lost."""
        first = max(1, self._base)
        if not current and not self._base:
            return
        for number in range(first, self._generation + 1):
            if number not in current:
                self._noted.note([Damage(self._path(number, "journal").name, 0, 0, "the file is missing")])

    def _start_journal(self, path: Path, tops: Mapping[str, int]) -> tuple[int, int]:
        head = b"".join([journal_line([Change("top", table, top)]) for table, top in tops.items()])
        descriptor = self._disk.open(path, empty=True)
        try:
            if head:
                self._disk.write(descriptor, head, 0)
            self._disk.sync(descriptor)
            self._disk.sync_folder(self._folder)
        except OSError:
            self._disk.close(descriptor)
            raise
        self.counters.syncs += 2
        self.counters.bytes_appended += len(head)
        return descriptor, len(head)

    def _mend(self) -> None:
        """Cut off what a failed write left, so that it can neither return nor be glued to."""
        if self._torn:
            self._disk.truncate(self._descriptor, self._size)
            self._disk.sync(self._descriptor)
            self._torn = False

    def _write_slices(self, path: Path, tables: Snapshot, pause_s: float) -> int:
        descriptor = self._disk.open(path, empty=True)
        size = 0
        try:
            pieces = base_file((table, documents.items()) for table, documents in tables.items())
            for data in _slices(pieces):
                self._disk.write(descriptor, data, size)
                size += len(data)
                if not self._closing:
                    time.sleep(pause_s)
            self._disk.sync(descriptor)
        finally:
            self._disk.close(descriptor)
        return size

    def _making_room(self, work: Callable[[], ResultT]) -> ResultT:
        """Do it; on a full disk give up the generation before and do it again."""
        try:
            return work()
        except OSError as error:
            if error.errno not in FULL_ERRNOS or not self._remove_before(self._base):
                raise
            self._disk.sync_folder(self._folder)
        return work()

    def _remove_before(self, generation: int) -> bool:
        """Remove older files; whether there were any."""
        suffixes = ("json", "journal")
        older = [(n, suffix) for suffix in suffixes for n in self._generations(suffix) if n < generation]
        for number, suffix in older:
            self._disk.remove(self._path(number, suffix))
        return bool(older)

    def _path(self, generation: int, suffix: str) -> Path:
        return self._folder / f"{self._name}-{generation:06d}.{suffix}"

    def _generations(self, suffix: str) -> list[int]:
        pattern = re.compile(re.escape(self._name) + r"-(\d{6,})\." + suffix)
        if self._disk.reads_only and not os.access(self._folder, os.R_OK | os.X_OK):
            return []  # not made yet, or out of reach: whoever only reads goes without
        matches = [pattern.fullmatch(path.name) for path in self._folder.iterdir()]
        return sorted(int(match[1]) for match in matches if match)


def _slices(pieces: Iterable[bytes]) -> Iterator[bytes]:
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _SLICE_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
    yield b"".join(waiting)
