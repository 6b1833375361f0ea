"""Many writers, one sync: whoever writes while the disk is busy shares the next sync.

There is no task behind it: a batch runs in a thread of its own, and its completion starts the next one. A writer
that is cancelled stops waiting; a batch that has begun is written all the same.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from edgehost.domain.errors import BusyError, EdgehostError, UnavailableError

#: What may wait for the disk: the writers' memory, not ours, but somebody has to stop.
MAX_WAITING_BYTES: Final = 32 * 1024 * 1024

#: Showing a batch takes the event loop some 10 µs each, so this keeps its pauses at a few milliseconds.
MAX_BATCH: Final = 512
MAX_BATCH_BYTES: Final = 4 * 1024 * 1024


class Waiting(Protocol):
    """A write that waits for its sync."""

    size_bytes: int
    done: asyncio.Future[bool]


WriteT = TypeVar("WriteT", bound=Waiting)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one sync makes true."""

    lines: bytes
    outcomes: Sequence[bool | EdgehostError]  # one per write, valid once the lines are durable
    publish: Callable[[], None]
    frees: bool = False  # it deletes: it may use what a full disk keeps in reserve


class GroupCommit(Generic[WriteT]):
    """Takes writes from the event loop and hands their lines to ``append`` in a thread, batch by batch."""

    def __init__(self, plan: Callable[[Sequence[WriteT]], Batch], append: Callable[[Batch], None]) -> None:
        self._plan = plan
        self._append = append
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="edgehost.records.commit")
        self._waiting: deque[WriteT] = deque()
        self._waiting_bytes = 0
        self._alone: deque[Callable[[], None]] = deque()
        self._busy = False
        self._scheduled = False
        self._closed = False
        self._idle: asyncio.Future[None] | None = None

    async def submit(self, write: WriteT) -> bool:
        """Wait until the write is durable and visible; what it returns or raises is the plan's.

        Raises:
            BusyError: too much waits for the disk already.
            UnavailableError: the store is closed, or the disk refused.
        """
        if self._closed:
            raise UnavailableError("The record store is closed.", hint="Start the host again.")
        if self._waiting_bytes + write.size_bytes > MAX_WAITING_BYTES:
            raise BusyError("More is waiting for the disk than it can take.", hint="Try again in a second.")
        self._waiting.append(write)
        self._waiting_bytes += write.size_bytes
        self._schedule()
        return await write.done

    def run_alone(self, prepare: Callable[[], Callable[[], int]]) -> asyncio.Future[int]:
        """Run work in the writing thread between two batches; ``prepare`` is called just before, on the loop."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[int] = loop.create_future()

        def start() -> None:
            self._run(prepare(), lambda result, error: _resolve(done, result, error))

        self._alone.append(start)
        self._schedule()
        return done

    async def close(self) -> None:
        """Refuse new writes, finish those that wait."""
        self._closed = True
        if self._busy or self._waiting or self._alone:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle

    def end_thread(self) -> None:
        """Wait for the thread's last sync; blocks, so not for the event loop."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _schedule(self) -> None:
        # At the end of this turn of the loop, so that writers who start together share one sync.
        if not self._scheduled and not self._busy:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._start)

    def _start(self) -> None:
        self._scheduled = False
        if self._busy:
            return
        if self._alone:
            self._alone.popleft()()
            return
        writes = self._next_writes()
        if writes:
            self._start_batch(writes)
        elif self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def _start_batch(self, writes: list[WriteT]) -> None:
        try:
            batch = self._plan(writes)
        except Exception as error:  # noqa: BLE001  a writer must never wait for ever
            _settle(writes, (), error)
            self._schedule()
            return

        def finish(_result: int | None, error: BaseException | None) -> None:
            if error is None:
                try:
                    batch.publish()
                except Exception as problem:  # noqa: BLE001  as above
                    error = problem
            _settle(writes, batch.outcomes, error)

        if batch.lines:
            self._run(lambda: self._write(batch), finish)
        else:
            finish(None, None)
            self._schedule()

    def _write(self, batch: Batch) -> int:
        self._append(batch)
        return len(batch.lines)

    def _run(
        self, work: Callable[[], int], finish: Callable[[int | None, BaseException | None], None]
    ) -> None:
        self._busy = True
        future = asyncio.get_running_loop().run_in_executor(self._thread, work)

        def finished(future: asyncio.Future[int]) -> None:
            self._busy = False
            if future.cancelled():
                finish(None, UnavailableError("The record store was closed.", hint="Start the host again."))
            else:
                error = future.exception()
                finish(None if error else future.result(), error)
            self._start()

        future.add_done_callback(finished)

    def _next_writes(self) -> list[WriteT]:
        writes: list[WriteT] = []
        size = 0
        while self._waiting and len(writes) < MAX_BATCH and size < MAX_BATCH_BYTES:
            write = self._waiting.popleft()
            self._waiting_bytes -= write.size_bytes
            if not write.done.cancelled():
                writes.append(write)
                size += write.size_bytes
        return writes


def _settle(
    writes: Sequence[Waiting], outcomes: Sequence[bool | EdgehostError], error: BaseException | None
) -> None:
    for place, write in enumerate(writes):
        outcome = outcomes[place] if error is None else _own_copy(error)
        if isinstance(outcome, BaseException):
            _resolve(write.done, None, outcome)
        else:
            _resolve(write.done, outcome, None)


def _own_copy(error: BaseException) -> BaseException:
    """An error of one's own: a traceback must not grow with the number of writers."""
    return type(error)(error.message, hint=error.hint) if isinstance(error, EdgehostError) else error


ResultT = TypeVar("ResultT")


def _resolve(done: asyncio.Future[ResultT], result: ResultT | None, error: BaseException | None) -> None:
    if done.done():
        return
    if error is not None:
        done.set_exception(error)
    else:
        done.set_result(result)  # type: ignore[arg-type]  # there is a result when there is no error
