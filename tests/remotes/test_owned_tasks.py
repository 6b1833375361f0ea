"""Tasks with an owner: what fails begins again, and takes nobody with it."""

from __future__ import annotations

import asyncio
import logging

import pytest

from remotes.owned_tasks import keep_running, owned_tasks, unending


class Flaky:
    """Fails so many times, then ends."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.left, self.error, self.begun = failures, error, 0

    async def run(self) -> None:
        self.begun += 1
        if self.left:
            self.left -= 1
            raise self.error


@pytest.mark.parametrize("error", [OSError(30, "Read-only file system"), ValueError("a bug")])
async def test_work_that_fails_begins_again_after_longer_and_longer_pauses(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    pauses: list[float] = []

    async def pause(wait_s: float) -> None:
        pauses.append(wait_s)

    work = Flaky(8, error)
    await unending(work.run, "edgehost.example", pause=pause)
    assert work.begun == 9
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    told = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.name for record in told] == ["edgehost.tasks"] * 8
    assert told[0].exc_info is not None
    assert "edgehost.example failed; it begins again in 1 s." in told[0].getMessage()


async def test_failing_work_ends_no_other_and_is_cancelled_with_its_owner() -> None:
    failed, ended = asyncio.Event(), asyncio.Event()

    async def fail() -> None:
        failed.set()
        raise OSError(5, "Input/output error")

    async def last() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with asyncio.timeout(30), owned_tasks() as spawn:
        keep_running(spawn, last, "edgehost.other")
        keep_running(spawn, fail, "edgehost.failing")
        await failed.wait()
        await asyncio.sleep(0)
        assert not ended.is_set()
    assert ended.is_set()


@pytest.mark.parametrize("body_fails", [True, False])
async def test_a_task_that_fails_while_it_is_ended_leaves_its_owner_uncancelled(body_fails: bool) -> None:
    begun = asyncio.Event()

    async def fails_when_it_is_ended() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError("the connection is gone")

    with pytest.raises(ExceptionGroup):  # noqa: PT012 - the error comes at the end of the body
        async with owned_tasks() as spawn:
            spawn(fails_when_it_is_ended(), "fails")
            await begun.wait()
            if body_fails:
                raise OSError("the connection is gone")
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_who_is_cancelled_while_its_tasks_are_ending_is_cancelled() -> None:
    ending, let_go = asyncio.Event(), asyncio.Event()

    async def slow_to_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ending.set()
            await let_go.wait()

    async def owner() -> None:
        async with owned_tasks() as spawn:
            spawn(slow_to_end(), "slow")
            await asyncio.sleep(0)

    task = asyncio.create_task(owner())
    await ending.wait()
    task.cancel()
    await asyncio.sleep(0)
    let_go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
