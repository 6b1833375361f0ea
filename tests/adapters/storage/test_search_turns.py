"""Long searches leave the loop to others, one slice at a time, and are not endlessly many."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from edgehost.adapters.storage import search_turns
from edgehost.adapters.storage.memory_records import MemoryRecords
from edgehost.adapters.storage.search_turns import PAUSE_S, SearchTurns
from edgehost.domain.errors import BusyError
from edgehost.domain.record import Record
from edgehost.domain.record_query import Filter, Operator, RecordQuery


async def test_between_two_slices_of_any_searches_the_loop_is_free() -> None:
    turns = SearchTurns()
    loop = asyncio.get_running_loop()
    moments: list[float] = []

    async def search() -> None:
        pace = turns.search()
        for _ in range(3):
            await pace.pause()
            moments.append(loop.time())

    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(search())
    assert len(moments) == 12
    gaps = [after - before for before, after in pairwise(moments)]
    assert min(gaps) > PAUSE_S / 2


async def test_a_search_works_for_a_slice_and_then_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_turns, "SLICE_S", 3600.0)
    assert not SearchTurns().search().is_over()
    monkeypatch.setattr(search_turns, "SLICE_S", 0.0)
    assert SearchTurns().search().is_over()


async def test_only_so_many_long_searches_wait_and_the_work_of_the_host_is_none_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(search_turns, "SLICE_S", 0.0)  # every record is a slice
    monkeypatch.setattr(search_turns, "MOST_WAITING", 2)
    store = MemoryRecords()
    for n in range(20):
        await store.put(Record("m", f"r{n}", {"n": n}, "r", 1.0, 1.0))
    query = RecordQuery("m", (Filter("n", Operator.GE, 18),))
    async with asyncio.TaskGroup() as tasks:
        first, second = (tasks.create_task(store.find(query)) for _ in range(2))
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match="indexed field"):
            await store.find(query)
        assert [record.id async for record in store.scan("m")] == [f"r{n}" for n in range(20)]
    assert [record.id for record in first.result().records] == ["r18", "r19"]
    assert first.result() == second.result()
