"""A CoAP session carried by an open line: one task reads, one writes, whoever asks waits for its answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from edgehost.domain.errors import BusyError, EdgehostError, UnavailableError
from edgehost.ports.clock import Clock
from edgehost.ports.device_line import DeviceLine
from firmware_bridge.coap_exchange import Asked, Response
from firmware_bridge.coap_session import (
    Answered,
    CoapSession,
    Failed,
    Notified,
    Progressed,
    Said,
    SessionEvent,
)

_READ_BYTES: Final = 4096
_READ_S: Final = 3600.0
_WHY: Final = {
    "silence": "does not answer",
    "reset": "does not know what it was asked",
    "malformed": "answers with something that makes no sense",
}


class Conversation:
    """Use it inside ``running``; a line that is lost ends the block with its error."""

    def __init__(self, line: DeviceLine, seed: int, clock: Clock, said: Callable[[str], None]) -> None:
        self._line, self._clock, self._said = line, clock, said
        self._session = CoapSession(seed)
        self._answers: dict[int, asyncio.Future[Response]] = {}
        self._progress: dict[int, Callable[[int], None]] = {}
        self._notify: tuple[int, Callable[[Response], None]] | None = None
        self._news = asyncio.Event()  # there is something to send
        self._closed = ""
        self.heard_at = clock.monotonic()
        self.notified_at = float("-inf")

    @property
    def bad_frames(self) -> int:
        """Frames that were dropped here."""
        return self._session.bad_frames

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Read and write inside the block.

        Raises:
            LineLostError: the line is gone.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                both = [
                    tasks.create_task(self._read(), name="edgehost.bridge.read"),
                    tasks.create_task(self._write(), name="edgehost.bridge.write"),
                ]
                try:
                    yield
                finally:
                    for task in both:
                        task.cancel()
        except BaseExceptionGroup as group:
            own = asyncio.current_task()
            if own is not None and own.cancelling():  # at the same moment: a group with errors forgets it
                raise asyncio.CancelledError from None
            known = group.subgroup(EdgehostError)
            if known is None:
                raise
            raise _first(known) from None

    async def ask(self, asked: Asked, progress: Callable[[int], None] | None = None) -> Response:
        """The answer.

        Raises:
            UnavailableError: there is none, or the line is lost meanwhile.
            BusyError: too many wait.
        """
        if self._closed:
            raise UnavailableError(f"There is no answer: {self._closed}.")
        number = self._session.ask(asked, self._clock.monotonic())
        if progress is not None:
            self._progress[number] = progress
        return await self._answer(number)

    async def observe(self, path: str, told: Callable[[Response], None]) -> Response:
        """The state now; ``told`` gets it too, and all others. There is one observation."""
        now = self._clock.monotonic()
        if self._notify is not None:
            self._session.drop(self._notify[0], now)
        number = self._session.observe(path, now)
        self._notify = (number, told)
        return await self._answer(number)

    def post(self, asked: Asked) -> None:
        """Ask without waiting for the answer, or for another try."""
        with suppress(BusyError):
            self._session.ask(asked, self._clock.monotonic())
            self._news.set()

    def ping(self) -> None:
        """Ask for a sign of life, unless something is asked for already."""
        if self._session.is_idle:
            self._session.ping(self._clock.monotonic())
            self._news.set()

    def close(self, why: str) -> None:
        """Nobody waits any longer."""
        self._closed = why
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(UnavailableError(f"There is no answer: {why}."))

    async def _answer(self, number: int) -> Response:
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        self._news.set()
        try:
            return await answer
        finally:
            self._answers.pop(number, None)
            self._progress.pop(number, None)
            if answer.cancelled():
                self._session.drop(number, self._clock.monotonic())
                self._news.set()

    async def _read(self) -> None:
        while True:
            data = await self._line.read(_READ_BYTES, _READ_S)
            if not data:
                continue
            self.heard_at = now = self._clock.monotonic()
            self._session.receive(data, now)
            self._news.set()
            for event in self._session.take_events():
                self._take(event)

    async def _write(self) -> None:
        while True:
            self._news.clear()
            self._session.tick(self._clock.monotonic())
            for event in self._session.take_events():
                self._take(event)
            if data := self._session.take_bytes():
                await self._line.write(data)
                continue
            due = self._session.due()
            wait_s = None if due is None else max(0.0, due - self._clock.monotonic())
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._news.wait()

    def _take(self, event: SessionEvent) -> None:
        match event:
            case Said(text):
                self._said(text)
            case Notified(number, response):
                self._tell(number, response)
            case Progressed(number, done):
                if number in self._progress:
                    self._progress[number](done)
            case Answered(number, response):
                if response.is_success:
                    self._tell(number, response)  # in the order in which they came
                if (answer := self._waiting(number)) is not None:
                    answer.set_result(response)
            case Failed(number, why):
                if (answer := self._waiting(number)) is not None:
                    answer.set_exception(UnavailableError(f"The device {_WHY[why]}."))

    def _tell(self, number: int, response: Response) -> None:
        if self._notify is not None and self._notify[0] == number:
            self.notified_at = self._clock.monotonic()
            self._notify[1](response)

    def _waiting(self, number: int) -> asyncio.Future[Response] | None:
        answer = self._answers.get(number)
        return None if answer is None or answer.done() else answer


def _first(group: BaseExceptionGroup[EdgehostError]) -> EdgehostError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error  # type: ignore[return-value]  # the subgroup has no others
