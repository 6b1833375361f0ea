"""What a server of repositories reads from: a folder, and what a host has of a remote."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edgehost.adapters.storage.folder_shelf import FolderShelf, open_shelf
from edgehost.domain.errors import TooLargeError
from edgehost.domain.offered_release import OfferedRelease
from remotes.served_repository import ServedRepository, most_bytes_of, open_served_folder
from remotes.shelf_repository import open_shelf_repository
from remotes.transport import CHUNK_BYTES, METADATA_MOST_BYTES, TIMESTAMP
from tests.remotes.workshop import Site, component_bytes, open_site


async def no_pause() -> None:
    await asyncio.sleep(0)


async def shelved(site: Site, shelf: FolderShelf) -> OfferedRelease:
    """The host takes the newest telemetry and puts it on its shelf."""
    offers = [offer for offer in await site.remote.refresh() if offer.component == "telemetry"]
    await shelf.put(offers[-1].digest, await site.remote.fetch(offers[-1]))
    return offers[-1]


async def everything_needed(served: ServedRepository, offer: OfferedRelease) -> bytes:
    content = b""
    for chunk in offer.chunks:
        part = await served.read(f"chunk/{chunk}", CHUNK_BYTES)
        assert part is not None
        content += part
    return content


async def test_a_folder_is_served_as_it_is_and_nothing_outside_it(tmp_path: Path) -> None:
    (tmp_path / "metadata").mkdir()
    (tmp_path / TIMESTAMP).write_bytes(b"{}")
    (tmp_path / "secret").write_bytes(b"no")
    async with open_served_folder(tmp_path) as served:
        assert await served.read(TIMESTAMP, 2) == b"{}"
        assert await served.read("metadata/1.root.json", 2) is None
        with pytest.raises(TooLargeError):
            await served.read(TIMESTAMP, 1)
        with pytest.raises(ValueError, match="no path of a repository"):
            await served.read("metadata/../secret", 100)


async def test_a_hosts_shelf_serves_all_that_a_neighbour_needs(tmp_path: Path) -> None:
    async with (
        open_site("folder", tmp_path) as site,
        open_shelf(tmp_path / "shelf") as shelf,
        open_shelf_repository(site.state / "trusted", shelf, pause=no_pause) as served,
    ):
        assert await served.read(TIMESTAMP, 100_000) is None  # it trusts nothing yet
        offer = await shelved(site, shelf)
        for path, content in site.shop.files().items():
            if path.startswith("metadata/") and not path.startswith(("metadata/1.", "metadata/2.")):
                assert await served.read(path, METADATA_MOST_BYTES) == content, path
        assert await served.read("metadata/1.root.json", METADATA_MOST_BYTES) == site.shop.file(
            "metadata/1.root.json"
        )
        assert await everything_needed(served, offer) == component_bytes(seed="telemetry1.1.0")


async def test_what_a_host_never_fetched_it_does_not_serve_until_it_has(tmp_path: Path) -> None:
    async with (
        open_site("folder", tmp_path) as site,
        open_shelf(tmp_path / "shelf") as shelf,
        open_shelf_repository(site.state / "trusted", shelf, pause=no_pause) as served,
    ):
        pump = next(offer for offer in await site.remote.refresh() if offer.component == "pump")
        assert await served.read(f"chunk/{pump.chunks[0]}", CHUNK_BYTES) is None
        await shelf.put(pump.digest, await site.remote.fetch(pump))
        assert await everything_needed(served, pump) == component_bytes(seed="pump2.0.0")
        await shelf.collect([])
        assert await served.read(f"chunk/{pump.chunks[0]}", CHUNK_BYTES) is None


async def test_a_flipped_byte_on_the_shelf_is_not_given_away(tmp_path: Path) -> None:
    async with (
        open_site("folder", tmp_path) as site,
        open_shelf(tmp_path / "shelf") as shelf,
        open_shelf_repository(site.state / "trusted", shelf, pause=no_pause) as served,
    ):
        offer = await shelved(site, shelf)
        file = tmp_path / "shelf/files" / offer.digest
        file.write_bytes(b"!" + file.read_bytes()[1:])
        assert await served.read(f"chunk/{offer.chunks[0]}", CHUNK_BYTES) is None
        assert await served.read(f"chunk/{offer.chunks[1]}", CHUNK_BYTES) is not None


async def test_a_half_taken_state_has_no_timestamp(tmp_path: Path) -> None:
    async with (
        open_site("folder", tmp_path) as site,
        open_shelf(tmp_path / "shelf") as shelf,
        open_shelf_repository(site.state / "trusted", shelf, pause=no_pause) as served,
    ):
        await shelved(site, shelf)
        (site.state / "trusted/snapshot.json").unlink()
        assert await served.read(TIMESTAMP, METADATA_MOST_BYTES) is None
        (site.state / "trusted/snapshot.json").write_bytes(b"[" * 100_000)
        assert await served.read(TIMESTAMP, METADATA_MOST_BYTES) is None


async def test_a_new_trusted_state_is_a_change(tmp_path: Path) -> None:
    async with (
        open_site("folder", tmp_path) as site,
        open_shelf(tmp_path / "shelf") as shelf,
        open_shelf_repository(site.state / "trusted", shelf, pause=no_pause) as served,
    ):
        await shelved(site, shelf)
        changes = served.changes()
        await site.shop.mirror(site.transport, site.shop.publish("1.2.0"))
        await site.remote.refresh()
        async with asyncio.timeout(30):
            await anext(changes)
        assert await served.read(TIMESTAMP, METADATA_MOST_BYTES) == site.shop.file(TIMESTAMP)


async def test_each_kind_of_file_has_its_bound() -> None:
    assert most_bytes_of("chunk/" + "ab" * 32) == CHUNK_BYTES
    assert most_bytes_of(TIMESTAMP) == METADATA_MOST_BYTES
    with pytest.raises(ValueError, match="no path of a repository"):
        most_bytes_of("chunk/ab")
