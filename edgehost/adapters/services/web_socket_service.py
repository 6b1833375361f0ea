"""The service ``websocket``: one connection that is kept up, messages out and in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from secrets import SystemRandom
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from edgehost.adapters.services.running_service import running
from edgehost.adapters.services.secret_file import read_secret
from edgehost.config_services import WebSocketOptions
from edgehost.domain.backoff import Backoff
from edgehost.domain.errors import EdgehostError, RefusedError, TooLargeError, UnavailableError
from edgehost.domain.json_text import read_json, write_json
from edgehost.domain.spec_reader import SpecReader
from edgehost.ports.service import Service, ServiceHealth, ServiceNotice

_OPEN_S: Final = 10.0
_QUEUE: Final = 16  # messages that were received and not yet told
_BACKOFF: Final = Backoff(0.25, 30.0)
#: The library logs each lost connection with a traceback; the service's health says it once.
_LOG: Final = logging.getLogger(f"{__name__}.library")
_LOG.setLevel(logging.CRITICAL)


class WebSocketService:
    """A Service over the ``websockets`` library."""

    functions: Mapping[str, str] = {"send": 'a message: {"text"} or {"json"}'}
    events: Mapping[str, str] = {
        "message": 'one came: {"text" or "json"}',
        "opened": "the connection is there",
        "closed": 'the connection is gone: {"why"}',
    }

    def __init__(self, name: str, options: WebSocketOptions, notice: ServiceNotice) -> None:
        self._name, self._options, self._notice = name, options, notice
        self._connection: ClientConnection | None = None
        self._opened = asyncio.Event()
        self._trouble = "not connected yet"

    async def run(self) -> None:
        """Keep the connection up until cancelled."""
        attempt = 0
        while True:
            try:
                async with await self._connect() as connection:
                    attempt = 0
                    self._connection, self._trouble = connection, ""
                    self._opened.set()
                    self._notice("opened", {})
                    async for message in connection:
                        self._take(message)
                    self._trouble = "the server closed the connection"
            except (OSError, TimeoutError, WebSocketException, EdgehostError) as problem:
                self._trouble = str(problem) or type(problem).__name__
            finally:
                was_open = self._connection is not None
                self._connection = None
                self._opened.clear()
            if was_open:
                self._notice("closed", {"why": self._trouble})
            await asyncio.sleep(_BACKOFF.delay_s(attempt, SystemRandom().random()))
            attempt += 1

    async def call(self, function: str, given: Any, *, timeout_s: float) -> Any:  # noqa: ANN401, ARG002 - one function
        """Send a message: ``{}``.

        Raises:
            RefusedError, TooLargeError: it is none.
            UnavailableError: there is no connection in time.
        """
        text = self._read(given)
        try:
            async with asyncio.timeout(timeout_s):
                await self._opened.wait()
                if self._connection is not None:
                    await self._connection.send(text)
                    return {}
        except (TimeoutError, ConnectionClosed):
            pass
        raise UnavailableError(f"{self._name} is not connected: {self._trouble or 'it was lost'}.")

    def health(self) -> ServiceHealth:
        """Whether there is a connection."""
        return ServiceHealth() if self._connection is not None else ServiceHealth("warning", self._trouble)

    def _read(self, given: object) -> str:
        if not isinstance(given, Mapping):
            raise RefusedError(f"The service '{self._name}' wants an object with text or json.")
        request = SpecReader(given, error=RefusedError)
        most = self._options.message_kib * 1024
        if request.has("json") == request.has("text"):
            raise RefusedError("Give either text or json.")
        text = (
            write_json(request.anything("json")).decode()
            if request.has("json")
            else request.text("text", longest=most)
        )
        request.refuse_unknown()
        if len(text.encode()) > most:
            raise TooLargeError(f"The message has more than {most} bytes.")
        return text

    async def _connect(self) -> Any:  # noqa: ANN401 - the library's own context manager
        headers = {}
        if self._options.token_file is not None:
            headers["Authorization"] = f"Bearer {await read_secret(self._options.token_file)}"
        return connect(
            self._options.url,
            additional_headers=headers,
            open_timeout=_OPEN_S,
            max_size=self._options.message_kib * 1024,
            max_queue=_QUEUE,
            logger=_LOG,
            proxy=None,
        )

    def _take(self, message: str | bytes) -> None:
        content = message.encode() if isinstance(message, str) else message
        try:
            told: dict[str, Any] = {"json": read_json(content)}
        except RefusedError:
            told = {"text": content.decode("utf-8", "replace")}
        self._notice("message", told)


def open_web_socket_service(
    name: str, options: WebSocketOptions, notice: ServiceNotice
) -> AbstractAsyncContextManager[Service]:
    """A service that connects by itself; a server that is not there yet is no error."""
    return running(WebSocketService(name, options, notice), name)
