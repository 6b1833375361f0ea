"""A folder beyond the contract: odd files, full and absent media, a stick pulled out and put back."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from edgehost.domain.errors import RemoteUnreachableError, TooLargeError
from remotes.folder_transport import open_folder_transport
from remotes.transport import TIMESTAMP


class Pause:
    """A polling pause that ends when the test says so."""

    def __init__(self) -> None:
        self.waiting = asyncio.Event()
        self._over = asyncio.Event()

    async def __call__(self) -> None:
        self.waiting.set()
        await self._over.wait()
        self._over.clear()

    async def next(self) -> None:
        """Let the watcher look once more, and return when it has."""
        await self.waiting.wait()
        self.waiting.clear()
        self._over.set()
        await self.waiting.wait()


async def test_a_named_pipe_is_no_file_and_blocks_nobody(tmp_path: Path) -> None:
    (tmp_path / "metadata").mkdir()
    os.mkfifo(tmp_path / TIMESTAMP)
    async with open_folder_transport(tmp_path) as transport, asyncio.timeout(30):
        with pytest.raises(RemoteUnreachableError, match="not a plain file"):
            await transport.fetch(TIMESTAMP, most_bytes=10)


async def test_an_endless_file_is_cut_at_its_bound(tmp_path: Path) -> None:
    (tmp_path / "metadata").mkdir()
    with (tmp_path / TIMESTAMP).open("wb") as file:
        file.truncate(2**40)  # sparse: a terabyte that takes no room
    async with open_folder_transport(tmp_path) as transport:
        with pytest.raises(TooLargeError):
            await transport.fetch(TIMESTAMP, most_bytes=1000)


async def test_a_folder_where_a_file_should_be_is_unreachable(tmp_path: Path) -> None:
    (tmp_path / TIMESTAMP).mkdir(parents=True)
    async with open_folder_transport(tmp_path) as transport:
        with pytest.raises(RemoteUnreachableError):
            await transport.fetch(TIMESTAMP, most_bytes=10)
        with pytest.raises(RemoteUnreachableError):
            await transport.publish(TIMESTAMP, b"x")
        with pytest.raises(RemoteUnreachableError):
            await transport.remove(TIMESTAMP)


async def test_a_reader_sees_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    async with open_folder_transport(tmp_path) as transport:
        await transport.publish(TIMESTAMP, b"old")
        with (tmp_path / TIMESTAMP).open("rb") as open_before:
            await transport.publish(TIMESTAMP, b"new")
            assert open_before.read() == b"old"
        assert [file.name for file in (tmp_path / "metadata").iterdir()] == ["timestamp.json"]


async def test_a_stick_that_is_put_back_with_news_is_a_change(tmp_path: Path) -> None:
    stick, away, pause = tmp_path / "stick", tmp_path / "away", Pause()
    stick.mkdir()
    async with open_folder_transport(stick, pause=pause) as transport, asyncio.timeout(30):
        await transport.publish(TIMESTAMP, b"one")
        await pause.next()
        changes = transport.changes()
        stick.rename(away)
        await pause.next()
        (away / TIMESTAMP).write_bytes(b"twofold")
        shutil.copytree(away, stick)
        await pause.next()
        await anext(changes)
        assert await transport.fetch(TIMESTAMP, most_bytes=10) == b"twofold"


async def test_an_untouched_folder_is_no_change(tmp_path: Path) -> None:
    pause = Pause()
    async with open_folder_transport(tmp_path, pause=pause) as transport:
        await transport.publish(TIMESTAMP, b"one")
        await pause.next()
        changes = transport.changes()
        for _ in range(3):
            await pause.next()
    assert [change async for change in changes] == []


async def test_an_error_in_the_body_leaves_as_itself(tmp_path: Path) -> None:
    with pytest.raises(RemoteUnreachableError, match="no folder"):
        async with open_folder_transport(tmp_path / "absent") as transport:
            await transport.fetch(TIMESTAMP, most_bytes=10)
