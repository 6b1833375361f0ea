"""What uvicorn's HTTP protocols do not bound: connections, the size of a head, and the time it takes to arrive."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

from edgehost.api.problems import (
    MEDIA_TYPE,
    ApiError,
    HeadersTooLargeError,
    RequestTimeoutError,
    problem_bytes,
    status_of,
)
from edgehost.domain.errors import BusyError, EdgehostError

#: Browsers stay below 8 KiB for request line and headers together.
MAX_HEAD_BYTES: Final = 16 * 1024
#: A connection that sends its head slower than this is kept busy for nothing ("slow loris").
HEAD_TIMEOUT_S: Final = 10.0
#: Each costs about 10 KB and a file descriptor, of which a process commonly has 1024.
MAX_CONNECTIONS: Final = 256
#: Over the Unix socket, counted apart: whoever fills the network's share must not lock the operator out.
MAX_LOCAL_CONNECTIONS: Final = 64


def bounded_protocol() -> type[asyncio.Protocol]:
    """The fastest protocol that is installed, bounded."""
    if importlib.util.find_spec("httptools") is not None:
        return _bounded_httptools()
    return _bounded_h11()


class _BoundedMixin:
    """Bounds for a protocol of uvicorn; ``_head_pending`` says whether a head has begun and not ended."""

    _timer: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self: Any, transport: asyncio.Transport) -> None:
        super().connection_made(transport)  # type: ignore[misc]  # the protocol it is mixed into
        local = _is_local(transport)
        most = MAX_LOCAL_CONNECTIONS if local else MAX_CONNECTIONS
        if _count(self.connections, local=local) > most:
            refuse(transport, BusyError(f"{most} connections are open.", hint="Close one, or try later."))
            return
        self._arm()

    def connection_lost(self: Any, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)  # type: ignore[misc]  # the protocol it is mixed into

    def data_received(self: Any, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)  # type: ignore[misc]  # the protocol it is mixed into
        if not self._head_pending():
            self._head_bytes = 0
            self._disarm()
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES:
            self._disarm()
            refuse(
                self.transport,
                HeadersTooLargeError(f"Request line and headers exceed {MAX_HEAD_BYTES} bytes."),
            )
        elif self._timer is None:
            self._arm()

    def send_400_response(self: Any, msg: str) -> None:
        refuse(self.transport, ApiError(msg))

    def timeout_keep_alive_handler(self: Any) -> None:
        # A client that does not read its answer would keep a closing connection for ever.
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()  # type: ignore[misc]  # the protocol it is mixed into

    def _arm(self: Any) -> None:
        self._timer = self.loop.call_later(HEAD_TIMEOUT_S, self._head_too_slow)

    def _disarm(self: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _head_too_slow(self: Any) -> None:
        if self.transport.is_closing():
            return
        if self._head_bytes:
            refuse(
                self.transport,
                RequestTimeoutError(f"The request did not arrive within {HEAD_TIMEOUT_S:.0f} s."),
            )
        else:
            self.transport.close()


def _is_local(transport: asyncio.BaseTransport) -> bool:
    connected = transport.get_extra_info("socket")
    return connected is not None and connected.family == socket.AF_UNIX


def _count(connections: Iterable[Any], *, local: bool) -> int:
    """How many came by this listener, upgraded ones included."""
    return sum(_is_local(each.transport) is local for each in connections)


def refuse(transport: asyncio.Transport, error: EdgehostError) -> None:
    """Answer with a problem document, without a parsed request, and close."""
    status = status_of(error)
    body = problem_bytes(error)
    head = (
        f"HTTP/1.1 {status.value} {HTTPStatus(status).phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    transport.write(head.encode() + body)
    transport.close()


def _bounded_httptools() -> type[asyncio.Protocol]:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol  # noqa: PLC0415 - not installed everywhere

    class BoundedHttpTools(_BoundedMixin, HttpToolsProtocol):  # type: ignore[misc]  # as uvicorn's own does
        _in_head = False

        def on_message_begin(self) -> None:
            self._in_head = True
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self._in_head = False
            super().on_headers_complete()

        def _head_pending(self) -> bool:
            return self._in_head

    return BoundedHttpTools


def _bounded_h11() -> type[asyncio.Protocol]:
    import h11  # noqa: PLC0415 - only where httptools is not installed
    from uvicorn.protocols.http.h11_impl import H11Protocol  # noqa: PLC0415 - only where httptools is not installed

    class BoundedH11(_BoundedMixin, H11Protocol):  # type: ignore[misc]  # as uvicorn's own does
        def _head_pending(self) -> bool:
            return self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])

    return BoundedH11
