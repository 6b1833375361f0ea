"""Every record store lists in pages: in order of creation, by cursors that hold while records come and go."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgehost.domain.errors import InvalidQueryError
from edgehost.domain.record_query import Filter, Operator, RecordQuery
from edgehost.ports.record_store import RecordStore
from tests.contracts.record_stores import OpenStore, a_record, open_store

__all__ = ["open_store"]  # the fixture


async def pages_of(store: RecordStore, query: RecordQuery) -> list[list[str]]:
    pages = []
    while True:
        page = await store.find(query)
        pages.append([record.id for record in page.records])
        if not page.next_cursor:
            return pages
        assert len(page.next_cursor) < 100
        query = replace(query, after=page.next_cursor)


async def test_pages_come_in_order_of_creation_in_both_directions(open_store: OpenStore) -> None:
    async with open_store() as store:
        for n in range(10):
            await store.put(a_record(f"r{n}", {"value": n % 2}))
        await store.put(a_record("r3", {"value": 1}))  # an update keeps its place
        expected = [f"r{n}" for n in range(10)]
        assert await pages_of(store, RecordQuery("reading", limit=4)) == [
            expected[:4],
            expected[4:8],
            expected[8:],
        ]
        backwards = expected[::-1]
        assert await pages_of(store, RecordQuery("reading", limit=5, descending=True)) == [
            backwards[:5],
            backwards[5:],
        ]
        odd = (Filter("value", Operator.EQ, 1),)
        assert await pages_of(store, RecordQuery("reading", odd, limit=2)) == [
            ["r1", "r3"],
            ["r5", "r7"],
            ["r9"],
        ]
        assert await pages_of(store, RecordQuery("reading", odd, limit=3, descending=True)) == [
            ["r9", "r7", "r5"],
            ["r3", "r1"],
        ]
        assert [record.id async for record in store.scan("reading")] == expected


async def test_a_cursor_stays_put_while_records_come_and_go(open_store: OpenStore) -> None:
    async with open_store() as store:
        for n in range(6):
            await store.put(a_record(f"r{n}"))
        page = await store.find(RecordQuery("reading", limit=3))
        for gone in ("r0", "r2", "r4"):  # r2 is where the cursor stands
            await store.delete("reading", gone)
        await store.put(a_record("r0"))  # created again: now the newest
        rest = await store.find(RecordQuery("reading", after=page.next_cursor))
        assert [record.id for record in rest.records] == ["r3", "r5", "r0"]


async def test_a_record_created_after_deletions_is_never_behind_a_cursor(open_store: OpenStore) -> None:
    async with open_store() as store:
        for n in range(3):
            await store.put(a_record(f"r{n}"))
        page = await store.find(RecordQuery("reading", limit=2))
        await store.delete("reading", "r1")
        await store.delete("reading", "r2")
        await store.put(a_record("new"))
        rest = await store.find(RecordQuery("reading", after=page.next_cursor))
        assert [record.id for record in rest.records] == ["new"]


@pytest.mark.parametrize(
    "after", ["x", "é", "!" * 40, "A" * 5000, "AAAAAAAAAAAAAAAAAA", "AQAAAAAAAAABAAAAAA"]
)
async def test_a_foreign_cursor_is_refused(open_store: OpenStore, after: str) -> None:
    async with open_store() as store:
        with pytest.raises(InvalidQueryError):
            await store.find(RecordQuery("reading", after=after))


async def test_a_cursor_belongs_to_its_model_and_direction(open_store: OpenStore) -> None:
    async with open_store() as store:
        for n in range(3):
            await store.put(a_record(f"r{n}"))
            await store.put(a_record(f"r{n}", model="other"))
        cursor = (await store.find(RecordQuery("reading", limit=1))).next_cursor
        with pytest.raises(InvalidQueryError):
            await store.find(RecordQuery("other", after=cursor))
        with pytest.raises(InvalidQueryError):
            await store.find(RecordQuery("reading", after=cursor, descending=True))
