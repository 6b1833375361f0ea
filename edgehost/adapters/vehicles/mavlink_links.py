"""What carries MAVLink frames: UDP in and out, TCP, a serial line. Nothing here waits for a slow vehicle."""

from __future__ import annotations

import asyncio
import os
import re
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final, cast

_URL: Final = re.compile(r"(udpin|udpout|tcp):(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})")
_SERIAL: Final = re.compile(r"(/[^,]+),([0-9]{2,8})")
#: A longer datagram is no MAVLink: frames are at most 280 bytes, senders keep below the MTU.
LONGEST_DATAGRAM: Final = 2048
_CHUNK: Final = 1024
#: Pieces that were received and not yet read: a quarter of a second of a fast link.
_MOST_WAITING: Final = 128
#: What may wait for a slow stream; frames beyond are dropped, as they would be on a radio.
_MOST_UNSENT: Final = 16 * 1024
_OPEN_S: Final = 10.0

Source = tuple[object, ...] | None


class Link:
    """Pieces from the world with their sender, and frames to it."""

    def __init__(self, *, whole: bool) -> None:
        self.whole = whole  # a piece never holds a part of a frame
        self.dropped = 0
        self.peer: Source = None
        self._waiting: deque[tuple[bytes, Source]] = deque()
        self._came = asyncio.Event()
        self._trouble = ""

    async def received(self) -> tuple[bytes, Source]:
        """The next piece.

        Raises:
            ConnectionError: the link is gone, and why.
        """
        while not self._waiting:
            if self._trouble:
                raise ConnectionError(self._trouble)
            self._came.clear()
            await self._came.wait()
        return self._waiting.popleft()

    def send(self, frame: bytes) -> bool:
        """Hand a frame over; whether it could be taken."""
        raise NotImplementedError

    def take(self, content: bytes, source: Source = None) -> None:
        """Queue what was received; the oldest gives way."""
        if self.peer is not None and source is not None and source != self.peer:
            self.dropped += 1
            return
        if len(self._waiting) >= _MOST_WAITING:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append((content, source))
        self._came.set()

    def end(self, why: str) -> None:
        """Say that nothing comes any more."""
        self._trouble = why or "closed"
        self._came.set()


class _UdpLink(Link, asyncio.DatagramProtocol):
    def __init__(self, *, answers: bool) -> None:
        super().__init__(whole=True)
        self._answers = answers  # to whom the vehicle turned out to be, not to a fixed address
        self._transport: asyncio.DatagramTransport | None = None
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[object, ...]) -> None:
        if len(data) > LONGEST_DATAGRAM:
            self.dropped += 1
            return
        self.take(data, addr if self._answers else None)

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there yet: the heartbeats that go unanswered say so."""

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False

    def connection_lost(self, exc: Exception | None) -> None:
        self.end(str(exc or ""))

    def send(self, frame: bytes) -> bool:
        if self._transport is None or (self._answers and self.peer is None):
            return False
        if self._paused:
            return False
        self._transport.sendto(frame, self.peer if self._answers else None)
        return True


class _TcpLink(Link):
    def __init__(self, writer: asyncio.StreamWriter) -> None:
        super().__init__(whole=False)
        self._writer = writer
        self._taken = asyncio.Event()

    async def received(self) -> tuple[bytes, Source]:
        self._taken.set()
        return await super().received()

    async def read(self, reader: asyncio.StreamReader) -> None:
        try:
            while content := await reader.read(_CHUNK):
                self.take(content)
                if len(self._waiting) > _MOST_WAITING // 2:  # and TCP holds the sender back
                    self._taken.clear()
                    await self._taken.wait()
            self.end("the vehicle closed the connection")
        except OSError as problem:
            self.end(str(problem))

    def send(self, frame: bytes) -> bool:
        transport = self._writer.transport
        if transport.is_closing() or transport.get_write_buffer_size() > _MOST_UNSENT:
            return False
        self._writer.write(frame)
        return True


class _SerialLink(Link):
    def __init__(self, descriptor: int) -> None:
        super().__init__(whole=False)
        self._descriptor = descriptor

    def readable(self) -> None:
        try:
            content = os.read(self._descriptor, _CHUNK)
        except BlockingIOError:
            return
        except OSError as problem:
            self.end(problem.strerror or "")
            return
        if content:
            self.take(content)
        else:
            self.end("the line is gone")

    def send(self, frame: bytes) -> bool:
        try:
            return os.write(self._descriptor, frame) == len(frame)
        except OSError:
            return False


def is_link(url: str) -> bool:
    """Whether a link can be opened from this text."""
    found = _URL.fullmatch(url)
    return int(found[3]) < 65_536 if found else _SERIAL.fullmatch(url) is not None  # noqa: PLR2004 - TCP and UDP


@asynccontextmanager
async def open_link(url: str) -> AsyncIterator[Link]:
    """``udpin:ADDRESS:PORT``, ``udpout:``, ``tcp:``, or ``DEVICE,BAUD``.

    Raises:
        OSError, TimeoutError: it cannot be opened now.
    """
    if (serial := _SERIAL.fullmatch(url)) is not None:
        async with _opened_serial(serial[1], int(serial[2])) as link:
            yield link
        return
    found = _URL.fullmatch(url)
    if found is None:
        raise OSError(f"'{url}' is no link")
    kind, host, tcp_port = found[1], found[2].strip("[]"), int(found[3])
    if kind == "tcp":
        async with _opened_tcp(host, tcp_port) as link:
            yield link
        return
    here, there = ((host, tcp_port), None) if kind == "udpin" else (None, (host, tcp_port))
    transport, datagrams = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _UdpLink(answers=kind == "udpin"), local_addr=here, remote_addr=there
    )
    try:
        yield datagrams
    finally:
        transport.close()


@asynccontextmanager
async def _opened_tcp(host: str, tcp_port: int) -> AsyncIterator[Link]:
    async with asyncio.timeout(_OPEN_S):
        reader, writer = await asyncio.open_connection(host, tcp_port, limit=_CHUNK)
    link = _TcpLink(writer)
    reading = asyncio.get_running_loop().create_task(link.read(reader), name="edgehost.vehicle.read")
    try:
        yield link
    finally:
        reading.cancel()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        await asyncio.wait({reading})


@asynccontextmanager
async def _opened_serial(device_path: str, baud: int) -> AsyncIterator[Link]:
    import serial  # noqa: PLC0415 - only hosts with a serial line pay for it

    def opened() -> serial.Serial:
        line = serial.Serial(device_path, baud, timeout=0, exclusive=True)
        os.set_blocking(line.fileno(), False)
        return line

    try:
        line = await asyncio.to_thread(opened)
    except ValueError as problem:  # pyserial's word for a rate that the device does not have
        raise OSError(str(problem)) from None
    loop, link = asyncio.get_running_loop(), _SerialLink(line.fileno())
    loop.add_reader(line.fileno(), link.readable)
    try:
        yield link
    finally:
        with suppress(OSError, ValueError):
            loop.remove_reader(line.fileno())
        line.close()
