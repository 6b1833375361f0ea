"""What every transport promises, whatever carries it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edgehost.domain.errors import TooLargeError
from remotes.transport import CHUNK_BYTES, TIMESTAMP
from tests.remotes.coap_carriers import COAP_CARRIERS
from tests.remotes.web_carriers import WEB_CARRIERS
from tests.remotes.workshop import open_carrier

CARRIERS = ("folder", "mosquitto", "amqtt", *WEB_CARRIERS, *COAP_CARRIERS)
CHUNK = "chunk/" + "ab" * 32
OTHER = "chunk/" + "cd" * 32


@pytest.fixture(params=CARRIERS)
def carrier(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_what_was_published_is_fetched_byte_for_byte(carrier: str, tmp_path: Path) -> None:
    content = bytes(range(256)) * (CHUNK_BYTES // 256)
    async with open_carrier(carrier, tmp_path) as (publisher, reader):
        await publisher.publish(CHUNK, content)
        assert await reader.fetch(CHUNK, most_bytes=CHUNK_BYTES) == content
        assert await reader.fetch(CHUNK, most_bytes=CHUNK_BYTES) == content


async def test_a_missing_file_is_none_and_not_a_long_wait(carrier: str, tmp_path: Path) -> None:
    async with open_carrier(carrier, tmp_path) as (publisher, reader):
        await publisher.publish(TIMESTAMP, b"{}")
        await reader.fetch(TIMESTAMP, most_bytes=100)
        async with asyncio.timeout(8):  # whoever waits for an answer in vain waits for ten seconds
            assert await reader.fetch("metadata/2.root.json", most_bytes=100) is None


async def test_nothing_is_found_where_nothing_was_ever_published(carrier: str, tmp_path: Path) -> None:
    async with open_carrier(carrier, tmp_path) as (_, reader):
        assert await reader.fetch(TIMESTAMP, most_bytes=100) is None


async def test_a_file_over_the_bound_is_refused_and_the_next_one_is_served(
    carrier: str, tmp_path: Path
) -> None:
    async with open_carrier(carrier, tmp_path) as (publisher, reader):
        await publisher.publish(TIMESTAMP, b"{}")
        await publisher.publish(CHUNK, b"x" * 1001)
        with pytest.raises(TooLargeError, match="bytes"):
            await reader.fetch(CHUNK, most_bytes=1000)
        assert await reader.fetch(CHUNK, most_bytes=1001) == b"x" * 1001


async def test_a_removed_file_is_gone_and_removing_it_again_is_no_error(carrier: str, tmp_path: Path) -> None:
    async with open_carrier(carrier, tmp_path) as (publisher, reader):
        await publisher.publish(TIMESTAMP, b"{}")
        await publisher.publish(CHUNK, b"content")
        await publisher.remove(CHUNK)
        await publisher.remove(CHUNK)
        assert await reader.fetch(CHUNK, most_bytes=100) is None


async def test_publishing_replaces_what_was_there(carrier: str, tmp_path: Path) -> None:
    async with open_carrier(carrier, tmp_path) as (publisher, reader):
        assert await reader.fetch(TIMESTAMP, most_bytes=100) is None  # it listens before anything is there
        await publisher.publish(TIMESTAMP, b"old")
        await publisher.publish(TIMESTAMP, b"new")
        assert await reader.fetch(TIMESTAMP, most_bytes=100) == b"new"


async def test_a_new_timestamp_is_a_change_and_other_files_are_not(carrier: str, tmp_path: Path) -> None:
    async with open_carrier(carrier, tmp_path) as (publisher, reader):
        await publisher.publish(TIMESTAMP, b"one")
        assert await reader.fetch(TIMESTAMP, most_bytes=100) == b"one"
        changes = reader.changes()
        await publisher.publish(CHUNK, b"content")
        await publisher.publish(TIMESTAMP, b"two!")
        async with asyncio.timeout(20):
            await anext(changes)
        assert await reader.fetch(TIMESTAMP, most_bytes=100) == b"two!"


async def test_the_changes_end_when_the_transport_closes(carrier: str, tmp_path: Path) -> None:
    async with open_carrier(carrier, tmp_path) as (publisher, reader):
        await publisher.publish(TIMESTAMP, b"one")
        await reader.fetch(TIMESTAMP, most_bytes=100)
        changes = reader.changes()
    async with asyncio.timeout(20):
        assert [change async for change in changes] in ([], [None])


async def test_many_fetches_at_once_each_get_their_own_file(carrier: str, tmp_path: Path) -> None:
    names = [f"chunk/{number:064x}" for number in range(20)]
    async with open_carrier(carrier, tmp_path) as (publisher, reader):
        await publisher.publish(TIMESTAMP, b"{}")
        for name in names[::2]:
            await publisher.publish(name, name.encode())
        async with asyncio.TaskGroup() as tasks:
            fetches = {
                name: tasks.create_task(reader.fetch(name, most_bytes=100)) for name in [*names, *names]
            }
        for number, name in enumerate(names):
            assert fetches[name].result() == (None if number % 2 else name.encode())


@pytest.mark.parametrize(
    "path", ["../secret", "metadata/../x.json", "/etc/passwd", "chunk/XYZ", "metadata/#.json", "chunk/+", ""]
)
async def test_a_path_that_leads_elsewhere_is_refused(carrier: str, tmp_path: Path, path: str) -> None:
    async with open_carrier(carrier, tmp_path) as (publisher, reader):
        with pytest.raises(ValueError, match="no path of a repository"):
            await reader.fetch(path, most_bytes=10)
        with pytest.raises(ValueError, match="no path of a repository"):
            await publisher.publish(path, b"x")


async def test_the_address_is_for_people_and_names_no_secret(carrier: str, tmp_path: Path) -> None:
    async with open_carrier(carrier, tmp_path) as (_, reader):
        assert str(tmp_path) in reader.address or "127.0.0.1" in reader.address
