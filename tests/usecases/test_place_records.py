"""Where a model's records are kept is decided in the open: nothing is left behind unsaid."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from edgehost.adapters.storage.cached_records import CachedRecords
from edgehost.adapters.storage.memory_records import MemoryRecords
from edgehost.adapters.storage.placement_file import PlacementFile
from edgehost.adapters.storage.routed_records import RoutedRecords
from edgehost.domain.component_spec import ComponentSpec, read_component_spec
from edgehost.domain.errors import ConflictError, DamagedError, InvalidConfigError, UnavailableError
from edgehost.domain.record import Record, RevisionClock
from edgehost.domain.record_query import Filter, Operator, RecordQuery, Words
from edgehost.usecases.place_records import RecordPlaces, Source, SourceWish


class Away(MemoryRecords):
    """A store that can be out of reach."""

    away = False

    async def ensure_index(self, model: str, field: str) -> None:
        self._require()
        await super().ensure_index(model, field)

    async def put(self, record: Record, *, expected_revision: str | None = None) -> None:
        self._require()
        await super().put(record, expected_revision=expected_revision)

    def _require(self) -> None:
        if self.away:
            raise UnavailableError("The database does not answer.")


class Host:
    """What survives a restart, and what the configuration says."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "sources.json"
        self.journal, self.memory, self.far = MemoryRecords(), MemoryRecords(), Away()
        self.wishes: dict[str, SourceWish] = {}
        self.far_name = "far"

    async def start(self) -> tuple[RoutedRecords, RecordPlaces]:
        routes = RoutedRecords(self.journal)
        sources = {"tinydb": Source("tinydb", self.journal), "memory": Source("memory", self.memory)}
        if self.far_name:
            sources[self.far_name] = Source("mongo", self.far, is_here=False)
        places = RecordPlaces(
            sources=sources,
            routes=routes,
            revisions=RevisionClock("here"),
            kept=PlacementFile(self.file),
            wish_of=lambda component: self.wishes.get(component, SourceWish()),
            cached=lambda store, entries: CachedRecords(store, entries=entries),
        )
        await places.open()
        return routes, places


def orders(**source: Any) -> ComponentSpec:
    return read_component_spec(
        {
            "name": "orders",
            "version": "1.0.0",
            "kind": "model",
            "model": {
                "name": "order",
                "source": source,
                "properties": {"number": {"unique": True}},
                "relations": {"lines": {"model": "line", "type": "one_to_many", "foreign_key": "order"}},
            },
        }
    )


def record(number: int) -> Record:
    return Record("order", f"o{number}", {"number": number}, f"r{number}", 1.0, 1.0)


async def test_the_author_wishes_and_the_host_decides(tmp_path: Path) -> None:
    host = Host(tmp_path)
    routes, places = await host.start()
    await places.place(orders())
    assert places.source_of("order") == "tinydb"
    await places.place(orders(adapter="mongo"))
    assert places.source_of("order") == "far"
    await routes.put(record(1))
    assert await host.far.count("order") == 1
    host.wishes["orders"] = SourceWish("memory", move_records=True)
    await places.place(orders(adapter="mongo"))
    assert (places.source_of("order"), await host.memory.count("order")) == ("memory", 1)


