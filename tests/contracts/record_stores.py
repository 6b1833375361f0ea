"""Every record store, opened the same way, and records to put into them."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from edgehost.adapters.storage.cached_records import CachedRecords
from edgehost.adapters.storage.memory_records import MemoryRecords
from edgehost.adapters.storage.mongo_records import open_mongo_records
from edgehost.adapters.storage.tinydb_records import open_records
from edgehost.domain.record import Record, RevisionClock
from edgehost.domain.record_query import Filter, Operator, RecordQuery
from edgehost.ports.record_store import RecordStore
from tests.contracts.compatible_server import compatible_server

OpenStore = Callable[[], AbstractAsyncContextManager[RecordStore]]

MODEL = "reading"
INDEXED = ("value", "place.room", "created_at", "mixed")
KINDS = [
    "memory",
    "tinydb",
    "memory, indexed",
    "tinydb, indexed",
    "compatible",
    "compatible, indexed, cached",
]

_CLOCK = RevisionClock("test")


@pytest.fixture(params=KINDS)
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> OpenStore:
    """Opens one and the same store, however often."""
    return opener(request.param, tmp_path)


def opener(kind: str, folder: Path) -> OpenStore:
    """What opens a store of this kind."""
    technology, *more = kind.split(", ")
    fields = {MODEL: INDEXED} if "indexed" in more else {}
    database = f"test-{uuid.uuid4().hex[:12]}"

    @asynccontextmanager
    async def opened() -> AsyncIterator[RecordStore]:
        if technology == "memory":
            yield MemoryRecords(indexed_fields=fields)
        elif technology == "tinydb":
            async with open_records(folder / "records", indexed_fields=fields) as records:
                yield records
        else:
            async with open_mongo_records(compatible_server(), database=database) as far:
                store: RecordStore = CachedRecords(far, entries=100) if "cached" in more else far
                for field in fields.get(MODEL, ()):
                    await store.ensure_index(MODEL, field)
                yield store

    return opened


def a_record(record_id: str, data: dict[str, Any] | None = None, **changes: Any) -> Record:
    """A record of the model that all tests use."""
    revision = str(_CLOCK.next(1_700_000_000_000))
    values: dict[str, Any] = {"revision": revision, "created_at": 1.5, "updated_at": 2.5, **changes}
    model = values.pop("model", MODEL)
    return Record(model, record_id, {"value": 1} if data is None else data, **values)


async def ids_of(store: RecordStore, *filters: tuple[str, str, Any], **options: Any) -> list[str]:
    """The ids of one page."""
    conditions = tuple(Filter(field, Operator(operator), value) for field, operator, value in filters)
    page = await store.find(RecordQuery(MODEL, conditions, **options))
    return [record.id for record in page.records]
