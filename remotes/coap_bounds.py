"""aiocoap's connections with bounds: what a stranger sends may cost no more than it should.

The library's own take messages of 1 MiB, write without looking whether anybody reads, and know no number of
connections that is too large. Datagrams are bounded in coap_datagrams.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from typing import Final

import aiocoap
from aiocoap.tokenmanager import TokenManager
from aiocoap.transports.tcp import TCPClient, TcpConnection, TCPServer

WIRE_LOG: Final = "edgehost.coap.wire"
#: A request has a path of 100 bytes and some options.
REQUEST_MOST_BYTES: Final = 2048
#: A chunk of 32 KiB and its options.
ANSWER_MOST_BYTES: Final = 33 * 1024
#: What may wait for a client that does not read: 16 chunks.
_UNREAD_MOST_BYTES: Final = 16 * ANSWER_MOST_BYTES
_HANDSHAKE_S: Final = 10.0
_CLOSE_S: Final = 1.0

_LOG: Final = logging.getLogger(__name__)
# What strangers send must not fill a log; what matters of it is said elsewhere.
logging.getLogger(WIRE_LOG).setLevel(logging.CRITICAL)


class BoundedConnection(TcpConnection):  # type: ignore[misc]  # aiocoap ships no types
    """One TCP connection (RFC 8323). ``gone`` is done once it has ended."""

    def __init__(
        self,
        owner: TCPServer | TCPClient,
        *,
        is_server: bool,
        most_message_bytes: int,
        idle_timeout_s: float | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        super().__init__(owner, owner.log, self._loop, is_server=is_server)
        self._my_max_message_size = most_message_bytes
        self._idle_timeout_s = idle_timeout_s
        self._idle_timer: asyncio.TimerHandle | None = None
        self._heard_at = self._loop.time()
        self._bytes_taken = 0
        self.gone: asyncio.Future[Exception | None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self._watch_idleness()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol; whatever does not parse ends the connection and nothing else."""
        self._heard_at = self._loop.time()
        try:
            super().data_received(data)
        except Exception as error:  # noqa: BLE001 - the parser's reaction to odd bytes is not specified
            _LOG.info("CoAP connection closed: %r", error)
            self.cut()

    @property
    def progress_bytes(self) -> int:
        """Grows with answers that somebody waits for, and with the one that is on its way; not with other bytes."""
        return self._bytes_taken + len(self._spool)

    def take(self, message: aiocoap.Message) -> None:
        """Count an answer that somebody waited for."""
        self._bytes_taken += len(message.payload) + 1

    def pause_writing(self) -> None:
        """See asyncio.Protocol: who does not read gets no further answers."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        if not self.gone.done():
            self.gone.set_result(exc)
        super().connection_lost(exc)

    def cut(self) -> None:
        """End it at once."""
        if self._transport is not None:
            self._transport.abort()

    async def close(self) -> None:
        """Tell the other side, and end."""
        if self.gone.done() or self._transport is None:
            return
        await self.release()
        self._transport.close()
        await asyncio.wait({self.gone}, timeout=_CLOSE_S)
        self.cut()

    def _send_message(self, message: aiocoap.Message) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        super()._send_message(message)
        if self._transport.get_write_buffer_size() > _UNREAD_MOST_BYTES:
            self.cut()

    def _watch_idleness(self) -> None:
        if self._idle_timeout_s is None or self.gone.done():
            return
        left_s = self._heard_at + self._idle_timeout_s - self._loop.time()
        if left_s <= 0:
            self._transport.close()
        else:
            self._idle_timer = self._loop.call_later(left_s, self._watch_idleness)


class BoundedStreams(TCPServer):  # type: ignore[misc]
    """The server's side of TCP and TLS."""

    def __init__(self, tokens: TokenManager, *, tls: bool, most: int, idle_timeout_s: float) -> None:
        super().__init__()
        self._tokenmanager = tokens
        self.log = tokens.log
        self._most = most
        self._idle_timeout_s = idle_timeout_s
        if tls:
            self._scheme, self._default_port = "coaps+tcp", aiocoap.COAPS_PORT

    async def listen(self, sock: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Take connections from the bound socket."""
        self.server = await asyncio.get_running_loop().create_server(
            self._accepted, sock=sock, ssl=tls, ssl_handshake_timeout=_HANDSHAKE_S if tls else None
        )

    async def shutdown(self) -> None:
        """Stop listening and end the connections."""
        self._tokenmanager = None
        self.server.close()
        open_ones = tuple(self._pool)
        async with asyncio.TaskGroup() as tasks:
            for connection in open_ones:
                tasks.create_task(connection.close(), name="edgehost.coap.close")
        await self.server.wait_closed()

    def _accepted(self) -> asyncio.Protocol:
        if len(self._pool) >= self._most:
            return _Turned()
        connection = BoundedConnection(
            self,
            is_server=True,
            most_message_bytes=REQUEST_MOST_BYTES,
            idle_timeout_s=self._idle_timeout_s,
        )
        self._pool.add(connection)
        return connection

    def _dispatch_incoming(self, _connection: BoundedConnection, message: aiocoap.Message) -> None:
        if self._tokenmanager is not None and message.code.is_request():
            self._tokenmanager.process_request(message)


class _Turned(asyncio.Protocol):
    """One connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class BoundedStreamClient(TCPClient):  # type: ignore[misc]
    """The client's side: one connection, opened on purpose."""

    def __init__(self, tokens: TokenManager, *, tls: bool) -> None:
        super().__init__()
        self._tokenmanager = tokens
        self.log = tokens.log
        self.loop = tokens.loop
        if tls:
            self._scheme, self._default_port = "coaps+tcp", aiocoap.COAPS_PORT

    async def connect(self, host: str, port: int, tls: ssl.SSLContext | None) -> BoundedConnection:
        """A new connection.

        Raises:
            OSError: it cannot be had, or the certificate is not trusted.
        """
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: BoundedConnection(self, is_server=False, most_message_bytes=ANSWER_MOST_BYTES),
            host,
            port,
            ssl=tls,
        )
        self._pool[(host, port)] = connection
        return connection

    async def shutdown(self) -> None:
        """End the connection."""
        self._tokenmanager = None
        for connection in tuple(self._pool.values()):
            await connection.close()

    def _dispatch_incoming(self, connection: BoundedConnection, message: aiocoap.Message) -> None:
        if self._tokenmanager is None or not message.code.is_response():
            return
        if self._tokenmanager.process_response(message):
            connection.take(message)
