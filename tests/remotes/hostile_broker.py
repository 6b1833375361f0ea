"""Brokers that misbehave, byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

CONNACK = b"\x20\x03\x00\x00\x00"  # MQTT 5: accepted, no properties
Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def answer_with_garbage(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """No MQTT at all."""
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 100)
    await writer.drain()


async def say_nothing(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Accept and be silent."""
    while await reader.read(4096):
        pass


async def send_an_endless_packet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One message that claims 256 MB, and then goes on."""
    await _accept(reader, writer)
    writer.write(b"\x30\xff\xff\xff\x7f")
    for _ in range(4000):
        writer.write(b"x" * 65_536)
        await writer.drain()


async def flood_with_messages(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Small messages that nobody asked for, without end."""
    await _accept(reader, writer)
    message = _publish(b"edgehost/remote/demo/chunk/" + b"0" * 64, b"x" * 100)
    while True:
        writer.write(message * 100)
        await writer.drain()


async def _accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the CONNECT and acknowledge it and the first subscription, as a broker for MQTT 5 does."""
    await reader.read(4096)
    writer.write(CONNACK)
    await writer.drain()
    subscribe = await reader.read(4096)
    writer.write(b"\x90\x04" + subscribe[2:4] + b"\x00\x01")
    await writer.drain()


def _publish(topic: bytes, payload: bytes) -> bytes:
    body = len(topic).to_bytes(2, "big") + topic + b"\x00" + payload
    size = len(body)
    return b"\x30" + bytes([size % 128 | 128, size // 128]) + body


@asynccontextmanager
async def hostile_broker(script: Script) -> AsyncIterator[int]:
    """The TCP port of a broker that plays the script to each client."""
    players: set[asyncio.Task[None]] = set()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        players.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await script(reader, writer)
        finally:
            players.discard(task)
            writer.close()

    server = await asyncio.start_server(play, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for player in tuple(players):
            player.cancel()
        await asyncio.wait(tuple(players)) if players else None
        await server.wait_closed()
