"""A web server that answers as a test says, byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

#: What it does with one request.
Script = Callable[["Asked", asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Asked:
    """One request as it came."""

    line: str
    headers: dict[str, str]
    number: int  # of all requests, from 1
    connection: int  # of all connections, from 1

    @property
    def path(self) -> str:
        return self.line.split(" ")[1]


@dataclass
class ScriptedServer:
    """Where it is, and all that was asked."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0

    @property
    def paths(self) -> list[str]:
        return [each.path for each in self.asked]


def answer(status: int, body: bytes = b"", *headers: str, length: int | None = None) -> bytes:
    """A whole answer; ``length`` lies about the body's."""
    lines = (f"HTTP/1.1 {status} X", f"Content-Length: {len(body) if length is None else length}", *headers)
    return "\r\n".join((*lines, "", "")).encode() + body


def saying(*answers: bytes) -> Script:
    """These answers one after another, the last again and again."""

    async def script(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(answers[min(asked.number, len(answers)) - 1])

    return script


@asynccontextmanager
async def open_scripted_server(script: Script) -> AsyncIterator[ScriptedServer]:
    """The server on loopback; a script that raises ConnectionError closes the connection."""
    told = ScriptedServer()
    writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told.connections += 1
        connection = told.connections
        writers.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
                told.asked.append(Asked(head[0], headers, len(told.asked) + 1, connection))
                await script(told.asked[-1], writer)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    told.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield told
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await server.wait_closed()
        for _ in range(3):
            await asyncio.sleep(0)  # handlers end
