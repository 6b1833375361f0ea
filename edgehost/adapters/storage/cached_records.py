"""The records that were read or written last, kept in front of a store that is not here."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from typing import Final

from edgehost.adapters.storage.document_codec import MAX_DOCUMENT_BYTES
from edgehost.adapters.storage.record_codec import decode_record, encode_record
from edgehost.domain.record import Record
from edgehost.domain.record_aggregation import AggregateQuery, AggregateRow
from edgehost.domain.record_query import Condition, QueryPlan, RecordPage, RecordQuery
from edgehost.ports.record_store import RecordStore

#: Records have a size, memory an end.
MAX_CACHED_BYTES: Final = 16 * 1024 * 1024

_Key = tuple[str, str]


class CachedRecords:
    """A RecordStore that answers ``get`` from memory when it can.

    It sees every write of this host and none of others: the store behind it must have one writer.
    """

    def __init__(self, store: RecordStore, *, entries: int, most_bytes: int = MAX_CACHED_BYTES) -> None:
        self._store = store
        self._entries = entries
        self._most_bytes = most_bytes
        self._kept: OrderedDict[_Key, bytes] = OrderedDict()
        self._bytes = 0
        self._reading: dict[_Key, object] = {}
        self.hits = 0

    async def get(self, model: str, record_id: str) -> Record | None:
        """The record, or None."""
        key = (model, record_id)
        raw = self._kept.get(key)
        if raw is not None:
            self._kept.move_to_end(key)
            self.hits += 1
            return decode_record(model, raw)
        mine = self._reading[key] = object()
        try:
            record = await self._store.get(model, record_id)
            # A write meanwhile makes what was read old.
            if record is not None and self._reading.get(key) is mine:
                self._keep(record)
        finally:
            if self._reading.get(key) is mine:
                del self._reading[key]
        return record

    async def put(self, record: Record, *, expected_revision: str | None = None) -> None:
        """Store the record durably before returning."""
        self._drop((record.model, record.id))
        try:
            await self._store.put(record, expected_revision=expected_revision)
        finally:
            self._drop((record.model, record.id))

    async def delete(self, model: str, record_id: str, *, expected_revision: str | None = None) -> bool:
        """Remove the record durably; False when there was none."""
        self._drop((model, record_id))
        try:
            return await self._store.delete(model, record_id, expected_revision=expected_revision)
        finally:
            self._drop((model, record_id))

    async def find(self, query: RecordQuery) -> RecordPage:
        """One page of the records that match."""
        return await self._store.find(query)

    async def explain(self, query: RecordQuery) -> QueryPlan:
        """How the query would be answered now."""
        return await self._store.explain(query)

    async def find_by_idempotency_key(self, model: str, key: str) -> Record | None:
        """The record that a request with this key created."""
        return await self._store.find_by_idempotency_key(model, key)

    async def count(self, model: str, filters: Sequence[Condition] = ()) -> int:
        """How many records the model has, or how many of them match."""
        return await self._store.count(model, filters)

    async def aggregate(self, query: AggregateQuery) -> tuple[AggregateRow, ...]:
        """Figures over the records that match."""
        return await self._store.aggregate(query)

    def scan(self, model: str) -> AsyncIterator[Record]:
        """Every record of the model, in order of creation."""
        return self._store.scan(model)

    async def ensure_index(self, model: str, field: str) -> None:
        """Answer filters on this field by an index."""
        await self._store.ensure_index(model, field)

    async def ensure_text_index(self, model: str, fields: Sequence[str]) -> None:
        """Answer full-text search of these fields by an index, where the store can."""
        await self._store.ensure_text_index(model, fields)

    def _keep(self, record: Record) -> None:
        raw = encode_record(record, limit_bytes=MAX_DOCUMENT_BYTES)
        self._kept[record.model, record.id] = raw
        self._bytes += len(raw)
        while self._kept and (len(self._kept) > self._entries or self._bytes > self._most_bytes):
            self._bytes -= len(self._kept.popitem(last=False)[1])

    def _drop(self, key: _Key) -> None:
        self._reading.pop(key, None)
        self._bytes -= len(self._kept.pop(key, b""))
