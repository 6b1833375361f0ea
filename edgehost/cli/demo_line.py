"""The line between the demo's host and a board: its address stays, and the power goes after a number of bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from edgehost.cli.demo_board import EmulatedBoard

_CHUNK: Final = 256


@dataclass(slots=True)
class DemoLine:
    """Relays bytes both ways; while the board is off nobody is at its other end."""

    board: EmulatedBoard
    tcp_port: int = 0
    sent: int = 0  # bytes that went to the board
    cut_at: int | None = None  # bytes to the board after which its power goes
    cut: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def address(self) -> str:
        """What the host is configured with."""
        return f"socket://127.0.0.1:{self.tcp_port}"

    def cut_after(self, count: int) -> None:
        """Cut the board's power once so many more bytes went to it."""
        self.cut.clear()
        self.cut_at = self.sent + count

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the host's."""
        try:
            if self.board.process is None:
                return
            target = urlsplit(self.board.line)
            theirs, ours = await asyncio.open_connection(target.hostname, target.port)
            back = asyncio.create_task(_answers(theirs, writer), name="edgehost.demo.line")
            try:
                while data := await reader.read(_CHUNK):
                    self.sent += len(data)
                    if self.cut_at is not None and self.sent >= self.cut_at:
                        self.cut_at = None
                        await self.board.cut_power()
                        self.cut.set()
                        return
                    ours.write(data)
            finally:
                back.cancel()
                ours.close()
        except OSError:
            return  # the board has lost its power, or the host was killed
        finally:
            writer.close()


@asynccontextmanager
async def demo_line(board: EmulatedBoard) -> AsyncIterator[DemoLine]:
    """The line, for as long as the block lasts."""
    line = DemoLine(board)
    server = await asyncio.start_server(line.serve, "127.0.0.1", 0)
    line.tcp_port = server.sockets[0].getsockname()[1]
    try:
        yield line
    finally:
        server.close()


async def _answers(theirs: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await theirs.read(_CHUNK):
            writer.write(data)
    writer.close()