async def test_a_wish_that_cannot_be_met_is_refused_plainly(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.far_name = ""
    _, places = await host.start()
    with pytest.raises(InvalidConfigError, match="no such source") as caught:
        await places.place(orders(adapter="mongo"))
    assert "[components.orders]" in caught.value.hint


async def test_records_are_not_left_behind_by_a_change(tmp_path: Path) -> None:
    host = Host(tmp_path)
    routes, places = await host.start()
    await places.place(orders())
    await routes.put(record(1))
    with pytest.raises(ConflictError, match="1 records in the source 'tinydb'") as caught:
        await places.place(orders(adapter="mongo"))
    assert "move_records" in caught.value.hint
    host.wishes["orders"] = SourceWish("far")
    with pytest.raises(ConflictError):
        await host.start()
    assert await routes.get("order", "o1") == record(1)


async def test_records_are_moved_in_order_when_that_is_asked_for(tmp_path: Path) -> None:
    host = Host(tmp_path)
    routes, places = await host.start()
    await places.place(orders())
    for number in range(150):
        await routes.put(record(number))
    host.wishes["orders"] = SourceWish("far", move_records=True)
    routes, places = await host.start()
    assert [each.id async for each in routes.scan("order")] == [f"o{number}" for number in range(150)]
    assert (await host.far.count("order"), await host.journal.count("order")) == (150, 0)
    await places.place(orders())
    routes, places = await host.start()  # nothing more to do
    assert await routes.count("order") == 150


async def test_a_move_that_breaks_off_loses_nothing_and_is_done_again(tmp_path: Path) -> None:
    host = Host(tmp_path)
    routes, places = await host.start()
    await places.place(orders())
    for number in range(10):
        await routes.put(record(number))
    host.wishes["orders"] = SourceWish("far", move_records=True)
    host.far.away = True
    with pytest.raises(UnavailableError):
        await host.start()
    assert await host.journal.count("order") == 10
    host.far.away = False
    routes, _ = await host.start()
    assert (await routes.count("order"), await host.journal.count("order")) == (10, 0)


async def test_writes_wait_while_records_are_moved(tmp_path: Path) -> None:
    routes = RoutedRecords(old := MemoryRecords())
    await routes.put(record(1))
    async with asyncio.TaskGroup() as tasks, routes.writes_paused("order"):
        writing = tasks.create_task(routes.put(record(2)))
        other = tasks.create_task(routes.put(Record("other", "x", {}, "r", 1.0, 1.0)))
        while not other.done():
            await asyncio.sleep(0)
        assert await routes.get("order", "o1") == record(1)
        assert not writing.done()
        routes.route("order", new := MemoryRecords())
    assert (await old.count("order"), await new.count("order")) == (1, 1)


async def test_records_in_a_source_that_is_gone_are_missed_at_the_start(tmp_path: Path) -> None:
    host = Host(tmp_path)
    _, places = await host.start()
    await places.place(orders(adapter="far"))
    host.far_name = ""
    with pytest.raises(InvalidConfigError, match="not configured"):
        await host.start()


async def test_indexes_are_made_for_what_the_model_declares(tmp_path: Path) -> None:
    host = Host(tmp_path)
    routes, places = await host.start()
    await places.place(orders(indexes=["total"], text=["note"]))
    for number in range(100):
        await routes.put(record(number))
        await routes.put(Record("line", f"l{number}", {"order": f"o{number}"}, "r", 1.0, 1.0))
    for model, condition, kind in (
        ("order", Filter("total", Operator.EQ, 1), "nothing"),
        ("order", Filter("number", Operator.EQ, 1), "index"),
        ("order", Filter("other", Operator.EQ, 1), "scan"),
        ("order", Words("a", ("note",)), "nothing"),
        ("line", Filter("order", Operator.EQ, "o1"), "index"),
    ):
        plan = await routes.explain(RecordQuery(model, (condition,)))
        assert plan.kind == kind, condition


async def test_a_source_that_is_away_does_not_keep_the_model_from_going_live(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.far.away = True
    routes, places = await host.start()
    await places.place(orders(adapter="far", indexes=["total"]))
    with pytest.raises(UnavailableError):
        await routes.put(record(1))
    host.far.away = False
    await places.place(orders(adapter="far", indexes=["total"]))
    await routes.put(record(1))
    plan = await routes.explain(RecordQuery("order", (Filter("number", Operator.EQ, 1),)))
    assert plan.kind == "index"


@pytest.mark.parametrize("content", [b"[]", b"{", b'{"a": 1}', b'{"a": ["x"]}', b'{"A": ["x", "y"]}'])
async def test_a_table_that_is_not_ours_is_no_reason_to_guess(tmp_path: Path, content: bytes) -> None:
    host = Host(tmp_path)
    host.file.write_bytes(content)
    with pytest.raises(DamagedError):
        await host.start()
