"""One WebSocket carries many things at once: events that were subscribed to, and calls with their answers.

Every message is one JSON object. A request has an ``id`` of the client's choice and an ``op``; its answer has the
same ``id`` and ``ok`` or ``error``, a problem document. An event has ``sub``, the id of its subscription.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final

from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from edgehost.api.event_filter import MAX_NAMES, cloud_event, event_filter
from edgehost.api.event_stream import MAX_REPLAY, SEND_TIMEOUT_S
from edgehost.api.permissions import caller_of, may_hear
from edgehost.api.problems import problem_document, reported
from edgehost.api.reading import query_parameters
from edgehost.api.rooms import ApiRooms
from edgehost.api.socket_calls import SocketCalls
from edgehost.domain.errors import BusyError, ConflictError, EdgehostError, NotFoundError, RefusedError
from edgehost.domain.events import Event
from edgehost.domain.json_text import read_json, tell_json
from edgehost.domain.spec_reader import SpecReader

#: Offered by clients that name one; the token may stand beside it, see ``access``.
SUBPROTOCOL: Final = "edgehost.v1"
#: Then the token in base64url without padding.
BEARER: Final = "edgehost.bearer."
#: Each holds a backlog of events.
MAX_SUBSCRIPTIONS: Final = 32
#: Calls of one connection that have no answer yet.
MAX_CALLS: Final = 16
_LONGEST_ID: Final = 64
#: Codes of RFC 6455, section 7.4.1.
_GOING_AWAY, _NOT_TEXT, _GONE = 1001, 1003, 1006


def with_offered_token(scope: Scope) -> Scope:
    """The scope with the token that stands among the subprotocols as a header: pages cannot set headers here."""
    for offered in scope["subprotocols"]:
        if offered.startswith(BEARER):
            word = offered.removeprefix(BEARER)
            try:
                token = base64.urlsafe_b64decode(word + "=" * (-len(word) % 4))
            except ValueError:
                continue
            return {**scope, "headers": [*scope["headers"], (b"authorization", b"Bearer " + token)]}
    return scope


class WebSockets:
    """Every open socket; a bounded number, closed together when the server stops."""

    def __init__(self, rooms: ApiRooms, *, source: str, max_sockets: int) -> None:
        self._rooms = rooms
        self._source = f"urn:edgehost:host:{source}"
        self._max_sockets = max_sockets
        self._closing = asyncio.Event()
        self._open = 0

    def close(self) -> None:
        """End every socket."""
        self._closing.set()

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection to its end.

        Raises:
            BusyError: there are as many sockets as there may be; it was not accepted.
        """
        socket = WebSocket(scope, receive, send)
        query_parameters(socket)
        if self._closing.is_set() or self._open >= self._max_sockets:
            raise BusyError(f"{self._open} sockets are open, as many as there may be.", hint="Close one.")
        self._open += 1
        try:
            await socket.accept(SUBPROTOCOL if SUBPROTOCOL in scope["subprotocols"] else None)
            await _Connection(self._rooms, self._source, socket).run(self._closing)
        finally:
            self._open -= 1


