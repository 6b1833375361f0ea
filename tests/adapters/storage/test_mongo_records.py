"""A MongoDB-compatible database: lost, found again, and never quoted with its password."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgehost.adapters.broker.free_port import free_port
from edgehost.adapters.storage.cached_records import CachedRecords
from edgehost.adapters.storage.memory_records import MemoryRecords
from edgehost.adapters.storage.mongo_records import MongoRecords, open_mongo_records
from edgehost.domain.errors import InvalidConfigError, UnavailableError
from edgehost.domain.record import Record
from edgehost.domain.record_query import Filter, Operator, RecordQuery, Sort
from tests.contracts.compatible_server import compatible_server, forgetful_driver, start_server

# What one test makes the driver forget may be found while the next one runs.
pytestmark = forgetful_driver


@pytest.fixture(autouse=True, scope="module")
def _found_here() -> Iterator[None]:
    """The last loop is closed by then: nothing is left for the tests of other files to stumble over."""
    yield
    gc.collect()


def record(number: int, revision: str = "r1") -> Record:
    return Record(
        "reading", f"r{number}", {"n": number, "big": 2**70 if number == 3 else 0}, revision, 1.0, 1.0
    )


async def stored(records: MongoRecords, what: Record) -> bool:
    try:
        await records.put(what)
    except UnavailableError:
        return False
    return True


async def test_a_server_that_went_away_is_found_again(tmp_path: Path) -> None:
    compatible_server()  # skips without the program
    tcp_port = free_port()
    program = Path(sys.executable).with_name("nx-27017")
    server = await asyncio.to_thread(start_server, program, tcp_port)
    url = f"mongodb://127.0.0.1:{tcp_port}"
    async with open_mongo_records(url, timeout_s=0.4) as records:
        await records.put(record(1))
        server.kill()
        await asyncio.to_thread(server.wait)
        for asking in (
            records.get("reading", "r1"),
            records.count("reading"),
            records.find(RecordQuery("reading")),
        ):
            with pytest.raises(UnavailableError):
                await asking
        with pytest.raises(UnavailableError):
            await records.put(record(2))
        await asyncio.to_thread(start_server, program, tcp_port)
        async with asyncio.timeout(30):
            while not await stored(records, record(2)):  # a busy machine may need more than one try of 0.4 s
                continue
        assert await records.get("reading", "r2") == record(2)


async def test_no_error_quotes_the_url() -> None:
    url = f"mongodb://anna:s3cret@127.0.0.1:{free_port()}"
    async with open_mongo_records(url, timeout_s=0.1) as records:
        with pytest.raises(UnavailableError) as caught:
            await records.get("reading", "a")
    assert "s3cret" not in f"{caught.value!r}{caught.value}{caught.value.__cause__!r}"


@pytest.mark.parametrize(
    "url", ["", "http://x", "mongodb://", "mongodb://a:b:c@x/?q", "mongodb://x:99999999"]
)
async def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidConfigError, match="url_file"):
        async with open_mongo_records(url):
            pass


async def test_two_openings_go_on_counting_and_remember_the_newest_revision() -> None:
    database = "two-openings"
    for start in (0, 10):
        async with open_mongo_records(compatible_server(), database=database) as records:
            for number in range(start, start + 5):
                await records.put(record(number, f"r{number:03}"), expected_revision="")
    async with open_mongo_records(compatible_server(), database=database) as records:
        expected = [f"r{n}" for n in (0, 1, 2, 3, 4, 10, 11, 12, 13, 14)]
        assert [each.id async for each in records.scan("reading")] == expected
        assert await records.newest_revision("reading") == "r014"
        assert await records.newest_revision("other") == ""
        # r3 holds a number that BSON cannot: it is found all the same, in an instance that did not write it.
        assert (await records.find(RecordQuery("reading", (Filter("big", Operator.GT, 2**69),)))).records[
            0
        ].id == "r3"


async def test_a_sorted_page_of_many_records_is_bounded_in_memory() -> None:
    async with open_mongo_records(compatible_server(), database="many") as records:
        async with asyncio.TaskGroup() as tasks:
            for number in range(700):
                tasks.create_task(records.put(Record("m", f"r{number}", {"n": -number}, "r", 1.0, 1.0)))
        page = await records.find(RecordQuery("m", limit=2, sort=(Sort("n"),)))
        assert [each.data["n"] for each in page.records] == [-699, -698]


async def test_the_cache_answers_and_never_with_what_was_overwritten() -> None:
    class Slow(MemoryRecords):
        gate: asyncio.Event | None = None

        async def get(self, model: str, record_id: str) -> Record | None:
            found = await super().get(model, record_id)
            if self.gate is not None:
                await self.gate.wait()
            return found

    slow = Slow()
    cached = CachedRecords(slow, entries=3)
    for number in range(5):
        await cached.put(record(number))
    for number in (0, 1, 2, 3, 3, 1):
        assert await cached.get("reading", f"r{number}") == record(number)
    assert cached.hits == 2
    assert await cached.get("reading", "r0") == record(0)  # the least used had to go
    assert cached.hits == 2
    await cached.put(record(0, "r2"))
    slow.gate = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(cached.get("reading", "r0"))
        await asyncio.sleep(0)
        await cached.put(record(0, "r3"))  # while the old revision is on its way
        slow.gate.set()
    assert (found := reading.result()) is not None
    assert found.revision == "r2"
    assert (after := await cached.get("reading", "r0")) is not None
    assert after.revision == "r3"
    assert await cached.delete("reading", "r0")
    assert await cached.get("reading", "r0") is None


async def test_the_cache_is_bounded_in_bytes() -> None:
    store = MemoryRecords()
    cached = CachedRecords(store, entries=100, most_bytes=2000)
    for number in range(10):
        await cached.put(Record("m", f"r{number}", {"x": "y" * 900}, "r", 1.0, 1.0))
        await cached.get("m", f"r{number}")
    assert cached._bytes <= 2000
