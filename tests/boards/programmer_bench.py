"""What the contract of programmers needs of a target: a board on a line whose power can be cut at any moment."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from edgehost.domain.board import Board, FlashFacts
from edgehost.domain.flashing import FirmwareImage, FlashJob, FlashProgress, Segment
from edgehost.ports.programmer import Programmer


class Bench(Protocol):
    """A board, its programmer and an image that differs from what the board holds."""

    programmer: Programmer
    board: Board
    wrong_board: Board | None  # one whose chip is another; None: the protocol cannot tell
    image: FirmwareImage
    verifies: bool  # whether this protocol can verify on this chip
    needs_reset: bool  # a flash that was broken off leaves the bootloader in the middle of a command

    @property
    def line(self) -> str:
        """Where the board is now."""
        ...

    def read_back(self) -> bytes:
        """What the device holds where the image goes, read past the programmer."""
        ...

    def cut_power(self) -> None:
        """At once: called from within a progress report."""
        ...

    async def restore_power(self) -> None:
        """The board starts again, in its bootloader."""
        ...


class Reports(list[FlashProgress]):
    """Takes the reports of a flash; ``at`` is called for each of them before it is kept."""

    def __init__(self, at: Callable[[FlashProgress], None] | None = None) -> None:
        super().__init__()
        self._at = at

    def __call__(self, progress: FlashProgress) -> None:
        if self._at is not None:
            self._at(progress)
        self.append(progress)


def some_bytes(count: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(count)  # noqa: S311 - the same in every run


def some_image(*parts: tuple[int, bytes], name: str = "firmware.bin") -> FirmwareImage:
    digest = hashlib.sha256(b"".join(data for _, data in parts)).hexdigest()
    return FirmwareImage(name, "bin", tuple(Segment(address, data) for address, data in parts), digest)


def some_board(flash: FlashFacts, *, flash_bytes: int = 4 * 1024 * 1024, recovery: str = "") -> Board:
    return Board(
        id=f"test-{flash.protocol}",
        name="A board of the tests",
        vendor="nobody",
        mcu="none",
        core="none",
        cpu_hz=1,
        flash_bytes=flash_bytes,
        ram_bytes=1,
        flash=flash,
        recovery=recovery,
    )


def job_for(bench: Bench, *, board: Board | None = None, line: str | None = None) -> FlashJob:
    return FlashJob(board or bench.board, bench.image, line or bench.line)


class TcpDevice:
    """Serves a byte-wise state machine on a TCP port; one connection at a time; the power can be cut."""

    def __init__(self, feed: Callable[[bytes], bytes], power_up: Callable[[], None]) -> None:
        self._feed, self._power_up = feed, power_up
        self._writers: set[asyncio.StreamWriter] = set()
        self._on = True
        self._tcp_port = 0

    @property
    def line(self) -> str:
        return f"socket://127.0.0.1:{self._tcp_port}"

    @property
    def connections(self) -> int:
        return len(self._writers)

    def cut_power(self) -> None:
        self._on = False
        for writer in self._writers:
            writer.transport.abort()

    async def restore_power(self) -> None:
        self._on = True
        self._power_up()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while data := await reader.read(4096):
                if not self._on:
                    break
                writer.write(self._feed(data))
        except ConnectionError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[TcpDevice]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._tcp_port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.cut_power()
            await server.wait_closed()
            while self._writers:
                await asyncio.sleep(0)


def silent_device() -> TcpDevice:
    """Takes everything and answers nothing: a board that is not in its bootloader."""
    return TcpDevice(lambda _data: b"", lambda: None)
