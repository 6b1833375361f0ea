"""An index changes what a query costs, never what it answers."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import given, settings
from hypothesis import strategies as st

from edgehost.adapters.storage import query_planning
from edgehost.adapters.storage.memory_records import MemoryRecords
from edgehost.adapters.storage.model_index import ModelIndex
from edgehost.adapters.storage.tinydb_records import open_records
from edgehost.domain.errors import StorageFullError
from edgehost.domain.record import Record
from edgehost.domain.record_aggregation import AggregateQuery
from edgehost.domain.record_query import AnyOf, Condition, Filter, Operator, RecordQuery, Sort
from tests.contracts.query_oracle import CONDITIONS, DOCUMENTS, SORTS, expected_records


@contextmanager
def without_collections() -> Iterator[None]:
    """The garbage of the tests before is collected in one go, in whose turn ever."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def answer(store: MemoryRecords, query: RecordQuery) -> list[str]:
    found = []
    while True:
        page = await store.find(query)
        assert len(page.records) <= query.limit
        found += [record.id for record in page.records]
        if not page.next_cursor:
            return found
        query = replace(query, after=page.next_cursor)


@contextmanager
def walking() -> Iterator[None]:
    """Sorted pages are met along an index, however few records there are to sort."""
    few, query_planning._FEW_TO_SORT = query_planning._FEW_TO_SORT, -1
    try:
        yield
    finally:
        query_planning._FEW_TO_SORT = few


Updates = list[tuple[int, dict[str, Any] | None]]


async def compare(documents: list[dict[str, Any]], updates: Updates, query: RecordQuery) -> None:
    plain = MemoryRecords()
    indexed = MemoryRecords(indexed_fields={"m": ["x", "z.x", "created_at"]})
    await indexed.ensure_text_index("m", ["x", "z.x"])
    expected: dict[str, Record] = {}
    for record_id, document in [(f"r{n}", document) for n, document in [*enumerate(documents), *updates]]:
        for store in (plain, indexed):
            if document is None:
                await store.delete("m", record_id)
            else:
                await store.put(Record("m", record_id, document, "r", 1.0, 1.0))
        if document is None:
            expected.pop(record_id, None)
        else:
            expected[record_id] = Record("m", record_id, document, "r", 1.0, 1.0)
    records = list(expected.values())
    wanted = [
        record.id
        for record in expected_records(records, query.filters, query.sort, descending=query.descending)
    ]
    for store in (plain, indexed):
        assert await answer(store, query) == wanted
        assert await store.count("m", query.filters) == len(wanted)
        with walking():
            assert await answer(store, query) == wanted
        plan = await store.explain(query)
        assert plan.records >= len(wanted) or plan.kind == "scan"


@settings(max_examples=200, deadline=None)
@given(
    st.lists(DOCUMENTS, max_size=12),
    st.lists(st.tuples(st.integers(0, 11), st.none() | DOCUMENTS), max_size=6),
    st.lists(CONDITIONS, max_size=2),
    SORTS,
    st.tuples(st.integers(1, 5), st.booleans()),
)
def test_with_and_without_an_index_a_query_gives_the_same_records_in_the_same_order(
    documents: list[dict[str, Any]],
    updates: Updates,
    filters: list[Condition],
    sort: tuple[Sort, ...],
    shape: tuple[int, bool],
) -> None:
    limit, descending = shape
    query = RecordQuery("m", tuple(filters), limit, descending=descending, sort=sort)
    asyncio.run(compare(documents, updates, query))


class CountingDocuments(dict[int, bytes]):
    reads = 0

    def __getitem__(self, doc_id: int) -> bytes:
        self.reads += 1
        return super().__getitem__(doc_id)


def a_store(*fields: str) -> tuple[MemoryRecords, CountingDocuments]:
    store = MemoryRecords(indexed_fields={"m": fields})
    documents = store._documents["m"] = CountingDocuments()
    store._indexes["m"] = ModelIndex("m", documents, fields)
    return store, documents


@pytest.mark.parametrize(
    "condition",
    [
        Filter("device", Operator.EQ, "d7"),
        Filter("at", Operator.GE, 1990),
        Filter("at", Operator.LT, 10),
        Filter("id", Operator.EQ, "r77"),
        Filter("device", Operator.PREFIX, "d7"),
    ],
    ids=lambda condition: f"{condition.field} {condition.operator}",
)
async def test_an_indexed_query_reads_only_the_records_of_its_page(condition: Filter) -> None:
    store, documents = a_store("device", "at")
    for n in range(2000):
        await store.put(Record("m", f"r{n}", {"device": f"d{n % 50}", "at": n}, "r", 1.0, 1.0))
    for descending in (False, True):
        documents.reads = 0
        page = await store.find(RecordQuery("m", (condition,), limit=5, descending=descending))
        assert page.records
        assert documents.reads <= 6


