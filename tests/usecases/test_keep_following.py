from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator

import pytest

from edgehost.domain.backoff import Backoff
from edgehost.domain.errors import RemoteUnreachableError, UnavailableError, UntrustedReleaseError
from edgehost.domain.events import RemoteLost
from edgehost.usecases.keep_following import RemoteHealth, keep_following
from tests.usecases.test_follow_remote import Followed, ListedRemote

AT_ONCE = Backoff(base_s=0, cap_s=0)


class LinkedListedRemote(ListedRemote):
    """One that tells of its link."""

    def __init__(self) -> None:
        super().__init__()
        self.connected = True
        self.turned = asyncio.Queue[None](maxsize=10)

    def turn(self, *, connected: bool) -> None:
        self.connected = connected
        self.turned.put_nowait(None)

    async def link_changes(self) -> AsyncIterator[None]:
        while True:
            await self.turned.get()
            yield


class Kept(Followed):
    """Follows in the background until the block ends."""

    def __init__(self) -> None:
        super().__init__()
        self.health = RemoteHealth("test")
        self.news = asyncio.Event()
        self.checked = asyncio.Event()

    async def run(self, *, poll_s: float = 3600) -> None:
        await keep_following(
            self.follow,
            self.remote,
            self.health,
            poll_s=poll_s,
            bus=self.bus,
            clock=self.clock,
            news=self.news,
            backoff=AT_ONCE,
        )

    async def until(self, state: str) -> None:
        async with asyncio.timeout(30):
            while self.health.state != state:
                await asyncio.sleep(0)


async def test_a_remote_that_comes_back_is_followed_again_without_news() -> None:
    scene = Kept()
    scene.remote.offer("orders", "1.0.0", 1)
    scene.remote.error = RemoteUnreachableError("No broker.")
    task = asyncio.create_task(scene.run())
    await scene.until("unreachable")
    assert scene.health.reason == "No broker."
    scene.remote.error = None
    await scene.until("ok")
    assert scene.live("orders") == "1.0.0"
    task.cancel()


async def test_news_is_taken_up_at_once_and_a_refused_remote_waits_for_it() -> None:
    scene = Kept()
    scene.remote.error = UntrustedReleaseError("It was rolled back.")
    task = asyncio.create_task(scene.run())
    await scene.until("refused")
    assert [event.code for event in scene.refusals] == ["untrusted-release"]
    scene.remote.error = None
    scene.remote.offer("orders", "1.0.0", 1)
    scene.news.set()
    await scene.until("ok")
    assert scene.live("orders") == "1.0.0"
    task.cancel()


async def test_the_log_names_a_refused_remote_once(caplog: pytest.LogCaptureFixture) -> None:
    scene = Kept()
    scene.remote.error = UntrustedReleaseError("Remote 'test' is refused (rollback): version 2.")
    task = asyncio.create_task(scene.run())
    await scene.until("refused")
    assert caplog.messages == ["Remote 'test' is refused (rollback): version 2."]
    task.cancel()


async def test_a_release_that_cannot_be_started_now_is_tried_again_by_itself() -> None:
    scene = Kept()
    scene.remote.offer("orders", "1.0.0", 1)
    scene.start_errors["1.0.0"] = UnavailableError("No process can be started.")
    task = asyncio.create_task(scene.run())
    await scene.until("ok")
    assert scene.live("orders") == ""
    scene.start_errors.clear()
    async with asyncio.timeout(30):
        while not scene.live("orders"):
            await asyncio.sleep(0)
    assert scene.health.failures <= 1
    task.cancel()


async def test_a_lost_link_is_told_once_at_once_and_its_return_is_looked_at_at_once() -> None:
    scene = Kept()
    remote = LinkedListedRemote()
    scene.remote = remote
    scene.follow._remote = remote
    task = asyncio.create_task(scene.run())
    await scene.until("ok")
    remote.turn(connected=False)
    await scene.until("unreachable")
    assert scene.health.reason.startswith("Not connected since ")
    remote.turn(connected=False)
    remote.error = RemoteUnreachableError("No broker.")
    scene.news.set()
    async with asyncio.timeout(30):
        while scene.health.reason != "No broker.":
            await asyncio.sleep(0)
    remote.error = None
    remote.turn(connected=True)
    await scene.until("ok")
    assert len(scene.bus.of(RemoteLost)) == 1
    task.cancel()


async def test_a_poll_finds_what_no_news_told_of() -> None:
    scene = Kept()
    task = asyncio.create_task(scene.run(poll_s=0))
    await scene.until("ok")
    scene.remote.offer("orders", "1.0.0", 1)
    async with asyncio.timeout(30):
        while not scene.live("orders"):
            await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_disk_that_turns_read_only_passes_like_an_outage() -> None:
    scene = Kept()
    scene.remote.offer("orders", "1.0.0", 1)
    scene.remote.error = OSError(errno.EROFS, "Read-only file system")
    task = asyncio.create_task(scene.run())
    await scene.until("unreachable")
    assert scene.health.reason == "This host's own files do not take it: Read-only file system."
    scene.remote.error = None
    await scene.until("ok")
    assert scene.live("orders") == "1.0.0"
    task.cancel()
