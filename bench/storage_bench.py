"""What a write and a read of a record cost, beside stock TinyDB in the same run."""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tinydb import TinyDB

from bench.loop_pause import longest_pause_ms
from edgehost.adapters.storage.tinydb_journal import JournalDB
from edgehost.adapters.storage.tinydb_records import TinyDBRecords, open_records
from edgehost.domain.record import Record
from edgehost.domain.record_query import Filter, Operator, RecordQuery

Row = dict[str, Any]

WRITERS = 256
MODEL = "telemetry"


def _data(number: int) -> dict[str, Any]:
    return {
        "device": f"sensor-{number % 100}",
        "place": {"room": "hall", "floor": number % 5},
        "celsius": 20.0 + number % 50 / 10,
        "pascal": 101_325 - number % 1000,
        "at": 1_700_000_000 + number,
    }


def _record(number: int) -> Record:
    return Record(MODEL, f"r{number}", _data(number), f"018bcfe56800-{number:04x}-host", 1.5, 1.5)


def _row(name: str, value: float, unit: str, **more: float) -> Row:
    return {"name": name, "value": round(value, 6), "unit": unit, **more}


def _median_us(work: Callable[[int], object], times: int) -> float:
    spent = []
    for number in range(times):
        start = time.perf_counter()
        work(number)
        spent.append(time.perf_counter() - start)
    return statistics.median(spent) * 1e6


async def _fill(records: TinyDBRecords, first: int, end: int) -> None:
    for start in range(first, end, 2000):
        async with asyncio.TaskGroup() as tasks:
            for number in range(start, min(end, start + 2000)):
                tasks.create_task(records.put(_record(number)))


