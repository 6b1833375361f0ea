"""A disk that refuses: the error says so, nothing has changed, and work goes on when there is room again."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgehost.adapters.storage.disk import Disk
from edgehost.adapters.storage.folder_shelf import open_shelf
from edgehost.adapters.storage.tinydb_journal import JournalStorage
from edgehost.adapters.storage.tinydb_records import TinyDBRecords, open_records
from edgehost.domain.errors import StorageFullError, UnavailableError
from edgehost.domain.record import Record
from edgehost.domain.record_query import Filter, Operator, RecordQuery
from tests.adapters.storage.faulty_disk import FailingDisk, UnsyncedDisk
from tests.adapters.storage.test_power_cuts import WORK, State, after, state_of


def opened(folder: Path, disk: Disk) -> JournalStorage:
    return JournalStorage(folder, disk=disk, min_dead_bytes=1 << 30)


def work_past_errors(storage: JournalStorage) -> State:
    """What should be stored when every step either counts or changes nothing."""
    state: State = {}
    for changes in WORK:
        refusal: UnavailableError | None = None
        try:
            if isinstance(changes, str):
                storage.compact()
            else:
                known = [c for c in changes if c.op == "put" or (c.table, c.doc_id) in state]
                storage.apply(known)
                state = after(state, known)
        except UnavailableError as error:
            refusal = error
        assert refusal is None or "nothing was changed" in refusal.message
        assert state_of(storage) == state
    return state


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_an_error_at_any_step_changes_nothing_and_is_got_over(tmp_path: Path, error: int) -> None:
    counting = FailingDisk()
    storage = opened(tmp_path / "count", counting)
    first = counting.steps
    work_past_errors(storage)
    storage.close()
    for fail_at in range(first + 1, counting.steps + 1):
        disk = FailingDisk(fail_at, error=error)
        storage = opened(tmp_path / str(fail_at), disk)
        state = work_past_errors(storage)
        storage.close()
        assert disk.failures == 1
        storage = opened(tmp_path / str(fail_at), UnsyncedDisk())
        assert state_of(storage) == state
        assert not storage.journal.damages
        storage.close()


def test_an_error_that_lasts_changes_nothing_until_it_is_mended(tmp_path: Path) -> None:
    for fail_at in range(6, 40, 3):
        disk = FailingDisk(fail_at, lasting=True)
        folder = tmp_path / str(fail_at)
        storage = opened(folder, disk)
        work_past_errors(storage)
        state = state_of(storage)
        disk.mend()
        more = after(state, WORK[0])
        storage.apply([change for change in WORK[0] if not isinstance(change, str)])
        assert state_of(storage) == more
        storage.close()
        storage = opened(folder, UnsyncedDisk())
        assert state_of(storage) == more
        storage.close()


def files_in(folder: Path, suffix: str = "") -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and suffix in ("", path.suffix)]


def a_record(record_id: str, value: Any, revision: str = "r") -> Record:
    return Record("reading", record_id, {"value": value}, revision, 1.0, 1.0)


async def test_writers_who_share_a_failed_sync_all_learn_of_it_and_indexes_stay_true(tmp_path: Path) -> None:
    disk = FailingDisk()
    async with open_records(tmp_path, disk=disk, indexed_fields={"reading": ["value"]}) as records:
        await records.put(a_record("a", 1, "r1"))
        disk._fail_at = disk.steps + 1
        results: list[str] = []

        async def put(record: Record, expected: str | None) -> None:
            try:
                await records.put(record, expected_revision=expected)
                results.append("stored")
            except StorageFullError:
                results.append("full")

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(put(a_record("a", 2, "r2"), "r1"))
            # Both rest on what was not stored: whether they conflict cannot be said.
            tasks.create_task(put(a_record("a", 3, "r3"), "r1"))
            tasks.create_task(put(a_record("a", 4, "r4"), "r2"))
            tasks.create_task(put(a_record("b", 5), ""))
        assert results == ["full"] * 4
        assert await records.get("reading", "a") == a_record("a", 1, "r1")
        assert await records.count("reading") == 1
        page = await records.find(RecordQuery("reading", (Filter("value", Operator.GT, 1),)))
        assert page.records == ()
        await records.put(a_record("a", 2, "r2"), expected_revision="r1")
        assert await records.delete("reading", "a") is True
    async with open_records(tmp_path) as records:
        assert await records.count("reading") == 0
        assert records.damage == ()


async def test_a_full_disk_does_not_keep_a_host_from_reading(tmp_path: Path) -> None:
    async with open_records(tmp_path / "r") as records:
        await records.put(a_record("a", 1))
    journal = tmp_path / "r" / "records-000001.journal"
    journal.write_bytes(journal.read_bytes() + b"torn")
    disk = FailingDisk(2, lasting=True)
    async with open_records(tmp_path / "r", disk=disk) as records:
        assert await records.get("reading", "a") == a_record("a", 1)
        with pytest.raises(StorageFullError):
            await records.put(a_record("b", 1))
        disk.mend()
        await records.put(a_record("b", 1))
    async with open_records(tmp_path / "r") as records:
        assert await records.count("reading") == 2
        assert records.damage == ()


class SmallDisk(UnsyncedDisk):
    """Has room for so many bytes, whatever files they are in."""

    def __init__(self, folder: Path, room: int) -> None:
        self.folder = folder
        self.room = room

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        if sum(path.stat().st_size for path in self.folder.iterdir()) + len(data) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(descriptor, data, offset)


async def fill(records: TinyDBRecords, first: int) -> int:
    """Put until the disk is full; the number of records then."""
    try:
        while True:
            await records.put(a_record(f"r{first}", "x" * 400))
            first += 1
    except StorageFullError:
        return first


async def test_on_a_full_disk_the_generation_before_is_the_reserve_for_deleting_and_compacting(
    tmp_path: Path,
) -> None:
    disk = SmallDisk(tmp_path, 20_000)
    async with open_records(tmp_path, disk=disk) as records:
        for n in range(8):
            await records.put(a_record(f"r{n}", "x" * 400))
        await records.compact()  # the journal before it stays
        stored = await fill(records, 8)
        assert stored > 15
        disk.room = sum(path.stat().st_size for path in files_in(tmp_path))  # not a byte is left
        for n in range(stored - 2):
            assert await records.delete("reading", f"r{n}")
        await records.compact()
        assert await fill(records, stored) > stored
        count = await records.count("reading")
    async with open_records(tmp_path, disk=UnsyncedDisk()) as records:
        assert await records.count("reading") == count
        assert records.damage == ()


async def test_a_compaction_without_room_is_told_and_costs_nothing(tmp_path: Path) -> None:
    disk = FailingDisk()
    async with open_records(tmp_path, disk=disk, min_dead_bytes=1000) as records:
        await records.put(a_record("a", "x" * 500))
        disk._fail_at = disk.steps + 5  # beyond the new journal: the first write of the base
        with pytest.raises(StorageFullError):
            await records.compact()
        await records.put(a_record("b", 1))
        disk.mend()
        await records.compact()
        await records.put(a_record("c", 1))
    assert files_in(tmp_path, ".tmp") == []
    async with open_records(tmp_path) as records:
        assert await records.count("reading") == 3


CHILD = """
import asyncio, json, resource, sys
from pathlib import Path
from edgehost.adapters.storage.tinydb_records import TinyDBRecords, open_records
from edgehost.domain.errors import StorageFullError
from edgehost.domain.record import Record

