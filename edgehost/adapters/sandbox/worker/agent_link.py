"""The sandbox's end of its socket: frames in and out, blocking, and the limits on what the guest may send."""

from __future__ import annotations

import os
from typing import Final, Protocol

from edgehost.adapters.sandbox import wire
from edgehost.adapters.sandbox.worker.faults import Trap

_CHUNK: Final = 65_536


class AgentGoneError(Exception):
    """The agent closed the socket: there is nobody left to work for."""


class Agent(Protocol):
    """What an ABI may ask of the agent while the guest waits."""

    def log(self, level: int, text: str) -> None:
        """Pass on a line of the guest's log."""
        ...

    def host_call(self, name: str, payload: bytes) -> bytes:
        """Call a granted function; its failures are data in the reply."""
        ...

    def http(self, request: bytes, body: bytes) -> tuple[int, bytes]:
        """Make an HTTP request: a status of wire's HOST_REPLY and the reply."""
        ...


class AgentLink:
    """The Agent over a file descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._buffer = bytearray()
        self._host_calls_left = self._log_lines_left = 0
        self._lines_dropped = 0
        self._payload_bytes = 0

    def limit(self, *, host_calls: int, log_lines: int, payload_bytes: int) -> None:
        """Set what the next call may spend."""
        self._host_calls_left, self._log_lines_left = host_calls, log_lines
        self._payload_bytes = payload_bytes
        self._lines_dropped = 0

    def receive(self) -> tuple[int, bytes]:
        """The next frame: its kind and body."""
        buffer = self._buffer
        size = wire.HEADER.size
        while True:
            if len(buffer) >= size:
                kind, length = wire.HEADER.unpack_from(buffer)
                end = size + length
                if len(buffer) >= end:
                    body = bytes(buffer[size:end])
                    del buffer[:end]
                    return kind, body
            chunk = os.read(self._fd, _CHUNK)
            if not chunk:
                raise AgentGoneError
            buffer += chunk

    def send(self, kind: int, *parts: bytes) -> None:
        """Write one frame."""
        data = memoryview(wire.frame(kind, *parts))
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except (BrokenPipeError, ConnectionResetError):
            raise AgentGoneError from None

    def log(self, level: int, text: str) -> None:
        """Pass a line on, unless the call has had its share."""
        if self._log_lines_left <= 0:
            self._lines_dropped += 1
            return
        self._log_lines_left -= 1
        self.send(wire.LOG, bytes((level,)), wire.clip(text))

    def report_dropped_lines(self) -> None:
        """At the end of a call: how many lines were over the limit."""
        if self._lines_dropped:
            self.send(wire.LOG, bytes((3,)), b"%d more lines were dropped" % self._lines_dropped)

    def host_call(self, name: str, payload: bytes) -> bytes:
        """Ask and wait."""
        self._spend(payload)
        self.send(wire.HOST_CALL, bytes((len(name),)), name.encode(), payload)
        return self._reply()[1]

    def http(self, request: bytes, body: bytes) -> tuple[int, bytes]:
        """Ask and wait."""
        self._spend(request, body)
        self.send(wire.HTTP, len(request).to_bytes(4, "little"), request, body)
        return self._reply()

    def _spend(self, *payloads: bytes) -> None:
        if self._host_calls_left <= 0:
            raise Trap("too many host calls in one call (limits.host_calls)")
        self._host_calls_left -= 1
        if sum(map(len, payloads)) > self._payload_bytes:
            raise Trap(f"a host call may carry {self._payload_bytes // 1024} KiB (limits.output_kib)")

    def _reply(self) -> tuple[int, bytes]:
        kind, body = self.receive()
        if kind != wire.HOST_REPLY or not body:
            raise AgentGoneError
        return body[0], body[1:]
