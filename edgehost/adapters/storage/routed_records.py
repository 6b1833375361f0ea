"""One RecordStore in front of several: each model has its records in one of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from edgehost.domain.record import Record
from edgehost.domain.record_aggregation import AggregateQuery, AggregateRow
from edgehost.domain.record_query import Condition, QueryPlan, RecordPage, RecordQuery
from edgehost.ports.record_store import RecordStore


class RoutedRecords:
    """Sends everything about a model to its store; to the default one for a model without a route."""

    def __init__(self, default: RecordStore) -> None:
        self._default = default
        self._routes: dict[str, RecordStore] = {}
        self._paused: dict[str, asyncio.Event] = {}
        self._writing: Counter[str] = Counter()
        self._written = asyncio.Condition()

    def route(self, model: str, store: RecordStore) -> None:
        """Send the model there from now on."""
        self._routes[model] = store

    @asynccontextmanager
    async def writes_paused(self, model: str) -> AsyncIterator[None]:
        """Writes of the model wait until the block is left; those under way are finished first. Reads go on."""
        going_on = self._paused[model] = asyncio.Event()
        try:
            async with self._written:
                await self._written.wait_for(lambda: not self._writing[model])
            yield
        finally:
            del self._paused[model]
            going_on.set()

    async def get(self, model: str, record_id: str) -> Record | None:
        """The record, or None."""
        return await self._of(model).get(model, record_id)

    async def put(self, record: Record, *, expected_revision: str | None = None) -> None:
        """Store the record durably before returning."""
        async with self._write(record.model) as store:
            await store.put(record, expected_revision=expected_revision)

    async def delete(self, model: str, record_id: str, *, expected_revision: str | None = None) -> bool:
        """Remove the record durably; False when there was none."""
        async with self._write(model) as store:
            return await store.delete(model, record_id, expected_revision=expected_revision)

    async def find(self, query: RecordQuery) -> RecordPage:
        """One page of the records that match."""
        return await self._of(query.model).find(query)

    async def explain(self, query: RecordQuery) -> QueryPlan:
        """How the query would be answered now."""
        return await self._of(query.model).explain(query)

    async def find_by_idempotency_key(self, model: str, key: str) -> Record | None:
        """The record that a request with this key created."""
        return await self._of(model).find_by_idempotency_key(model, key)

    async def count(self, model: str, filters: Sequence[Condition] = ()) -> int:
        """How many records the model has, or how many of them match."""
        return await self._of(model).count(model, filters)

    async def aggregate(self, query: AggregateQuery) -> tuple[AggregateRow, ...]:
        """Figures over the records that match."""
        return await self._of(query.model).aggregate(query)

    def scan(self, model: str) -> AsyncIterator[Record]:
        """Every record of the model, in order of creation."""
        return self._of(model).scan(model)

    async def ensure_index(self, model: str, field: str) -> None:
        """Answer filters on this field by an index."""
        await self._of(model).ensure_index(model, field)

    async def ensure_text_index(self, model: str, fields: Sequence[str]) -> None:
        """Answer full-text search of these fields by an index, where the store can."""
        await self._of(model).ensure_text_index(model, fields)

    def _of(self, model: str) -> RecordStore:
        return self._routes.get(model, self._default)

    @asynccontextmanager
    async def _write(self, model: str) -> AsyncIterator[RecordStore]:
        while (paused := self._paused.get(model)) is not None:
            await paused.wait()
        self._writing[model] += 1
        try:
            yield self._of(model)
        finally:
            self._writing[model] -= 1
            if not self._writing[model]:
                del self._writing[model]
                if model in self._paused:
                    async with self._written:
                        self._written.notify_all()
