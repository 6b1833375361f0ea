"""One repository in several places, of which any may lie, be silent, or have only a part."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edgehost.domain.errors import RemoteUnreachableError, TooLargeError, UntrustedReleaseError
from remotes.change_signals import ChangeSignals
from remotes.folder_transport import FolderTransport, open_folder_transport
from remotes.mirrored_source import MirroredSource, Place, open_mirrored_source
from remotes.remote import TrustedRemote, open_trusted_remote
from remotes.transport import TIMESTAMP, Transport
from tests.remotes.workshop import Workshop

CONTENT = b"a chunk"
CHUNK = "chunk/" + hashlib.sha256(CONTENT).hexdigest()


def empty_folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


class Silent(FolderTransport):
    """A place that can be cut off, and counts who asks."""

    cut = False
    asked = 0

    async def fetch(self, path: str, *, most_bytes: int) -> bytes | None:
        self.asked += 1
        if self.cut:
            raise RemoteUnreachableError("Nobody answers.")
        return await super().fetch(path, most_bytes=most_bytes)


class Street:
    """Some places and a clock that stands still."""

    def __init__(self, places: list[Place], now: list[float], mirrored: MirroredSource) -> None:
        self.places = places
        self.now = now
        self.mirrored = mirrored

    def __getitem__(self, number: int) -> Silent:
        source = self.places[number].source
        assert isinstance(source, Silent)
        return source


@asynccontextmanager
async def street(folder: Path, *, near: int | None = None, count: int = 3) -> AsyncIterator[Street]:
    now = [1000.0]
    places = [
        Place(Silent(empty_folder(folder / f"place-{number}")), near=number == near)
        for number in range(count)
    ]
    async with open_mirrored_source(places, now=lambda: now[0]) as mirrored:
        yield Street(places, now, mirrored)


async def test_a_chunk_comes_from_the_neighbour_first_and_from_the_next_when_it_has_none(
    tmp_path: Path,
) -> None:
    async with street(tmp_path, near=2) as places:
        await places[0].publish(CHUNK, CONTENT)
        assert await places.mirrored.fetch(CHUNK, most_bytes=100) == CONTENT
        assert [places[n].asked for n in range(3)] == [1, 0, 1]
        await places[2].publish(CHUNK, CONTENT)
        assert await places.mirrored.fetch(CHUNK, most_bytes=100) == CONTENT
        assert [places[n].asked for n in range(3)] == [1, 0, 2]
        assert places.places[2].served_bytes == len(CONTENT)


async def test_a_mirror_that_lies_is_noticed_asked_last_and_forgiven_later(tmp_path: Path) -> None:
    async with street(tmp_path, near=1) as places:
        await places[0].publish(CHUNK, CONTENT)
        await places[1].publish(CHUNK, b"another")
        for _ in range(2):
            assert await places.mirrored.fetch(CHUNK, most_bytes=100) == CONTENT
        assert places.places[1].lies == 1
        assert places[1].asked == 1
        places.now[0] += 61
        assert await places.mirrored.fetch(CHUNK, most_bytes=100) == CONTENT
        assert places.places[1].lies == 2


async def test_what_only_a_liar_has_cannot_be_had_and_what_nobody_has_is_none(tmp_path: Path) -> None:
    async with street(tmp_path) as places:
        assert await places.mirrored.fetch(CHUNK, most_bytes=100) is None
        await places[1].publish(CHUNK, b"another")
        with pytest.raises(RemoteUnreachableError, match="other bytes"):
            await places.mirrored.fetch(CHUNK, most_bytes=100)


async def test_a_mirror_that_serves_too_much_costs_nothing_while_another_serves_the_chunk(
    tmp_path: Path,
) -> None:
    async with street(tmp_path) as places:
        await places[0].publish(CHUNK, CONTENT * 100)
        await places[1].publish(CHUNK, CONTENT)
        assert await places.mirrored.fetch(CHUNK, most_bytes=len(CONTENT)) == CONTENT
        await places[1].remove(CHUNK)
        places.now[0] += 61
        with pytest.raises(TooLargeError):
            await places.mirrored.fetch(CHUNK, most_bytes=len(CONTENT))


async def test_metadata_comes_from_the_first_that_answers_and_stays_with_it(tmp_path: Path) -> None:
    async with street(tmp_path) as places:
        for number in range(3):
            await places[number].publish(TIMESTAMP, f"{number}".encode())
        places[0].cut = True
        assert await places.mirrored.fetch(TIMESTAMP, most_bytes=100) == b"1"
        places[0].cut = False
        assert await places.mirrored.fetch(TIMESTAMP, most_bytes=100) == b"1"
        for number in range(3):
            places[number].cut = True
        with pytest.raises(RemoteUnreachableError):
            await places.mirrored.fetch(TIMESTAMP, most_bytes=100)


async def test_news_of_any_place_is_news_and_that_place_leads(tmp_path: Path) -> None:
    first = Silent(empty_folder(tmp_path / "first"))  # nobody watches it: it has no news of its own
    async with (
        open_folder_transport(empty_folder(tmp_path / "second"), poll_s=0.02) as second,
        open_mirrored_source([Place(first), Place(second)], now=lambda: 0.0) as mirrored,
    ):
        await first.publish(TIMESTAMP, b"old")
        assert await mirrored.fetch(TIMESTAMP, most_bytes=100) == b"old"
        assert await second.fetch(TIMESTAMP, most_bytes=100) is None
        changes = mirrored.changes()
        await second.publish(TIMESTAMP, b"newer")
        async with asyncio.timeout(10):
            await anext(changes)
        await mirrored.follow_news()
        assert await mirrored.fetch(TIMESTAMP, most_bytes=100) == b"newer"


class Telling(Silent):
    """A place that tells of news when the test says so."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.news = ChangeSignals()

    def changes(self) -> AsyncIterator[None]:
        return self.news.listen()