async def _insert_cost(sizes: list[int], batch: int) -> list[Row]:
    """CPU time per durable insert, of many writers at once: what grows with the number of records would show."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="edgehost-bench-") as folder:
        async with open_records(Path(folder), indexed_fields={MODEL: ["at"]}) as records:
            stored = 0
            costs: dict[int, float] = {}
            for size in sizes:
                await _fill(records, stored, size)
                stored = size
                before, trials = records.statistics(), []
                for _ in range(5):
                    start = time.process_time()
                    await _fill(records, stored, stored + batch)
                    trials.append((time.process_time() - start) / batch)
                    stored += batch
                written = (records.statistics().bytes_appended - before.bytes_appended) / (5 * batch)
                costs[size] = min(trials) * 1e6
                rows.append(
                    _row(
                        f"insert at {size} records, CPU",
                        costs[size],
                        "us",
                        ratio=round(costs[size] / costs[sizes[0]], 2),
                        bytes_per_insert=round(written),
                    )
                )
    return rows


async def _group_commit(writers: int, per_writer: int) -> Row:
    with tempfile.TemporaryDirectory(prefix="edgehost-bench-") as folder:
        async with open_records(Path(folder)) as records:

            async def write(writer: int) -> None:
                for number in range(per_writer):
                    await records.put(_record(writer * per_writer + number))

            before = records.statistics()
            start = time.perf_counter()
            async with asyncio.TaskGroup() as tasks:
                for writer in range(writers):
                    tasks.create_task(write(writer))
            spent = time.perf_counter() - start
            syncs = records.statistics().syncs - before.syncs
    total = writers * per_writer
    return _row(f"durable inserts, {writers} writers", total / spent, "1/s", per_sync=round(total / syncs, 1))


async def _reads(count: int) -> list[Row]:
    rows = []
    with tempfile.TemporaryDirectory(prefix="edgehost-bench-") as folder:
        async with open_records(Path(folder), indexed_fields={MODEL: ["device"]}) as records:
            await _fill(records, 0, count)
            times = 2000
            start = time.perf_counter()
            for number in range(times):
                assert await records.get(MODEL, f"r{number * 7 % count}") is not None
            rows.append(_row(f"get at {count} records", (time.perf_counter() - start) / times * 1e6, "us"))
            indexed = RecordQuery(MODEL, (Filter("device", Operator.EQ, "sensor-7"),), limit=100)
            start = time.perf_counter()
            for _ in range(20):
                assert (await records.find(indexed)).records
            by_index = (time.perf_counter() - start) / 20 * 1e3
            rows.append(_row(f"find 100 by index at {count} records", by_index, "ms"))
            scanning = RecordQuery(MODEL, (Filter("at", Operator.LT, 0),), limit=100)
            start = time.perf_counter()
            assert not (await records.find(scanning)).records
            spent = (time.perf_counter() - start) * 1e3
            rows.append(_row(f"find nothing by scan at {count} records", spent, "ms"))
            rows += await _compaction(records, count)
        start = time.perf_counter()
        async with open_records(Path(folder), indexed_fields={MODEL: ["device"]}):
            rows.append(_row(f"open {count} records", time.perf_counter() - start, "s"))
    return rows


async def _compaction(records: TinyDBRecords, count: int) -> list[Row]:
    start = time.perf_counter()
    longest_ms = await longest_pause_ms(records.compact())
    spent = time.perf_counter() - start
    return [
        _row(f"compact {count} records", spent, "s"),
        _row(f"longest pause of the loop while compacting {count} records", longest_ms, "ms"),
    ]


def _beside_stock(size: int) -> list[Row]:
    """One durable insert at a time, as TinyDB offers it."""
    documents = [{"id": f"r{number}", "data": _data(number)} for number in range(size)]
    with tempfile.TemporaryDirectory(prefix="edgehost-bench-") as folder:
        path = Path(folder, "stock.json")
        path.write_text(json.dumps({"_default": {str(n + 1): d for n, d in enumerate(documents)}}))
        with TinyDB(path) as stock:
            stock_us = _median_us(lambda n: stock.insert({"id": f"n{n}", "data": _data(n)}), 5)
            stock_get_us = _median_us(lambda n: stock.get(doc_id=n + 1), 5)
        stock_bytes = path.stat().st_size
        with JournalDB(Path(folder, "ours")) as ours:
            for start in range(0, size, 1000):
                ours.insert_multiple(documents[start : start + 1000])
            before = ours.storage.journal.counters.bytes_appended
            ours_us = _median_us(lambda n: ours.insert({"id": f"n{n}", "data": _data(n)}), 20)
            ours_bytes = (ours.storage.journal.counters.bytes_appended - before) / 20
            ours_get_us = _median_us(lambda n: ours.get(doc_id=n + 1), 20)
    return [
        _row(f"stock TinyDB insert at {size}, no sync", stock_us, "us", bytes_per_insert=stock_bytes),
        _row(
            f"journal TinyDB insert at {size}, synced",
            ours_us,
            "us",
            ratio=round(stock_us / ours_us, 1),
            bytes_per_insert=round(ours_bytes),
        ),
        _row(f"stock TinyDB get at {size}", stock_get_us, "us"),
        _row(f"journal TinyDB get at {size}", ours_get_us, "us", ratio=round(stock_get_us / ours_get_us, 1)),
    ]


def run(quick: bool = False) -> list[Row]:  # noqa: FBT001, FBT002  the benches are called alike
    """Rows of name, value and unit; ``ratio`` is to the first size, or of stock TinyDB to ours."""
    many = 10_000 if quick else 50_000
    rows = asyncio.run(_insert_cost([100, 1_000, many] if quick else [100, 10_000, many], 1000))
    rows.append(asyncio.run(_group_commit(WRITERS, 20 if quick else 80)))
    rows.append(asyncio.run(_group_commit(1, 50 if quick else 200)))
    rows += asyncio.run(_reads(many))
    for size in (100, 1_000) if quick else (100, 10_000):
        rows += _beside_stock(size)
    return rows


if __name__ == "__main__":
    for row in run():
        print(row)