def record(number):
    return Record("reading", f"r{number}", {"value": "v" * 200}, "r", 1.0, 1.0)

async def main():
    stored, refused = 0, ""
    async with open_records(Path(sys.argv[1])) as records:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
        try:
            while True:
                await records.put(record(stored))
                stored += 1
        except StorageFullError as error:
            refused = error.message
        assert await records.count("reading") == stored
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await records.put(record(stored))
        stored += 1
    print(json.dumps({"stored": stored, "refused": refused}))

asyncio.run(main())
"""


async def test_the_real_size_limit_of_a_process_is_a_full_disk_too(tmp_path: Path) -> None:
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", CHILD, str(tmp_path)],
        capture_output=True,
        check=False,
        timeout=30,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert "no room" in told["refused"]
    assert 30 < told["stored"] < 100
    async with open_records(tmp_path) as records:
        assert await records.count("reading") == told["stored"]
        assert records.damage == ()


async def test_a_shelf_without_room_changes_nothing(tmp_path: Path) -> None:
    content = b"c" * 5000
    digest = hashlib.sha256(content).hexdigest()
    counting = FailingDisk()
    async with open_shelf(tmp_path / "count", disk=counting) as shelf:
        first = counting.steps
        await shelf.put(digest, content)
    for fail_at in range(first + 1, counting.steps + 1):
        disk = FailingDisk(fail_at)
        async with open_shelf(tmp_path / str(fail_at), disk=disk) as shelf:
            with pytest.raises(StorageFullError):
                await shelf.put(digest, content)
            assert not await shelf.has(digest)
            assert await shelf.size_bytes() == 0
            await shelf.put(digest, content)
            assert await shelf.get(digest) == content
        assert files_in(tmp_path / str(fail_at), ".tmp") == []
