"""Programmer for AVR bootloaders that speak AVR109: Caterina on boards with an ATmega32U4, entered by a 1200-baud touch."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from edgehost.adapters.boards.avr_flash import LostAnswerError, flash_pages, no_sync
from edgehost.adapters.boards.flash_run import FlashRun
from edgehost.adapters.boards.line_reader import LineReader
from edgehost.adapters.boards.touch_1200 import touch_1200
from edgehost.domain.errors import FlashFailedError
from edgehost.domain.flashing import FlashJob, FlashOutcome, Phase
from edgehost.ports.device_line import DeviceLine, DeviceLines, LineSettings
from edgehost.ports.programmer import Report

_DONE: Final = b"\r"
_ESCAPE: Final = b"\x1b"  # ends whatever command was half sent; answered by nothing
_SYNC_S: Final = 0.3
_SYNC_TRIES: Final = 10
_ANSWER_S: Final = 2.0
_MOST_BLOCK: Final = 4096


class Avr109Programmer:
    """Touches at 1200 baud where the board asks for it, and follows the bootloader to the line that it appears on."""

    protocol: Final = "avr109"

    def __init__(
        self, lines: DeviceLines, pause: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        self._lines, self._pause = lines, pause

    async def flash(self, job: FlashJob, report: Report) -> FlashOutcome:
        """Write the image, read it back, start it."""
        run = FlashRun(job, report)
        with run.stating():
            path = job.line
            if job.board.flash.reset == "touch1200":
                run.tell(Phase.CONNECT)
                path = await touch_1200(self._lines, job.line, job.board, pause=self._pause)
                if path != job.line:
                    run.tell(Phase.CONNECT, detail=f"bootloader on {path}")
            settings = LineSettings(baud=job.baud or job.board.flash.baud)
            async with self._lines.open(path, settings) as line:
                run.tell(Phase.CONNECT)
                boot = _Bootloader(line)
                await self._connect(job, boot)
                return await flash_pages(run, boot)

    async def _connect(self, job: FlashJob, boot: _Bootloader) -> None:
        for _ in range(_SYNC_TRIES):
            if await boot.is_in_sync() and await boot.is_entered(job):
                return
        raise no_sync(job, pulsed=True)


class _Bootloader:
    """AvrBootloader in the words of AVR109."""

    #: Caterina waits for ever when the first word is erased; others jump there only when it is not.
    guard = b"\xff"

    def __init__(self, line: DeviceLine) -> None:
        self._line, self._reader = line, LineReader(line)

    async def is_in_sync(self) -> bool:
        """Whether somebody says what bootloader it is, in seven characters."""
        await self._reader.drop()
        await self._line.write(_ESCAPE + b"S")
        try:
            name = await self._reader.exactly(7, _SYNC_S)
        except TimeoutError:
            return False
        return name.isascii() and name.decode("ascii").isprintable()

    async def is_entered(self, job: FlashJob) -> bool:
        """Whether it takes commands, and blocks of the board's page size.

        Raises:
            FlashFailedError: it takes no such blocks.
        """
        try:
            await self._line.write(b"b")
            answer = await self._exactly(1)
            size = int.from_bytes(await self._exactly(2), "big") if answer == b"Y" else 0
            await self._acknowledged(b"P")
        except LostAnswerError:
            return False
        if not job.board.flash.page <= size <= _MOST_BLOCK:
            raise FlashFailedError(f"The bootloader takes no blocks of {job.board.flash.page} bytes.")
        return True

    async def signature(self) -> str:
        await self._line.write(b"s")
        return (await self._exactly(3))[::-1].hex()

    async def write_page(self, address: int, data: bytes) -> None:
        await self._go_to(address)
        await self._acknowledged(b"B" + len(data).to_bytes(2, "big") + b"F" + data)

    async def read_page(self, address: int, size: int) -> bytes:
        await self._go_to(address)
        await self._line.write(b"g" + size.to_bytes(2, "big") + b"F")
        return await self._exactly(size)

    async def recover(self) -> bool:
        for _ in range(_SYNC_TRIES):  # a block that lost bytes takes some of these for them
            if await self.is_in_sync():
                return True
        return False

    async def leave(self) -> None:
        await self._acknowledged(b"L")
        await self._acknowledged(b"E")

    async def _go_to(self, address: int) -> None:
        await self._acknowledged(b"A" + (address // 2).to_bytes(2, "big"))

    async def _acknowledged(self, command: bytes) -> None:
        await self._line.write(command)
        if await self._exactly(1) != _DONE:
            raise LostAnswerError

    async def _exactly(self, size: int) -> bytes:
        try:
            return await self._reader.exactly(size, _ANSWER_S)
        except TimeoutError:
            raise LostAnswerError from None
