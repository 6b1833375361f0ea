"""The agent's end of a sandbox's socket: takes frames apart, never waits, never buffers more than is allowed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

from edgehost.adapters.sandbox import wire

_SMALL: Final = 65_536  # frames without a payload of the guest's choice


class GuestLink(asyncio.Protocol):
    """One frame at a time goes to whoever waits; log lines go to ``on_log`` as they come."""

    def __init__(
        self,
        *,
        payload_bytes: int,
        on_log: Callable[[int, str], None],
        on_gone: Callable[[], None],
        on_broken: Callable[[str], None],
    ) -> None:
        self._on_log, self._on_gone, self._on_broken = on_log, on_gone, on_broken
        self._longest = {
            wire.RESULT: payload_bytes + 1,
            wire.HOST_CALL: payload_bytes + 256,
            wire.HTTP: payload_bytes + 256,
            wire.NAMES: 1024 * 1024,
            wire.LOG: wire.LONGEST_TEXT + 1,
        }
        self._buffer = bytearray()
        self._waiter: asyncio.Future[tuple[int, bytes]] | None = None
        self.log_lines_left = 0
        self._transport: asyncio.Transport | None = None
        self.open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the way back."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own transports do not derive from it

    def send(self, kind: int, *parts: bytes) -> None:
        """Queue a frame; what is queued is bounded by what one call may carry."""
        if self._transport is not None:
            self._transport.write(wire.frame(kind, *parts))

    def expect(self, log_lines: int) -> asyncio.Future[tuple[int, bytes]]:
        """The next frame that is no log line; at most ``log_lines`` of those before it."""
        self.log_lines_left = log_lines
        self._waiter = asyncio.get_running_loop().create_future()
        if not self.open:
            self._waiter.set_exception(ConnectionResetError())
        return self._waiter

    def abort(self) -> None:
        """Drop the connection and what is queued for it."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take complete frames out of the stream."""
        buffer = self._buffer
        buffer += data
        at, size = 0, wire.HEADER.size
        while len(buffer) - at >= size:
            kind, length = wire.HEADER.unpack_from(buffer, at)
            if length > self._longest.get(kind, _SMALL):
                self._broke(f"a frame of kind {kind} with {length} bytes")
                return
            if len(buffer) - at < size + length:
                break
            body = bytes(memoryview(buffer)[at + size : at + size + length])
            at += size + length
            if not self._deliver(kind, body):
                return
        del buffer[:at]

    def _deliver(self, kind: int, body: bytes) -> bool:
        if kind == wire.LOG:
            self.log_lines_left -= 1
            if self.log_lines_left < 0 or not body or body[0] >= len(wire.LEVELS):
                self._broke("more log lines than it may write")
                return False
            self._on_log(body[0], body[1:].decode("utf-8", "replace"))
            return True
        waiter, self._waiter = self._waiter, None
        if waiter is None or waiter.done():
            self._broke(f"a frame of kind {kind} that nobody asked for")
            return False
        waiter.set_result((kind, body))
        return True

    def _broke(self, what: str) -> None:
        self._buffer.clear()
        self._on_broken(what)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why does not matter
        """Wake whoever waits."""
        self.open = False
        self._buffer.clear()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ConnectionResetError())
        self._waiter = None
        self._on_gone()