class _Connection:
    def __init__(self, rooms: ApiRooms, source: str, socket: WebSocket) -> None:
        self._calls = SocketCalls(rooms, socket)
        self._models = rooms.models
        self._caller = caller_of(socket)
        self._bus = rooms.keeping.bus
        self._source = source
        self._socket = socket
        self._sending = asyncio.Lock()
        self._subscriptions: dict[Any, asyncio.Task[None]] = {}
        self._running: set[Any] = set()

    async def run(self, closing: asyncio.Event) -> None:
        code = _GOING_AWAY
        try:
            async with asyncio.TaskGroup() as tasks:
                reader = tasks.create_task(self._read(tasks), name="edgehost.api.socket.read")
                stop = tasks.create_task(closing.wait(), name="edgehost.api.socket.stop")
                await asyncio.wait({reader, stop}, return_when=asyncio.FIRST_COMPLETED)
                raise _Ended  # noqa: TRY301 - ends the others
        except* _Ended:
            pass
        except* (WebSocketDisconnect, TimeoutError):
            code = _GONE
        except* _NotText:
            code = _NOT_TEXT
        if code == _GONE:
            return
        with suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
            async with asyncio.timeout(1):
                await self._socket.close(code)

    async def _read(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1000))
            text = message.get("text")
            if text is None:
                raise _NotText
            await self._take(text, tasks)

    async def _take(self, text: str, tasks: asyncio.TaskGroup) -> None:
        identity: Any = None
        try:
            request = read_json(text.encode(errors="surrogatepass"))
            if not isinstance(request, dict):
                raise RefusedError("A message must be a JSON object.", hint='Send {"id": 1, "op": "..."}.')
            identity = _id_of(request)
            operation = SpecReader(request, error=RefusedError)
            operation.anything("id")
            await self._begin(identity, operation, tasks)
        except EdgehostError as error:
            await self._answer(identity, error=error)

    async def _begin(self, identity: Any, request: SpecReader, tasks: asyncio.TaskGroup) -> None:  # noqa: ANN401 - a text or number
        match request.choice("op", ("subscribe", "unsubscribe", *self._calls.operations)):
            case "subscribe":
                await self._subscribe(identity, request, tasks)
            case "unsubscribe":
                await self._unsubscribe(identity, request)
            case operation:
                if identity in self._running:
                    raise ConflictError(f"The call {identity!r} has no answer yet.", hint="Use a new id.")
                if len(self._running) >= MAX_CALLS:
                    raise BusyError(
                        f"{MAX_CALLS} calls of this socket have no answer yet.", hint="Wait for one."
                    )
                self._running.add(identity)
                tasks.create_task(self._call(identity, operation, request), name="edgehost.api.socket.call")

    async def _call(self, identity: Any, operation: str, request: SpecReader) -> None:  # noqa: ANN401 - a text or number
        try:
            result = await self._calls.call(operation, request)
        except Exception as error:  # noqa: BLE001 - each is told to the client, faults of ours in the log
            await self._answer(identity, error=reported(error))
        else:
            await self._answer(identity, ok=result)
        finally:
            self._running.discard(identity)

    async def _subscribe(self, identity: Any, request: SpecReader, tasks: asyncio.TaskGroup) -> None:  # noqa: ANN401 - a text or number
        models, types = _names(request, "model"), _names(request, "type")
        on = request.text("on", default="**")
        replay = request.whole("replay", default=0, least=0, most=MAX_REPLAY)
        request.refuse_unknown()
        if identity in self._subscriptions:
            raise ConflictError(f"The subscription {identity!r} is open.", hint="Use a new id.")
        if len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            raise BusyError(f"{MAX_SUBSCRIPTIONS} subscriptions are open.", hint="End one.")
        chosen, caller, live = event_filter(models, types), self._caller, self._models

        def wanted(event: Event) -> bool:
            return chosen(event) and may_hear(caller, live, event)

        subscription = self._bus.subscription(wanted, on=on, replay=replay)
        events = await subscription.__aenter__()

        async def tell() -> None:
            try:
                await self._tell(identity, events)
            finally:
                await subscription.__aexit__(None, None, None)
                self._subscriptions.pop(identity, None)

        await self._answer(identity, ok={})
        self._subscriptions[identity] = tasks.create_task(tell(), name="edgehost.api.socket.events")

    async def _unsubscribe(self, identity: Any, request: SpecReader) -> None:  # noqa: ANN401 - a text or number
        wanted = request.anything("sub")
        request.refuse_unknown()
        task = self._subscriptions.get(wanted) if isinstance(wanted, str | int) else None
        if task is None:
            raise NotFoundError(f"There is no subscription {str(wanted)[:80]!r}.")
        task.cancel()
        await self._answer(identity, ok={})

    async def _tell(self, identity: Any, events: AsyncIterator[Event]) -> None:  # noqa: ANN401 - a text or number
        async for event in events:
            await self._send({"sub": identity, "event": cloud_event(event, self._source)})

    async def _answer(self, identity: Any, *, ok: Any = None, error: EdgehostError | None = None) -> None:  # noqa: ANN401 - JSON
        answer = {"ok": ok} if error is None else {"error": problem_document(error)}
        await self._send({"id": identity, **answer})

    async def _send(self, document: dict[str, Any]) -> None:
        text = tell_json(document).decode()
        async with asyncio.timeout(SEND_TIMEOUT_S), self._sending:
            await self._socket.send_text(text)


class _Ended(Exception):  # noqa: N818 - a signal between tasks
    """The server stops."""


class _NotText(Exception):  # noqa: N818 - a signal between tasks
    """A binary message came."""


def _id_of(request: dict[str, Any]) -> Any:  # noqa: ANN401 - a text or number
    identity = request.get("id")
    if isinstance(identity, bool) or not isinstance(identity, str | int) or len(str(identity)) > _LONGEST_ID:
        raise RefusedError(
            "A message needs an id, a short text or a whole number.", hint='Send {"id": 1, ...}.'
        )
    return identity


def _names(request: SpecReader, key: str) -> tuple[str, ...]:
    """One name, or a list of them."""
    if isinstance(request.anything(key), str):
        return (request.text(key),)
    names = request.texts(key)
    if len(names) > MAX_NAMES:
        raise RefusedError(f"{key} holds more than {MAX_NAMES} names.")
    return names
