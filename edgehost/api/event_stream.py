"""What happens, as server-sent events, each a CloudEvents document."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Final

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from edgehost.api.event_filter import cloud_event, event_filter
from edgehost.api.permissions import caller_of
from edgehost.api.reading import query_parameters
from edgehost.api.responses import handler_for
from edgehost.domain.access_rules import Caller
from edgehost.domain.errors import BusyError, InvalidQueryError
from edgehost.domain.events import Event, EventsDropped
from edgehost.domain.json_text import tell_json
from edgehost.domain.names import EVENT_PATTERN
from edgehost.ports.event_bus import EventBus

#: A client that takes nothing for so long is gone; until then it loses its oldest events.
SEND_TIMEOUT_S: Final = 60.0
#: The bus remembers a bounded number anyway.
MAX_REPLAY: Final = 1000
#: How long a client waits before it connects again.
_RETRY_MS: Final = 2000
_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would hold the events back
]


class EventStreams:
    """Every open stream; a bounded number, closed together when the server stops."""

    def __init__(
        self,
        bus: EventBus,
        *,
        source: str,
        max_streams: int,
        heartbeat_s: float,
        may_hear: Callable[[Caller, Event], bool],
    ) -> None:
        self._bus = bus
        self._may_hear = may_hear
        self._source = f"urn:edgehost:host:{source}"
        self._max_streams = max_streams
        self._heartbeat_s = heartbeat_s
        self._closing = asyncio.Event()
        self._open = 0

    async def answer(self, request: Request, path: tuple[str, ...]) -> ASGIApp:
        """A stream of the events that ``model``, ``type`` and the pattern ``on`` ask for, the last ``replay`` first.

        Raises:
            BusyError: there are as many streams as there may be.
        """
        handler_for(request, {"GET": self._stream})
        if path:
            raise InvalidQueryError(
                "Events are filtered by parameters.", hint="Use ?model=NAME and ?type=TYPE."
            )
        asked, caller = _read_asked(request), caller_of(request)

        def wanted(event: Event) -> bool:
            return asked.wanted(event) and self._may_hear(caller, event)

        heard = replace(asked, wanted=wanted)
        if self._closing.is_set() or self._open >= self._max_streams:
            raise BusyError(
                f"{self._open} event streams are open, as many as there may be.", hint="Close one."
            )

        async def stream(_scope: Scope, receive: Receive, send: Send) -> None:
            await self._stream(heard, receive, send, head_only=request.method == "HEAD")

        return stream

    def close(self) -> None:
        """End every stream."""
        self._closing.set()

    async def _stream(self, asked: _Asked, receive: Receive, send: Send, *, head_only: bool) -> None:
        self._open += 1
        try:
            await send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": _HEADERS})
            if not head_only:
                await self._run(asked, receive, send)
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._open -= 1

    async def _run(self, asked: _Asked, receive: Receive, send: Send) -> None:
        async with self._bus.subscription(asked.wanted, on=asked.on, replay=asked.replay) as events:
            await send_part(send, b": open\nretry: %d\n\n" % _RETRY_MS)
            await _first_of(
                send=self._send_events(events, send),
                heartbeat=self._send_heartbeats(send),
                disconnect=_until_disconnected(receive),
                close=self._until_closing(),
            )

    async def _send_events(self, events: AsyncIterator[Event], send: Send) -> None:
        async for event in events:
            await send_part(send, _as_text(event, self._source))

    async def _send_heartbeats(self, send: Send) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_s)
            await send_part(send, b": still here\n\n")

    async def _until_closing(self) -> None:
        await self._closing.wait()


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a stream is asked for."""

    wanted: Callable[[Event], bool]
    on: str = "**"
    replay: int = 0


def _read_asked(request: Request) -> _Asked:
    models: set[str] = set()
    types: set[str] = set()
    others = {"on": "**", "replay": "0"}
    for name, value in query_parameters(request):
        if name in others:
            others[name] = value
        elif name in {"model", "type"}:
            (models if name == "model" else types).add(value)
        else:
            raise InvalidQueryError(f"{name[:80]!r} is unknown here.", hint="Use model, type, on and replay.")
    on, replay = others["on"], others["replay"]
    if not EVENT_PATTERN.fullmatch(on):
        raise InvalidQueryError(f"on is {on[:80]!r}, which is no pattern.", hint="Use on=edgehost.record.*.")
    if not (
        replay.isascii()
        and replay.isdigit()
        and len(replay) <= len(str(MAX_REPLAY))
        and int(replay) <= MAX_REPLAY
    ):
        raise InvalidQueryError(f"replay is {replay[:80]!r}; it must be 0 to {MAX_REPLAY}.")
    return _Asked(event_filter(models, types), on, int(replay))


def _as_text(event: Event, source: str) -> bytes:
    document = cloud_event(event, source)
    name = b"" if isinstance(event, EventsDropped) else b"id: %s\n" % document["id"].encode()
    return b"%sevent: %s\ndata: %s\n\n" % (name, event.type.encode(), tell_json(document))


async def send_part(send: Send, text: bytes) -> None:
    """Send a part of a streamed answer.

    Raises:
        TimeoutError: the client takes nothing any more.
    """
    async with asyncio.timeout(SEND_TIMEOUT_S):
        await send({"type": "http.response.body", "body": text, "more_body": True})


async def _until_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class _Done(Exception):  # noqa: N818 - a signal between the tasks below
    """One of them has ended."""


async def _first_of(**jobs: Coroutine[Any, Any, None]) -> None:
    async def run(job: Coroutine[Any, Any, None]) -> None:
        await job
        raise _Done

    try:
        async with asyncio.TaskGroup() as tasks:
            for name, job in jobs.items():
                tasks.create_task(run(job), name=f"edgehost.api.events.{name}")
    except* (_Done, TimeoutError):
        pass
