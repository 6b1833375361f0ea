"""Records on the disk: when they show, what a restart finds, and what a compaction leaves."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from tinydb import TinyDB, where

from edgehost.adapters.storage import group_commit
from edgehost.adapters.storage.group_commit import Batch
from edgehost.adapters.storage.tinydb_records import TinyDBRecords, open_records
from edgehost.domain.errors import BusyError, EdgehostError, StorageFullError, UnavailableError
from edgehost.domain.record import Record
from edgehost.domain.record_query import Filter, Operator, RecordQuery
from tests.adapters.storage.faulty_disk import UnsyncedDisk


class GatedDisk(UnsyncedDisk):
    """Holds every sync until the gate opens, and tells when one has come."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.loop = asyncio.get_running_loop()
        self.arrived = asyncio.Event()

    def sync(self, descriptor: int) -> None:
        self.loop.call_soon_threadsafe(self.arrived.set)
        assert self.gate.wait(10)
        super().sync(descriptor)

    def close_gate(self) -> None:
        self.gate.clear()
        self.arrived.clear()


def a_record(record_id: str, value: Any = 1, *, model: str = "reading", revision: str = "r") -> Record:
    return Record(model, record_id, {"value": value}, revision, 1.0, 1.0)


def contents_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


async def all_ids(records: TinyDBRecords, model: str = "reading") -> list[str]:
    return [record.id async for record in records.scan(model)]


async def put_all(records: TinyDBRecords, *wanted: Record) -> None:
    async with asyncio.TaskGroup() as tasks:
        for record in wanted:
            tasks.create_task(records.put(record))


async def test_a_record_shows_only_once_it_is_durable(tmp_path: Path) -> None:
    disk = GatedDisk()
    async with open_records(tmp_path, disk=disk) as records, asyncio.TaskGroup() as tasks:
        await records.put(a_record("a", 1))
        disk.close_gate()
        update = tasks.create_task(records.put(a_record("a", 2)))
        await disk.arrived.wait()
        create = tasks.create_task(records.put(a_record("b")))
        await asyncio.sleep(0)
        assert await records.get("reading", "a") == a_record("a", 1)
        assert await records.count("reading") == 1
        assert not update.done()
        disk.gate.set()
        await update
        assert await records.get("reading", "a") == a_record("a", 2)
        await create
        assert await records.count("reading") == 2


async def test_writers_who_wait_share_one_sync(tmp_path: Path) -> None:
    async with open_records(tmp_path) as records:
        before = records.statistics().syncs
        await put_all(records, *[a_record(f"r{n}", model=f"model-{n % 7}") for n in range(200)])
        assert records.statistics().syncs - before <= 2


async def test_a_cancelled_writer_stops_waiting_and_hurts_no_other(tmp_path: Path) -> None:
    disk = GatedDisk()
    async with open_records(tmp_path, disk=disk) as records:
        disk.close_gate()
        async with asyncio.TaskGroup() as tasks:
            on_its_way = tasks.create_task(records.put(a_record("on-its-way")))
            await disk.arrived.wait()
            waiting = tasks.create_task(records.put(a_record("waiting")))
            other = tasks.create_task(records.put(a_record("other")))
            await asyncio.sleep(0)
            on_its_way.cancel()
            waiting.cancel()
            await asyncio.sleep(0)
            assert on_its_way.cancelled()
            disk.gate.set()
            await other
        assert await all_ids(records) == ["on-its-way", "other"]


async def test_the_queue_of_writers_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "MAX_WAITING_BYTES", 1000)
    disk = GatedDisk()
    async with open_records(tmp_path, disk=disk) as records, asyncio.TaskGroup() as tasks:
        disk.close_gate()
        tasks.create_task(records.put(a_record("first")))
        await disk.arrived.wait()
        tasks.create_task(records.put(a_record("second", "x" * 400)))
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await records.put(a_record("third", "x" * 400))
        disk.gate.set()
    async with open_records(tmp_path) as records:
        assert await all_ids(records) == ["first", "second"]


async def test_a_second_host_on_the_same_folder_is_refused_until_the_first_has_gone(tmp_path: Path) -> None:
    async with open_records(tmp_path) as records:
        await records.put(a_record("a"))
        with pytest.raises(UnavailableError, match=f"in use by another host \\(process {os.getpid()}\\)"):
            async with open_records(tmp_path):
                pass
    async with open_records(tmp_path) as records:
        assert await all_ids(records) == ["a"]


