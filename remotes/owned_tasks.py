"""Tasks that live as long as the body of an ``async with``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

#: Starts a task under a name.
Spawn = Callable[[Coroutine[Any, Any, None], str], None]


@asynccontextmanager
async def owned_tasks() -> AsyncIterator[Spawn]:
    """A task group that cancels its tasks at the end of the body.

    An error of the body leaves as itself and not in an ExceptionGroup: callers tell errors apart by their type.
    """
    failure: BaseException | None = None
    async with asyncio.TaskGroup() as tasks:
        running: set[asyncio.Task[None]] = set()

        def spawn(work: Coroutine[Any, Any, None], name: str) -> None:
            task = tasks.create_task(work, name=name)
            running.add(task)
            task.add_done_callback(running.discard)

        try:
            yield spawn
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - raised again below
            failure = error
        finally:
            for task in tuple(running):
                task.cancel()
    if failure is not None:
        raise failure


def require_wanted() -> None:
    """End the task if it was cancelled: Python 3.11's wait_for, inside aiomqtt, loses a cancellation that comes with the answer.

    Raises:
        CancelledError: it was.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