@asynccontextmanager
async def two_that_tell(shop: Workshop, folder: Path) -> AsyncIterator[tuple[list[Telling], TrustedRemote]]:
    """A repository in two places, looked at once."""
    places = [Telling(empty_folder(folder / name)) for name in ("first", "second")]
    async with (
        open_mirrored_source([Place(place) for place in places], now=lambda: 0.0) as mirrored,
        open_trusted_remote(
            "demo", mirrored, folder=folder / "state", root_file=shop.root_file, now=lambda: shop.now
        ) as remote,
    ):
        for place in places:
            await shop.mirror(place)
        assert [offer.version for offer in await remote.refresh()] == ["1.0.0"]
        yield places, remote


async def both_told(places: list[Telling], remote: TrustedRemote) -> None:
    """Both tell before anybody looks."""
    changes = remote.changes()  # from here on it misses nothing
    for place in places:
        place.news.fire()
        async with asyncio.timeout(10):
            await anext(changes)


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    shop = Workshop(tmp_path / "repository")
    shop.publish("1.0.0")
    return shop


@pytest.mark.parametrize("last", [0, 1])
async def test_of_two_that_tell_before_anybody_looks_the_newest_is_seen_whoever_told_last(
    shop: Workshop, tmp_path: Path, last: int
) -> None:
    async with two_that_tell(shop, tmp_path) as (places, remote):
        shop.publish("1.1.0")
        await shop.mirror(places[0])
        shop.publish("1.2.0")
        await shop.mirror(places[1])
        await both_told([places[1 - last], places[last]], remote)
        assert [offer.version for offer in await remote.refresh()] == ["1.0.0", "1.1.0", "1.2.0"]


async def test_of_two_that_tell_one_that_lies_hides_nothing(shop: Workshop, tmp_path: Path) -> None:
    async with two_that_tell(shop, tmp_path) as (places, remote):
        stranger = Workshop(tmp_path / "strangers")
        for version in ("1.0.0", "1.1.0", "1.2.0", "1.3.0"):
            stranger.publish(version)
        await stranger.mirror(places[0])
        shop.publish("1.1.0")
        await shop.mirror(places[1])
        await both_told([places[1], places[0]], remote)
        assert [offer.version for offer in await remote.refresh()] == ["1.0.0", "1.1.0"]


@pytest.mark.parametrize("alone", [True, False])
async def test_news_of_one_that_does_not_answer_is_looked_at_when_it_does(
    shop: Workshop, tmp_path: Path, *, alone: bool
) -> None:
    async with two_that_tell(shop, tmp_path) as (places, remote):
        shop.publish("1.1.0")
        await shop.mirror(places[0])
        shop.publish("1.2.0")
        await shop.mirror(places[1])
        await both_told(places[1:] if alone else [places[1], places[0]], remote)
        places[1].cut = True
        assert [offer.version for offer in await remote.refresh()] == ["1.0.0", "1.1.0"]
        places[1].cut = False
        assert [offer.version for offer in await remote.refresh()] == ["1.0.0", "1.1.0", "1.2.0"]


async def test_a_mirror_with_forged_metadata_stops_nobody(tmp_path: Path) -> None:
    shop = Workshop(tmp_path / "repository")
    shop.publish("1.0.0")
    async with street(tmp_path, count=2) as places:
        mirrors: list[Transport] = [places[0], places[1]]
        for mirror in mirrors:
            await shop.mirror(mirror)
        forged = bytearray(shop.file(TIMESTAMP))
        forged[len(forged) // 2] ^= 1
        await places[0].publish(TIMESTAMP, bytes(forged))
        async with open_trusted_remote(
            "demo",
            places.mirrored,
            folder=tmp_path / "state",
            root_file=shop.root_file,
            now=lambda: shop.now,
        ) as remote:
            (offer,) = await remote.refresh()
            assert len(await remote.fetch(offer)) == offer.size_bytes
            await places[1].publish(TIMESTAMP, bytes(forged))
            shop.publish("1.1.0")
            with pytest.raises(UntrustedReleaseError):
                await remote.refresh()