async def test_a_closed_store_takes_nothing_more_but_finishes_what_waits(tmp_path: Path) -> None:
    async with asyncio.TaskGroup() as tasks:
        async with open_records(tmp_path) as records:
            writing = [tasks.create_task(records.put(a_record(f"r{n}"))) for n in range(5)]
            await asyncio.sleep(0)
        assert all(task.done() for task in writing)
    with pytest.raises(UnavailableError):
        await records.put(a_record("late"))
    with pytest.raises(UnavailableError):
        await records.compact()
    async with open_records(tmp_path) as records:
        assert await records.count("reading") == 5


async def test_opening_that_nobody_waits_for_gives_the_folder_back(tmp_path: Path) -> None:
    async def never_gets_there() -> None:
        async with open_records(tmp_path):
            raise AssertionError

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(never_gets_there())
        await asyncio.sleep(0)
        task.cancel()
    async with asyncio.timeout(30):
        while True:
            try:
                async with open_records(tmp_path) as records:
                    await records.put(a_record("a"))
                    break
            except UnavailableError:
                await asyncio.sleep(0.001)


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    records_before: dict[tuple[str, str], Record] = {}
    for round_number in range(4):
        async with open_records(tmp_path, indexed_fields={"reading": ["value"]}) as records:
            assert await records.count("reading") == len([k for k in records_before if k[0] == "reading"])
            for (model, record_id), record in records_before.items():
                assert await records.get(model, record_id) == record
            new = [a_record(f"r{n}", n + round_number) for n in range(0, 30, round_number + 1)]
            new += [a_record(f"x{round_number}", model="other", revision=f"v{round_number}")]
            await put_all(records, *new)
            records_before |= {(record.model, record.id): record for record in new}
            if round_number:
                await records.compact()
            await records.delete("reading", f"r{round_number * 3}")
            records_before.pop(("reading", f"r{round_number * 3}"), None)
            page = await records.find(RecordQuery("reading", (Filter("value", Operator.GE, 28),)))
            assert {record.id for record in page.records} == {
                record.id
                for record in records_before.values()
                if record.model == "reading" and record.data["value"] >= 28
            }


async def test_a_cursor_outlives_a_restart_and_a_compaction_and_its_place_is_never_given_out_again(
    tmp_path: Path,
) -> None:
    async with open_records(tmp_path) as records:
        for n in range(5):
            await records.put(a_record(f"r{n}"))
        cursor = (await records.find(RecordQuery("reading", limit=4))).next_cursor
        await records.delete("reading", "r4")
        await records.delete("reading", "r3")
        await records.compact()
    async with open_records(tmp_path) as records:
        await records.put(a_record("new"))
        page = await records.find(RecordQuery("reading", after=cursor))
        assert [record.id for record in page.records] == ["new"]


async def test_stock_tinydb_opens_the_compacted_file(tmp_path: Path) -> None:
    async with open_records(tmp_path) as records:
        await put_all(records, *[a_record(f"r{n}", n) for n in range(20)])
        await records.put(a_record("accents", "é \U0001f600", model="other-model"))
        before = records.compacted_file
        await records.compact()
        path = records.compacted_file
    assert before is None
    assert path is not None
    with TinyDB(path, access_mode="r") as database:
        assert database.tables() == {"reading", "other-model"}
        table = database.table("reading")
        assert len(table) == 20
        (found,) = table.search(where("data")["value"] == 7)
        assert found["id"] == "r7"
        assert table.get(doc_id=1)["id"] == "r0"
        assert database.table("other-model").all()[0]["data"] == {"value": "é \U0001f600"}


async def test_compactions_happen_by_themselves_beside_the_writers_and_bound_the_disk(tmp_path: Path) -> None:
    async with open_records(tmp_path, min_dead_bytes=20_000) as records:
        for n in range(40):
            await put_all(records, *[a_record(f"r{i}", f"{n} " + "x" * 50) for i in range(30)])
        await records.compact()
        statistics = records.statistics()
        assert statistics.compactions >= 3
        assert statistics.records == 30
        # Dead weight is compacted when it passes the live weight (and the minimum), so wear at most doubles.
        assert statistics.bytes_compacted <= statistics.bytes_appended
        await put_all(records, *[a_record(f"r{i}", "last") for i in range(15)])
    assert sum(map(len, contents_of(tmp_path).values())) < 120_000
    async with open_records(tmp_path) as records:
        values = [record.data["value"] async for record in records.scan("reading")]
        assert values == ["last"] * 15 + ["39 " + "x" * 50] * 15
        assert records.damage == ()


