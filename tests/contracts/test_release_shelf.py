"""What every release shelf promises, whatever it is made of."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgehost.adapters.storage.folder_shelf import FolderShelf, open_shelf
from edgehost.adapters.storage.memory_shelf import MemoryShelf
from edgehost.domain.errors import DamagedError, InvalidComponentError, NotFoundError, StorageFullError
from edgehost.domain.release_life import Release, Stage

Shelf = MemoryShelf | FolderShelf
OpenShelf = Callable[..., AbstractAsyncContextManager[Shelf]]


@pytest.fixture(params=["memory", "folder"])
def open_a_shelf(request: pytest.FixtureRequest, tmp_path: Path) -> OpenShelf:
    @asynccontextmanager
    async def opened(**options: Any) -> AsyncIterator[Shelf]:
        if request.param == "memory":
            yield MemoryShelf(**options)
        else:
            async with open_shelf(tmp_path / "shelf", **options) as shelf:
                yield shelf

    return opened


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def a_release(version: str = "1.0.0", stage: Stage = Stage.VERIFIED, component: str = "telemetry") -> Release:
    digest = digest_of(f"{component} {version}".encode())
    return Release(
        component, version, digest, 50_000, 7, "fleet", stage, "because", 1.5, 2.5, "plain", ("pi", "any")
    )


async def test_a_file_is_kept_under_its_digest(open_a_shelf: OpenShelf) -> None:
    content = bytes(range(256)) * 200
    digest = digest_of(content)
    async with open_a_shelf() as shelf:
        assert not await shelf.has(digest)
        await shelf.put(digest, content)
        await shelf.put(digest, content)
        assert await shelf.has(digest)
        assert await shelf.get(digest) == content
        assert await shelf.size_bytes() == len(content)


async def test_content_of_another_digest_is_refused(open_a_shelf: OpenShelf) -> None:
    digest = digest_of(b"one")
    async with open_a_shelf() as shelf:
        with pytest.raises(DamagedError):
            await shelf.put(digest, b"two")
        assert not await shelf.has(digest)


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "a" * 63, "A" * 64, "g" * 64, "a" * 64 + "\n"])
async def test_what_is_no_digest_names_no_file(open_a_shelf: OpenShelf, digest: str) -> None:
    async with open_a_shelf() as shelf:
        with pytest.raises(InvalidComponentError):
            await shelf.put(digest, b"")
        with pytest.raises(NotFoundError):
            await shelf.get(digest)
        assert not await shelf.has(digest)


async def test_an_unknown_file_is_not_found(open_a_shelf: OpenShelf) -> None:
    async with open_a_shelf() as shelf:
        with pytest.raises(NotFoundError):
            await shelf.get(digest_of(b"unknown"))


async def test_the_quota_refuses_before_anything_changes(open_a_shelf: OpenShelf) -> None:
    small, large = b"s" * 60, b"l" * 50
    async with open_a_shelf(quota_bytes=100) as shelf:
        await shelf.put(digest_of(small), small)
        with pytest.raises(StorageFullError):
            await shelf.put(digest_of(large), large)
        await shelf.put(digest_of(small), small)  # there already: costs nothing
        assert await shelf.size_bytes() == 60
        assert not await shelf.has(digest_of(large))
        await shelf.collect(())
        await shelf.put(digest_of(large), large)


async def test_collecting_drops_what_is_not_kept(open_a_shelf: OpenShelf) -> None:
    contents = [b"one", b"two", b"three"]
    async with open_a_shelf() as shelf:
        for content in contents:
            await shelf.put(digest_of(content), content)
        kept = digest_of(b"two")
        dropped = await shelf.collect([kept, digest_of(b"never seen")])
        assert set(dropped) == {digest_of(b"one"), digest_of(b"three")}
        assert await shelf.get(kept) == b"two"
        assert await shelf.size_bytes() == 3
        assert await shelf.collect([kept]) == ()


async def test_the_ledger_holds_the_last_state_of_each_release_oldest_first(open_a_shelf: OpenShelf) -> None:
    first, second = a_release("1.0.0"), a_release("1.1.0")
    async with open_a_shelf() as shelf:
        assert await shelf.releases() == ()
        await shelf.record(first, second)
        assert await shelf.releases() == (first, second)
        moved = replace(first, stage=Stage.SHELVED, reason="")
        await shelf.record(moved)
        await shelf.record()
        assert await shelf.releases() == (moved, second)


async def test_two_digests_under_one_version_are_two_releases(open_a_shelf: OpenShelf) -> None:
    first = a_release()
    other = replace(first, digest=digest_of(b"other"), stage=Stage.REJECTED)
    async with open_a_shelf() as shelf:
        await shelf.record(first)
        await shelf.record(other)
        assert await shelf.releases() == (first, other)


async def test_a_file_published_again_under_another_version_is_the_same_release(
    open_a_shelf: OpenShelf,
) -> None:
    first = a_release()
    async with open_a_shelf() as shelf:
        await shelf.record(first)
        again = replace(first, version="1.0.0+again", sequence=8, pinned=True)
        await shelf.record(again)
        assert await shelf.releases() == (again,)


async def test_forgotten_releases_leave_the_ledger_and_their_files_stay(open_a_shelf: OpenShelf) -> None:
    first, second, third = a_release("1.0.0"), a_release("1.1.0"), a_release("1.2.0")
    content = b"telemetry 1.1.0"
    async with open_a_shelf() as shelf:
        await shelf.put(second.digest, content)
        await shelf.record(first, second, third)
        await shelf.forget([second.digest, third.digest, digest_of(b"unknown")])
        await shelf.forget([])
        assert await shelf.releases() == (first,)
        assert await shelf.get(second.digest) == content
        await shelf.record(second)
        assert await shelf.releases() == (first, second)


async def test_many_records_at_once_are_all_kept(open_a_shelf: OpenShelf) -> None:
    releases = [a_release(f"1.0.{n}") for n in range(30)]
    async with open_a_shelf() as shelf:
        async with asyncio.TaskGroup() as tasks:
            for release in releases:
                tasks.create_task(shelf.record(release))
        assert set(await shelf.releases()) == set(releases)


async def test_rejected_releases_do_not_pile_up_for_ever(open_a_shelf: OpenShelf) -> None:
    live, bad = a_release("1.0.0", Stage.LIVE), a_release("1.1.0", Stage.QUARANTINED)
    async with open_a_shelf(max_releases=5) as shelf:
        await shelf.record(live, bad)
        for n in range(10):
            await shelf.record(a_release(f"9.0.{n}", Stage.REJECTED))
        versions = [release.version for release in await shelf.releases()]
        assert versions == ["1.0.0", "1.1.0", "9.0.7", "9.0.8", "9.0.9"]
        await shelf.record(a_release("2.0.0", Stage.LIVE), a_release("2.1.0", Stage.LIVE))
        assert len(await shelf.releases()) == 5
