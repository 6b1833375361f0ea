"""Tasks that live as long as the body of an ``async with``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

log = logging.getLogger("edgehost.tasks")

#: Work that fails at once is no reason to fill the log, and a host that is repaired meanwhile should not wait long.
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0

#: Starts a task under a name.
Spawn = Callable[[Coroutine[Any, Any, None], str], None]


@asynccontextmanager
async def owned_tasks() -> AsyncIterator[Spawn]:
    """A task group that cancels its tasks at the end of the body.

    An error of the body leaves as itself and not in an ExceptionGroup: callers tell errors apart by their type.
    """
    failure: BaseException | None = None
    owner = asyncio.current_task()
    cancelled = (
        None  # how often the owner was, when the body ended; groups within the body may have left some
    )
    try:
        async with asyncio.TaskGroup() as tasks:

            def spawn(work: Coroutine[Any, Any, None], name: str) -> None:
                tasks.create_task(work, name=name)

            try:
                yield spawn
            except asyncio.CancelledError:
                raise
            except BaseException as error:  # noqa: BLE001 - raised again below
                failure = error
            cancelled = owner.cancelling() if owner is not None else None
            # Left by an error, the group ends its tasks itself. Were they cancelled by us, one that fails meanwhile
            # would leave the owner marked as cancelled for good (TaskGroup of Python 3.11).
            raise _BodyEndedError
    except BaseExceptionGroup as group:
        _, failures = group.split(_BodyEndedError)
        if failures is not None:
            failure = failures
    if owner is not None and cancelled is not None and owner.cancelling() > cancelled:
        raise asyncio.CancelledError  # it came while the tasks were ending
    if failure is not None:
        raise failure


class _BodyEndedError(Exception):
    """The body is over."""


def require_wanted() -> None:
    """End the task if it was cancelled: Python 3.11's wait_for, inside aiomqtt, loses a cancellation that comes with the answer.

    Raises:
        CancelledError: it was.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def unending(
    work: Callable[[], Coroutine[Any, Any, None]],
    name: str,
    *,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Work that begins again when it fails: a fault in one part of a host must not end the others.

    What is expected to fail is dealt with inside ``work``; what comes here is a fault, and logged with its traceback.
    """
    wait_s = _FIRST_PAUSE_S
    while True:
        began = asyncio.get_running_loop().time()
        try:
            await work()
        except Exception:
            if asyncio.get_running_loop().time() - began > _LONGEST_PAUSE_S:
                wait_s = _FIRST_PAUSE_S
            log.exception("%s failed; it begins again in %g s.", name, wait_s)
        else:
            return
        await pause(wait_s)
        wait_s = min(2 * wait_s, _LONGEST_PAUSE_S)


def keep_running(spawn: Spawn, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
    """Start ``unending`` work under a name."""
    spawn(unending(work, name), name)
