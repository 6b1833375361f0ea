"""Records that last as long as the process: for tests, and for hosts without a disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from edgehost.adapters.storage.document_codec import MAX_DOCUMENT_BYTES
from edgehost.adapters.storage.indexed_records import IndexedRecords, require_revision
from edgehost.adapters.storage.model_index import ModelIndex
from edgehost.adapters.storage.record_codec import encode_record
from edgehost.domain.errors import StorageFullError
from edgehost.domain.record import Record

#: Memory is the first thing that an edge device runs out of.
DEFAULT_MEMORY_BYTES: Final = 64 * 1024 * 1024


class MemoryRecords(IndexedRecords):
    """A RecordStore without a disk; ``limit_bytes`` bounds what it holds."""

    def __init__(
        self,
        *,
        indexed_fields: Mapping[str, Iterable[str]] | None = None,
        limit_bytes: int = DEFAULT_MEMORY_BYTES,
        max_record_bytes: int = MAX_DOCUMENT_BYTES,
    ) -> None:
        super().__init__(indexed_fields)
        self._documents: dict[str, dict[int, bytes]] = {}
        self._last_id = 0
        self._limit_bytes = limit_bytes
        self._max_record_bytes = max_record_bytes
        self._size_bytes = 0

    async def put(self, record: Record, *, expected_revision: str | None = None) -> None:
        """Store the record.

        Raises:
            RevisionConflictError: another revision is stored; nothing was changed.
            StorageFullError: the limit is reached; nothing was changed.
            InvalidRecordError, TooLargeError: the record cannot be stored.
        """
        raw = encode_record(record, limit_bytes=self._max_record_bytes)
        index = self._index(record.model)
        current = index.current(record.id)
        require_revision(record.id, current[1] if current else "", expected_revision)
        old_size = len(index.documents[current[0]]) if current else 0
        if self._size_bytes + len(raw) - old_size > self._limit_bytes:
            raise StorageFullError(
                f"Records may take {self._limit_bytes} bytes of memory and do; nothing was changed.",
                hint="Delete some, or raise the limit.",
            )
        self._last_id += 1
        doc_id = current[0] if current else self._last_id
        index.forget(doc_id)
        self._documents[record.model][doc_id] = raw
        index.learn(doc_id, record)
        self._size_bytes += len(raw) - old_size

    async def delete(self, model: str, record_id: str, *, expected_revision: str | None = None) -> bool:
        """Remove the record; False when there was none.

        Raises:
            RevisionConflictError: another revision is stored; nothing was changed.
        """
        index = self._indexes.get(model)
        current = index.current(record_id) if index else None
        if index is None or current is None:
            return False
        doc_id, revision = current
        require_revision(record_id, revision, expected_revision)
        index.forget(doc_id)
        self._size_bytes -= len(self._documents[model].pop(doc_id))
        return True

    def _index(self, model: str) -> ModelIndex:
        if model not in self._indexes:
            documents = self._documents.setdefault(model, {})
            self._indexes[model] = ModelIndex(
                model, documents, self._indexed_fields.get(model, ()), self._text_fields.get(model, ())
            )
        return self._indexes[model]
