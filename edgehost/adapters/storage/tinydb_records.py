"""Records in TinyDB on a journal, served to the event loop.

One journal holds the records of every model, so that one sync serves all who wait, and a page of flash is
written once instead of once per model. A record is visible once it is durable, never before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgehost.adapters.storage.disk import Disk
from edgehost.adapters.storage.document_codec import MAX_DOCUMENT_BYTES
from edgehost.adapters.storage.group_commit import Batch, GroupCommit
from edgehost.adapters.storage.indexed_records import IndexedRecords, require_revision
from edgehost.adapters.storage.journal import Snapshot
from edgehost.adapters.storage.journal_lines import Change, journal_line
from edgehost.adapters.storage.journal_reading import Damage, log_damages
from edgehost.adapters.storage.model_index import ModelIndex
from edgehost.adapters.storage.opening import opened_in_thread
from edgehost.adapters.storage.record_codec import encode_record
from edgehost.adapters.storage.tinydb_journal import MIN_DEAD_BYTES, JournalDB, JournalStorage
from edgehost.domain.errors import EdgehostError, RevisionConflictError, StorageFullError, UnavailableError
from edgehost.domain.record import Record

_log = logging.getLogger("edgehost.storage")


#: Every record is in memory, and takes about twice its size there: a quarter of a board with 512 MB.
DEFAULT_LIMIT_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class StorageStatistics:
    """What the store asked of the disk since it was opened, and what it holds."""

    records: int
    bytes_appended: int
    bytes_compacted: int
    syncs: int
    compactions: int
    damages: int


@dataclass(slots=True, eq=False)
class _Write:
    """A put, or a delete when there is no record."""

    model: str
    record_id: str
    expected: str | None
    record: Record | None
    raw: bytes
    size_bytes: int
    done: asyncio.Future[bool]


@dataclass(frozen=True, slots=True)
class _Current:
    doc_id: int
    revision: str


class TinyDBRecords(IndexedRecords):
    """A RecordStore on the disk; made by ``open_records``."""

    def __init__(
        self,
        database: JournalDB,
        *,
        indexed_fields: Mapping[str, Iterable[str]] | None = None,
        limit_bytes: int = DEFAULT_LIMIT_BYTES,
    ) -> None:
        super().__init__(indexed_fields)
        self._limit_bytes = limit_bytes
        self._database = database
        self._storage: JournalStorage = database.storage
        self._commit = GroupCommit[_Write](
            self._plan, lambda batch: self._storage.journal.append(batch.lines, may_make_room=batch.frees)
        )
        self._compactor = ThreadPoolExecutor(1, thread_name_prefix="edgehost.records.compact")
        self._compaction: asyncio.Future[int] | None = None
        self._closed = False
        for model in self._storage.documents:
            self._index(model)

    @property
    def damage(self) -> tuple[Damage, ...]:
        """What was found damaged when the store was opened."""
        return tuple(self._storage.journal.damages)

    @property
    def compacted_file(self) -> Path | None:
        """The newest file that stock TinyDB opens; None before the first compaction."""
        return self._storage.journal.base_path

    def statistics(self) -> StorageStatistics:
        """Wear and size, for doctor and for dashboards."""
        counters = self._storage.journal.counters
        return StorageStatistics(
            records=sum(map(len, self._storage.documents.values())),
            bytes_appended=counters.bytes_appended,
            bytes_compacted=counters.bytes_compacted,
            syncs=counters.syncs,
            compactions=counters.compactions,
            damages=sum(damage.acknowledged for damage in self._storage.journal.damages),
        )

    async def put(self, record: Record, *, expected_revision: str | None = None) -> None:
        """Store the record durably before returning; no reader sees it earlier.

        Raises:
            RevisionConflictError: another revision is stored; nothing was changed.
            StorageFullError, UnavailableError: the disk did not take it; nothing was changed.
            InvalidRecordError, TooLargeError: the record cannot be stored.
        """
        raw = encode_record(record, limit_bytes=self._storage.max_document_bytes)
        await self._write(record.model, record.id, expected_revision, record, raw)

    async def delete(self, model: str, record_id: str, *, expected_revision: str | None = None) -> bool:
        """Remove the record durably; False when there was none.

        Raises:
            RevisionConflictError, StorageFullError, UnavailableError: as for put.
        """
        return await self._write(model, record_id, expected_revision, None, b"")

    async def compact(self) -> None:
        """Write the file that stock TinyDB opens; happens by itself when dead lines outweigh live ones.

        Raises:
            StorageFullError, UnavailableError: the old files stay in use.
        """
        if self._closed:
            raise UnavailableError("The record store is closed.", hint="Start the host again.")
        await asyncio.shield(self._compaction or self._begin_compaction())

    def compact_if_worthwhile(self) -> None:
        """Begin a compaction in the background when it saves more than it wears."""
        if self._storage.wants_compaction and self._compaction is None and not self._closed:
            self._begin_compaction()

    async def close(self) -> None:
        """Finish what waits, then give the files back."""
        self._closed = True
        self._storage.journal.stop()
        try:
            await self._commit.close()
            if self._compaction is not None:
                await asyncio.wait([self._compaction])
        finally:
            await asyncio.to_thread(self._end_threads)

    def _end_threads(self) -> None:
        self._commit.end_thread()
        self._compactor.shutdown(wait=True)
        self.release()

    def release(self) -> None:
        """Give files and folder back at once; for a store that nothing was written to."""
        self._database.close()

    async def _write(
        self, model: str, record_id: str, expected: str | None, record: Record | None, raw: bytes
    ) -> bool:
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        return await self._commit.submit(_Write(model, record_id, expected, record, raw, len(raw) + 64, done))

    def _plan(self, writes: Sequence[_Write]) -> Batch:
        """What each write comes to, given those before it in the same batch."""
        ahead: dict[tuple[str, str], _Current | None] = {}
        tops: dict[str, int] = {}
        room = self._limit_bytes - self._storage.live_bytes
        outcomes: list[bool | EdgehostError] = []
        changes: list[tuple[Change, Record | None]] = []
        for write in writes:
            key = (write.model, write.record_id)
            current = ahead[key] if key in ahead else self._current(write)
            try:
                if write.record is not None or current is not None:
                    require_revision(write.record_id, current.revision if current else "", write.expected)
            except RevisionConflictError as conflict:
                outcomes.append(conflict)
                continue
            growth = len(write.raw) - self._size_now(write.model, current)
            if write.record is not None and growth > max(0, room):
                outcomes.append(self._full())
                continue
            room -= growth
            if write.record is not None:
                doc_id = current.doc_id if current else self._next_id(write.model, tops)
                ahead[key] = _Current(doc_id, write.record.revision)
                changes.append((Change("put", write.model, doc_id, write.raw), write.record))
            elif current is not None:
                ahead[key] = None
                changes.append((Change("del", write.model, current.doc_id), None))
            outcomes.append(write.record is not None or current is not None)
        lines = b"".join([journal_line((change,)) for change, _ in changes])
        frees = any(change.op == "del" for change, _ in changes)
        return Batch(lines, outcomes, lambda: self._publish(changes), frees)

    def _full(self) -> StorageFullError:
        return StorageFullError(
            f"Records may take {self._limit_bytes} bytes and would take more; nothing was changed.",
            hint="Delete some, shorten their retention, or raise the limit.",
        )

    def _current(self, write: _Write) -> _Current | None:
        index = self._indexes.get(write.model)
        doc_id = index.doc_id(write.record_id) if index else None
        if index is None or doc_id is None:
            return None
        return _Current(doc_id, "" if write.expected is None else index.record(doc_id).revision)

    def _size_now(self, model: str, current: _Current | None) -> int:
        return len(self._storage.documents.get(model, {}).get(current.doc_id, b"")) if current else 0

    def _next_id(self, model: str, tops: dict[str, int]) -> int:
        tops[model] = tops.get(model, self._storage.tops.get(model, 0)) + 1
        return tops[model]

    def _publish(self, changes: list[tuple[Change, Record | None]]) -> None:
        for change, record in changes:
            index = self._index(change.table)
            index.forget(change.doc_id)
            self._storage.publish((change,))
            if record is not None:
                index.learn(change.doc_id, record)
        self.compact_if_worthwhile()

    def _index(self, model: str) -> ModelIndex:
        if model not in self._indexes:
            documents = self._storage.documents.setdefault(model, {})
            self._indexes[model] = ModelIndex(
                model, documents, self._indexed_fields.get(model, ()), self._text_fields.get(model, ())
            )
        return self._indexes[model]

    def _begin_compaction(self) -> asyncio.Future[int]:
        """Rotate between two batches, then write the base beside the appends that follow."""
        loop = asyncio.get_running_loop()
        compaction: asyncio.Future[int] = loop.create_future()
        self._compaction = compaction
        dead_bytes = 0
        snapshot: Snapshot = {}

        def rotate() -> Callable[[], int]:
            nonlocal dead_bytes, snapshot
            dead_bytes, snapshot = self._storage.dead_bytes, self._storage.snapshot()
            tops = dict(self._storage.tops)
            return lambda: self._storage.journal.rotate(tops)

        def rotated(future: asyncio.Future[int]) -> None:
            if future.exception() is not None:
                finished(future)
                return
            write_base = self._storage.journal.write_base
            writing = loop.run_in_executor(self._compactor, write_base, future.result(), snapshot)
            writing.add_done_callback(finished)

        def finished(future: asyncio.Future[int]) -> None:
            self._compaction = None
            self._storage.compacted(dead_bytes)
            error = future.exception()
            if error is None:
                compaction.set_result(future.result())
                return
            _log.warning("Records were not compacted: %s", error)
            compaction.set_exception(error)
            compaction.exception()  # noted: nobody has to wait for a compaction that began by itself

        self._commit.run_alone(rotate).add_done_callback(rotated)
        return compaction


@asynccontextmanager
async def open_records(
    folder: Path,
    *,
    indexed_fields: Mapping[str, Iterable[str]] | None = None,
    disk: Disk | None = None,
    min_dead_bytes: int = MIN_DEAD_BYTES,
    max_record_bytes: int = MAX_DOCUMENT_BYTES,
    limit_bytes: int = DEFAULT_LIMIT_BYTES,
) -> AsyncIterator[TinyDBRecords]:
    """The records in this folder, which belongs to one host at a time.

    Raises:
        UnavailableError: another host uses the folder, or the disk does not let it be read.
        DamagedError: a later version of edgehost wrote it. (Damaged lines do not stop the store: see ``damage``.)
    """

    def read() -> TinyDBRecords:
        database = JournalDB(
            folder, disk=disk, min_dead_bytes=min_dead_bytes, max_document_bytes=max_record_bytes
        )
        return TinyDBRecords(database, indexed_fields=indexed_fields, limit_bytes=limit_bytes)

    records = await opened_in_thread(read, TinyDBRecords.release)
    log_damages(_log, "Records", records.damage)
    try:
        records.compact_if_worthwhile()
        yield records
    finally:
        await records.close()
