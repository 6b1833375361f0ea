"""What queries cost at 1 000, 10 000 and 100 000 records: by index, by scan, sorted, summed up, by words, across."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from bench.loop_pause import longest_pause_ms
from edgehost.adapters.services.local_event_bus import LocalEventBus
from edgehost.adapters.services.system_clock import SystemClock
from edgehost.adapters.storage.memory_records import MemoryRecords
from edgehost.adapters.storage.tinydb_records import open_records
from edgehost.domain.component_spec import Grants, read_component_spec
from edgehost.domain.record import Record, RevisionClock
from edgehost.domain.record_aggregation import AggregateQuery, Function, Measure
from edgehost.domain.record_query import Condition, Filter, Operator, RecordQuery, Sort, Words
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.find_instance import ObjectBroker
from edgehost.usecases.follow_relation import Relations, follow_relation
from edgehost.usecases.import_records import import_records
from edgehost.usecases.live_models import LiveModels
from edgehost.usecases.record_keeping import RecordKeeping

Row = dict[str, Any]

SHELF = {
    "name": "shelf",
    "version": "1.0.0",
    "kind": "model",
    "model": {"relations": {"readings": {"model": "reading", "type": "one_to_many", "foreign_key": "shelf"}}},
}
READING = {
    "name": "reading",
    "version": "1.0.0",
    "kind": "model",
    "model": {
        "schema": {"properties": {"celsius": {"type": "number"}}, "required": ["celsius"]},
        "access": {"relation": {"allow": ["shelf"]}},
    },
}
_WORDS = ("warm", "cold", "pump", "motor", "valve", "quiet", "broken", "new")


class _NoComponents:
    """Records of this benchmark have no hooks: a call of one is a mistake here."""

    async def call(
        self, component: str, function: str, payload: bytes, *, context: CallContext = CallContext()
    ) -> bytes:
        raise AssertionError(f"{component} was asked for {function}: {payload!r} by {context.chain}")

    def blame(self, component: str) -> None:
        raise AssertionError(f"{component} was blamed")


def _data(number: int) -> dict[str, Any]:
    return {
        "shelf": f"s{number % 500}",
        "celsius": 20 + number * 7919 % 1000 / 10,
        "at": number,
        "note": f"{_WORDS[number % 8]} {_WORDS[number // 8 % 8]} unit{number % 997}",
    }


async def _filled(store: MemoryRecords, count: int) -> None:
    for number in range(count):
        await store.put(
            Record(
                "reading", f"r{number}", _data(number), f"018bcfe56800-{number % 65536:04x}-h", number, 1.0
            )
        )


async def _median_ms(work: Callable[[], Awaitable[Any]], times: int) -> float:
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        await work()
        spent.append(time.perf_counter() - start)
    return sorted(spent)[len(spent) // 2] * 1e3


async def _queries(count: int) -> list[Row]:
    store = MemoryRecords(limit_bytes=1 << 30)
    for field in ("at", "celsius", "shelf"):
        await store.ensure_index("reading", field)
    await store.ensure_text_index("reading", ("note",))
    await _filled(store, count)
    middle = Filter("at", Operator.GE, count - 50)
    unindexed = Filter("note", Operator.CONTAINS, "unit996 nowhere")
    warmest = (Sort("celsius", descending=True),)
    figures = AggregateQuery(
        "reading",
        measures=(Measure(Function.AVG, "celsius"), Measure(Function.MAX, "celsius")),
        group_by=("shelf",),
    )

    def find(*conditions: Condition, **options: Any) -> Callable[[], Awaitable[Any]]:  # noqa: ANN401  RecordQuery's own
        query = RecordQuery("reading", conditions, **options)
        return lambda: store.find(query)

    scans = 1 if count > 10_000 else 5
    rows = []
    for name, work, times in (
        ("range of 50 by index", find(middle), 20),
        ("one value by index, page of 10", find(Filter("shelf", Operator.EQ, "s7"), limit=10), 20),
        ("nothing by scan", find(unindexed), scans),
        ("sorted page of 20 by index", find(sort=warmest, descending=True, limit=20), 20),
        ("sorted page of 20 by scan", find(sort=(Sort("note"),), limit=20), scans),
        ("two words, page of 20", find(Words("mot bro", ("note",)), limit=20), 5),
        ("one rare word", find(Words("unit996", ("note",))), 20),
        ("count by index", lambda: store.count("reading", (middle,)), 20),
        ("average and maximum of 500 groups", lambda: store.aggregate(figures), scans),
    ):
        rows.append(_row(f"{name}, {count} records", await _median_ms(work, times), "ms"))
    if count >= 10_000:
        pause = await longest_pause_ms(store.find(RecordQuery("reading", (unindexed,))))
        rows.append(_row(f"longest pause of the loop in a scan of {count}", pause, "ms"))
    rows.append(await _traversal(store, count))
    return rows


async def _traversal(store: MemoryRecords, count: int) -> Row:
    keeping, models = _kept(store)
    relations = Relations(
        keeping, models, ObjectBroker(store, models), lambda _: Grants(models=("reading", "shelf"))
    )
    shelf = Record("shelf", "s7", {}, "r", 1.0, 1.0)
    model = models.table.named("shelf")
    spent = await _median_ms(lambda: follow_relation(relations, model, shelf, "readings", limit=20), 50)
    return _row(f"relation to 20, {count} records", spent, "ms")


def _kept(store: MemoryRecords) -> tuple[RecordKeeping, LiveModels]:
    models = LiveModels()
    for document in (SHELF, READING):
        models.serve(read_component_spec(document), digest="0" * 64)
    return RecordKeeping(store, LocalEventBus(), SystemClock(), RevisionClock("b"), _NoComponents()), models


async def _import(count: int) -> Row:
    content = b"".join(
        json.dumps({"id": f"r{number}", "data": _data(number)}).encode() + b"\n" for number in range(count)
    )

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 65_536):
            yield content[start : start + 65_536]

    with tempfile.TemporaryDirectory(prefix="edgehost-bench-") as folder:
        async with open_records(Path(folder)) as records:
            models = LiveModels()
            models.serve(read_component_spec(READING), digest="0" * 64)
            keeping = RecordKeeping(
                records, LocalEventBus(), SystemClock(), RevisionClock("b"), _NoComponents()
            )
            start = time.perf_counter()
            report = await import_records(keeping, models.table.named("reading"), chunks())
            spent = time.perf_counter() - start
    assert report.created == count
    return _row("durable import, schema checked", count / spent, "1/s", records=count)


def _row(name: str, value: float, unit: str, **more: float) -> Row:
    return {"name": name, "value": round(value, 4), "unit": unit, **more}


def run(quick: bool = False) -> list[Row]:  # noqa: FBT001, FBT002  the benches are called alike
    """Rows of name, value and unit."""
    rows = []
    for count in (1_000, 10_000) if quick else (1_000, 10_000, 100_000):
        rows += asyncio.run(_queries(count))
    rows.append(asyncio.run(_import(5_000 if quick else 50_000)))
    return rows


if __name__ == "__main__":
    for row in run():
        print(row)