async def test_a_large_compaction_lets_the_event_loop_run(tmp_path: Path) -> None:
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with open_records(tmp_path) as records:
        await put_all(records, *[a_record(f"r{n}", "x" * 100) for n in range(3000)])
        async with asyncio.TaskGroup() as tasks:
            other = tasks.create_task(take_turns())
            compacting = tasks.create_task(records.compact())
            await asyncio.sleep(0)
            while not compacting.done():
                await records.put(a_record(f"during-{turns}"))
            other.cancel()
        assert turns > 2
        count = await records.count("reading")
        assert count > 3000
    async with open_records(tmp_path) as records:
        assert await records.count("reading") == count


@pytest.mark.parametrize("count", [10, 3000])
async def test_a_write_costs_the_same_whatever_is_stored(tmp_path: Path, count: int) -> None:
    async with open_records(tmp_path) as records:
        await put_all(records, *[a_record(f"r{n:05}", n) for n in range(count)])
        before = records.statistics()
        await records.put(a_record("new-one", 10_000))
        await records.delete("reading", "r00005")
        after = records.statistics()
    assert after.syncs - before.syncs == 2
    assert 100 < after.bytes_appended - before.bytes_appended < 220


async def test_damage_is_logged_reported_and_gone_after_the_next_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_records(tmp_path) as records:
        await put_all(records, *[a_record(f"r{n}", n) for n in range(5)])
    journal = tmp_path / "records-000001.journal"
    journal.write_bytes(contents_of(tmp_path)[journal.name].replace(b'"id":"r2"', b'"id":"rX"'))
    with caplog.at_level(logging.ERROR, "edgehost.storage"):
        async with open_records(tmp_path) as records:
            assert await all_ids(records) == ["r0", "r1", "r3", "r4"]
            (damage,) = records.damage
            assert "records-000001.journal" in str(damage)
            assert records.statistics().damages == 1
    assert "does not match its checksum" in caplog.text
    async with open_records(tmp_path) as records:
        assert await all_ids(records) == ["r0", "r1", "r3", "r4"]
        assert records.damage == ()


async def test_a_torn_tail_is_told_apart_from_damage_and_costs_no_compaction(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_records(tmp_path) as records:
        await records.put(a_record("a"))
    journal = tmp_path / "records-000001.journal"
    journal.write_bytes(contents_of(tmp_path)[journal.name] + b"00000000 100 put 2 read")
    async with open_records(tmp_path) as records:
        assert await all_ids(records) == ["a"]
        assert [damage.acknowledged for damage in records.damage] == [False]
        await records.put(a_record("b"))
        assert records.statistics().damages == records.statistics().compactions == 0
    assert "had not been acknowledged" in caplog.text
    async with open_records(tmp_path) as records:
        assert await all_ids(records) == ["a", "b"]
        assert records.damage == ()


async def test_many_damages_do_not_fill_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with open_records(tmp_path) as records:
        await records.put(a_record("a"))
    journal = tmp_path / "records-000001.journal"
    line = contents_of(tmp_path)[journal.name]
    journal.write_bytes(b"".join(b"garbage %d\n" % n + line for n in range(100)))
    async with open_records(tmp_path) as records:
        assert await all_ids(records) == ["a"]
    assert 20 < len(caplog.records) < 25
    assert "80 more damaged places" in caplog.text


async def test_the_records_have_a_limit_and_deleting_makes_room(tmp_path: Path) -> None:
    async with open_records(tmp_path, limit_bytes=2500) as records:
        await put_all(records, *[a_record(f"r{n}", "x" * 300) for n in range(4)])
        with pytest.raises(StorageFullError, match="2500 bytes"):
            await records.put(a_record("r5", "x" * 800))
        assert await records.count("reading") == 4
        await records.put(a_record("r0", "y" * 300))  # no larger than before
        await records.delete("reading", "r0")
        await records.delete("reading", "r1")
        await records.put(a_record("r5", "x" * 800))
        assert await all_ids(records) == ["r2", "r3", "r5"]


async def test_a_defect_in_the_plan_reaches_the_writer_instead_of_hanging(tmp_path: Path) -> None:
    async with open_records(tmp_path) as records:

        def defective(_writes: object) -> Batch:
            raise ZeroDivisionError

        records._commit._plan = defective
        async with asyncio.timeout(30):
            with pytest.raises(ZeroDivisionError):
                await records.put(a_record("a"))


async def test_errors_are_edgehost_errors_with_a_hint(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    with pytest.raises(EdgehostError) as caught:
        async with open_records(file):
            pass
    assert caught.value.hint