async def test_an_index_can_be_added_while_records_change() -> None:
    store, documents = a_store()
    for n in range(1500):
        await store.put(Record("m", f"r{n}", {"at": n}, "r", 1.0, 1.0))
    query = RecordQuery("m", (Filter("at", Operator.GE, 1495),))
    async with asyncio.TaskGroup() as tasks:
        building = tasks.create_task(store.ensure_index("m", "at"))
        await asyncio.sleep(0)
        await store.put(Record("m", "r0", {"at": 5000}, "r", 1.0, 1.0))  # behind the builder
        await store.put(Record("m", "r1499", {"at": 6000}, "r", 1.0, 1.0))  # before it
        await store.delete("m", "r1498")
        await store.delete("m", "r1")
        await store.put(Record("m", "new", {"at": 7000}, "r", 1.0, 1.0))
        assert not building.done()
        expected = ["r0", "r1495", "r1496", "r1497", "r1499", "new"]
        assert [record.id for record in (await store.find(query)).records] == expected
    documents.reads = 0
    assert [record.id for record in (await store.find(query)).records] == expected
    assert documents.reads == len(expected)
    await store.ensure_index("m", "at")
    await store.delete("m", "r0")
    assert [record.id for record in (await store.find(query)).records] == expected[1:]


async def test_many_records_are_searched_in_slices_with_and_without_an_index() -> None:
    store = MemoryRecords(indexed_fields={"m": ["at"]})
    for n in range(21_000):
        await store.put(Record("m", f"r{n}", {"at": n, "other": n % 7}, "r", 1.0, 1.0))
    query = RecordQuery("m", (Filter("other", Operator.EQ, 9),), limit=3)
    wide = (Filter("at", Operator.GE, 10), Filter("other", Operator.LT, 9))
    alternatives = AnyOf(tuple(Filter("other", Operator.EQ, 9 + n) for n in range(6)))
    questions = [
        query,
        replace(query, filters=wide),
        replace(query, filters=(), sort=(Sort("other", descending=True),)),
        replace(query, filters=(), sort=(Sort("at", descending=True), Sort("other"))),
        replace(query, filters=(alternatives,)),
    ]
    longest_s = [0.0]

    async def look() -> None:
        while True:
            before = time.thread_time()  # what others of this machine do meanwhile is no work of ours
            await asyncio.sleep(0)
            longest_s[0] = max(longest_s[0], time.thread_time() - before)

    with without_collections():
        async with asyncio.TaskGroup() as tasks:
            looking = tasks.create_task(look())
            await asyncio.sleep(0)
            found = [len((await store.find(question)).records) for question in questions]
            groups = await store.aggregate(AggregateQuery("m", group_by=("other",)))
            await asyncio.sleep(0)  # a search without a slice is seen here
            looking.cancel()
    assert found == [0, 3, 3, 3, 0]
    assert [row.count for row in groups] == [3000] * 7
    assert longest_s[0] < 0.05  # a slice takes some milliseconds, a whole search more than a hundred


async def test_the_most_selective_index_is_used() -> None:
    store, documents = a_store("device", "at")
    for n in range(2000):
        await store.put(Record("m", f"r{n}", {"device": f"d{n % 2}", "at": n}, "r", 1.0, 1.0))
    documents.reads = 0
    conditions = (Filter("device", Operator.EQ, "d1"), Filter("at", Operator.GE, 1996))
    page = await store.find(RecordQuery("m", conditions))
    assert [record.id for record in page.records] == ["r1997", "r1999"]
    assert documents.reads == 4


async def test_the_event_loop_never_waits_for_the_disk(tmp_path: Path) -> None:
    with blockbuster_ctx():
        async with open_records(tmp_path, min_dead_bytes=5000) as records:
            for n in range(30):
                await records.put(Record("m", f"r{n % 3}", {"filling": "x" * 500}, "r", 1.0, 1.0))
            await records.compact()
            assert records.statistics().compactions > 1
            await records.delete("m", "r1")


async def test_memory_is_bounded() -> None:
    store = MemoryRecords(limit_bytes=1000)
    await store.put(Record("m", "a", {"filling": "x" * 500}, "r", 1.0, 1.0))
    with pytest.raises(StorageFullError):
        await store.put(Record("m", "b", {"filling": "x" * 500}, "r", 1.0, 1.0))
    await store.put(Record("m", "a", {"filling": "y" * 500}, "r2", 1.0, 1.0))
    await store.delete("m", "a")
    await store.put(Record("m", "b", {"filling": "x" * 500}, "r", 1.0, 1.0))
    assert await store.count("m") == 1
