"""[store-1] What was acknowledged survives a power cut at any instant: old or new, never neither."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgehost.adapters.storage.disk import Disk
from edgehost.adapters.storage.document_codec import encode_document
from edgehost.adapters.storage.journal_lines import Change
from edgehost.adapters.storage.tinydb_journal import JournalStorage
from edgehost.adapters.storage.tinydb_records import TinyDBRecords, open_records
from edgehost.domain.record import Record
from tests.adapters.storage.faulty_disk import (
    Aftermath,
    Moment,
    PowerCutDisk,
    PowerCutError,
    UnsyncedDisk,
)

State = dict[tuple[str, int], bytes]
COMPACT = "compact"


def put(table: str, doc_id: int, value: Any) -> Change:
    return Change("put", table, doc_id, encode_document({"value": value}))


def delete(table: str, doc_id: int) -> Change:
    return Change("del", table, doc_id)


#: Each entry is one acknowledged step.
WORK: list[list[Change] | str] = [
    [put("a", 1, "one")],
    [put("a", 2, "two"), put("b", 1, "x" * 300)],
    [put("a", 1, "one again")],
    COMPACT,
    [delete("a", 2)],
    [put("b", 2, "after the first base"), delete("b", 1)],
    COMPACT,
    [put("a", 3, "after the second base")],
    [put("a", 1, "third version")],
    COMPACT,
    [delete("a", 3)],
]


def after(state: State, changes: list[Change] | str) -> State:
    state = dict(state)
    for change in changes if isinstance(changes, list) else ():
        if change.op == "put":
            state[change.table, change.doc_id] = change.raw
        else:
            del state[change.table, change.doc_id]
    return state


NOTHING_STORED: State = {}
STATES: list[State] = list(itertools.accumulate(WORK, after, initial=NOTHING_STORED))


def state_of(storage: JournalStorage) -> State:
    return {(t, n): raw for t, documents in storage.documents.items() for n, raw in documents.items()}


def opened(folder: Path, disk: Disk) -> JournalStorage:
    return JournalStorage(folder, disk=disk, min_dead_bytes=1 << 30)


def work(storage: JournalStorage) -> Iterator[int]:
    """Number of steps acknowledged so far."""
    for number, changes in enumerate(WORK, 1):
        if isinstance(changes, str):
            storage.compact()
        else:
            storage.apply(changes)
        yield number


def count_steps(folder: Path) -> int:
    folder.mkdir()
    disk = PowerCutDisk(folder)
    storage = opened(folder, disk)
    assert list(work(storage)) == list(range(1, len(WORK) + 1))
    storage.close()
    return disk.steps


def cut_power(folder: Path, stop_at: int, moment: Moment) -> tuple[PowerCutDisk, int]:
    """Work until the power goes; the number of steps acknowledged by then."""
    folder.mkdir()
    disk = PowerCutDisk(folder, stop_at, moment)
    acknowledged = 0
    storage = None
    try:
        storage = opened(folder, disk)
        for acknowledged in work(storage):  # noqa: B007  the last one counts
            pass
    except PowerCutError:
        pass
    if storage is not None:
        storage.close()
    return disk, acknowledged


def require_old_or_new(folder: Path, acknowledged: int) -> State:
    storage = opened(folder, UnsyncedDisk())
    state = state_of(storage)
    storage.close()
    assert state in STATES[acknowledged : acknowledged + 2]
    return state


@pytest.mark.parametrize("moment", list(Moment))
def test_a_power_cut_at_any_step_leaves_the_old_state_or_the_new(tmp_path: Path, moment: Moment) -> None:
    steps = count_steps(tmp_path / "count")
    assert steps > 40
    for stop_at in range(1, steps + 1):
        here = tmp_path / str(stop_at)
        disk, acknowledged = cut_power(here, stop_at, moment)
        for aftermath in Aftermath:
            found = disk.left_behind(tmp_path / f"{stop_at} {aftermath}", aftermath)
            state = require_old_or_new(found, acknowledged)
            # What comes next is stored too, and what was there stays.
            storage = opened(found, UnsyncedDisk())
            storage.apply([put("next", 7, "goes on")])
            storage.compact()
            storage.apply([put("next", 8, "and on")])
            expected = after(state, [put("next", 7, "goes on"), put("next", 8, "and on")])
            storage.close()
            storage = opened(found, UnsyncedDisk())
            assert state_of(storage) == expected
            storage.close()


def test_a_second_power_cut_while_opening_after_the_first_costs_nothing_either(tmp_path: Path) -> None:
    steps = count_steps(tmp_path / "count")
    for stop_at in range(1, steps + 1, 3):
        disk, acknowledged = cut_power(tmp_path / str(stop_at), stop_at, Moment.HALFWAY)
        for aftermath in (Aftermath.HALF, Aftermath.EVERYTHING):
            for second in range(1, 6):
                found = disk.left_behind(tmp_path / f"{stop_at} {aftermath} {second}", aftermath)
                again = PowerCutDisk(found, second, Moment.AFTER)
                with contextlib.suppress(PowerCutError):
                    opened(found, again).close()
                left = again.left_behind(tmp_path / f"{stop_at} {aftermath} {second} left", Aftermath.NOTHING)
                require_old_or_new(left, acknowledged)


def test_a_journal_cut_off_at_any_byte_keeps_every_whole_line(tmp_path: Path) -> None:
    folder = tmp_path / "whole"
    storage = opened(folder, UnsyncedDisk())
    ends = [0]
    for number in range(1, 9):
        storage.apply([put("a", number, "v" * number)])
        ends.append((folder / "records-000001.journal").stat().st_size)
    storage.close()
    content = (folder / "records-000001.journal").read_bytes()
    for size in range(len(content)):
        cut = tmp_path / str(size)
        cut.mkdir()
        (cut / "records-000001.journal").write_bytes(content[:size])
        storage = opened(cut, UnsyncedDisk())
        # A line that lacks only its end is whole.
        whole = sum(1 for end in ends[1:] if end - 1 <= size)
        assert len(state_of(storage)) == whole
        storage.apply([put("b", 1, "next")])
        storage.close()
        storage = opened(cut, UnsyncedDisk())
        assert len(state_of(storage)) == whole + 1
        assert not storage.journal.damages
        storage.close()


async def write_until_the_power_goes(folder: Path, disk: PowerCutDisk) -> dict[str, int]:
    """The last acknowledged round of each record, written by several writers with compactions beside them."""
    acknowledged: dict[str, int] = {}

    async def write(records: TinyDBRecords, name: str) -> None:
        for number in range(1, 25):
            data = {"round": number, "filling": "x" * 40}
            await records.put(Record("reading", name, data, f"r{number}", 1.0, 1.0))
            acknowledged[name] = number

    with contextlib.suppress(BaseExceptionGroup, PowerCutError):
        async with (
            open_records(folder, disk=disk, min_dead_bytes=500) as records,
            asyncio.TaskGroup() as tasks,
        ):
            for name in ("a", "b", "c"):
                tasks.create_task(write(records, name))
    return acknowledged


async def test_writers_beside_a_compaction_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    (tmp_path / "count").mkdir()
    counting = PowerCutDisk(tmp_path / "count")
    assert await write_until_the_power_goes(tmp_path / "count", counting) == {"a": 24, "b": 24, "c": 24}
    assert counting.steps > 50
    for stop_at in range(1, counting.steps):
        here = tmp_path / str(stop_at)
        here.mkdir()
        disk = PowerCutDisk(here, stop_at, list(Moment)[stop_at % 3])
        acknowledged = await write_until_the_power_goes(here, disk)
        for aftermath in (Aftermath.NOTHING, Aftermath.EVERYTHING, Aftermath.REMOVALS, Aftermath.HALF):
            left = disk.left_behind(tmp_path / f"{stop_at} {aftermath}", aftermath)
            async with open_records(left, disk=UnsyncedDisk()) as records:
                found = {record.id: record.data["round"] async for record in records.scan("reading")}
                assert not [damage for damage in records.damage if damage.acknowledged]
            for name, number in acknowledged.items():
                assert found[name] in (number, number + 1)
