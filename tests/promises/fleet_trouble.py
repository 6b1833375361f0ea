"""What goes wrong in fleets, made to go wrong: brokers that are killed at chunks, servers that drip, turned clocks."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from edgehost.adapters.broker.embedded_broker import EmbeddedBroker
from edgehost.cli.demo_host import DemoHost
from tests.journeys.test_killed_deployment import standing
from tests.remotes.scripted_web_server import Asked

_CHUNK = re.compile(rb"/chunk/([0-9a-f]{64})")
_LONGEST_TOPIC = 200


@dataclass
class ChunkKiller:
    """Stands before a broker, and kills it with SIGKILL halfway through every chunk that it sends for the first time."""

    broker: EmbeddedBroker
    tcp_port: int = 0
    seen: set[bytes] = field(default_factory=set)
    kills: int = 0
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a client."""
        async with self._lock:  # while the broker starts again nobody is let in
            pass
        try:
            back, forth = await asyncio.open_connection("127.0.0.1", self.broker.tcp_port)
        except OSError:
            writer.transport.abort()
            return
        try:
            async with asyncio.TaskGroup() as tasks:
                up = tasks.create_task(_pump(reader, forth))
                if await self._down(back, writer):
                    async with self._lock:
                        await self.broker.stop(kill=True)
                        writer.transport.abort()
                        await self.broker.start()
                up.cancel()
        except* OSError:
            pass
        finally:
            writer.transport.abort()
            forth.transport.abort()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether it ended at a chunk."""
        tail = b""
        while piece := await reader.read(65_536):
            fresh = set(_CHUNK.findall(tail + piece)) - self.seen
            tail = (tail + piece)[-_LONGEST_TOPIC:]
            if fresh:
                self.seen |= {min(fresh)}  # one at a time, however many came together
                self.kills += 1
                writer.write(piece[: len(piece) // 2])
                await writer.drain()
                return True
            writer.write(piece)
            await writer.drain()
        return False


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()


@asynccontextmanager
async def open_chunk_killer(broker: EmbeddedBroker) -> AsyncIterator[ChunkKiller]:
    """A port before the broker; what the broker retains is on its disk before it is first killed."""
    await broker.stop()
    await broker.start()
    killer = ChunkKiller(broker)
    server = await asyncio.start_server(killer.serve, "127.0.0.1", 0)
    killer.tcp_port = server.sockets[0].getsockname()[1]
    try:
        yield killer
    finally:
        server.close()


async def one_byte_per_second(_asked: Asked, writer: asyncio.StreamWriter) -> None:
    """A web server that never ends."""
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" + bytes(20_000):
        writer.write(bytes((byte,)))
        await writer.drain()
        await asyncio.sleep(1)


async def broker_of_one_byte_per_second(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A broker that accepts, and then takes its time for everything."""
    for byte in b"\x20\x03\x00\x00\x00" + b"\x90\x04\x00\x01\x00\x01" + b"\x30\x7f" + bytes(200):
        writer.write(bytes((byte,)))
        await writer.drain()
        await asyncio.sleep(1)


class JumpingClock:
    """The machine's wall clock, moved by the test; monotonic time stays the machine's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._real = time.time  # noqa: TID251 - what is turned
        self.offset_s = 0.0
        monkeypatch.setattr(time, "time", self.now)

    def now(self) -> float:
        return max(self._real() + self.offset_s, 0.0)


async def live(host: DemoHost, version: str, *, timeout_s: float = 30) -> None:
    """Wait until the process runs this release of telemetry."""
    async with asyncio.timeout(timeout_s):
        while (await standing(host))[1].get("telemetry") != version:
            await asyncio.sleep(0.02)
