"""Programmer for AVR bootloaders that speak STK500 version 1: Optiboot, ATmegaBOOT (Atmel AVR061)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from edgehost.adapters.boards.avr_flash import LostAnswerError, flash_from_reset, pulse_reset
from edgehost.adapters.boards.flash_run import FlashRun
from edgehost.adapters.boards.line_reader import LineReader
from edgehost.domain.flashing import FlashJob, FlashOutcome
from edgehost.ports.device_line import DeviceLine, DeviceLines
from edgehost.ports.programmer import Report

_IN_SYNC: Final = b"\x14"
_OK: Final = b"\x10"
_END: Final = b"\x20"
_GET_SYNC: Final = b"\x30"
_ENTER: Final = b"\x50"
_LEAVE: Final = b"\x51"
_LOAD_ADDRESS: Final = b"\x55"
_WRITE_PAGE: Final = b"\x64"
_READ_PAGE: Final = b"\x74"
_READ_SIGNATURE: Final = b"\x75"

#: What ATmegaBOOT has where Optiboot has the other.
_OTHER_BAUD: Final = {57_600: 115_200, 115_200: 57_600}
_SYNC_S: Final = 0.15
_TRIES_PER_RESET: Final = 6  # a bootloader listens for about a second
_RESETS: Final = 4  # for one lost answer
_SETTLE_S: Final = 0.05  # answers to questions that were asked while the bootloader still blinked its LED
#: Shorter than a bootloader waits before it starts the application, so that there is time to try again.
_ANSWER_S: Final = 0.6
_BITS: Final = 20  # for each byte that goes or comes: ten, and as many for whoever is slow
_WORDS: Final = 0x1_0000  # an address has 16 bits


class Stk500v1Programmer:
    """Resets by DTR where the line has it; a page is written, and read back when all are."""

    protocol: Final = "stk500v1"

    def __init__(
        self, lines: DeviceLines, pause: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        self._lines, self._pause = lines, pause

    async def flash(self, job: FlashJob, report: Report) -> FlashOutcome:
        """Write the image, read it back, start it."""
        run = FlashRun(job, report)
        with run.stating():
            baud = job.baud or job.board.flash.baud
            other = _OTHER_BAUD.get(baud)
            hint = f"Boards of the same name have bootloaders at {other} baud too: try --baud {other}."

            def bootloader(line: DeviceLine) -> _Bootloader:
                return _Bootloader(line, baud, partial(pulse_reset, line, self._pause))

            return await flash_from_reset(
                run, self._lines, bootloader, self._pause, extra_hint=hint if other else ""
            )


class _Bootloader:
    """AvrBootloader in the words of STK500v1."""

    #: ``rjmp .-2``: until the last page is in, the chip turns on the spot instead of running half a program.
    guard = b"\xff\xcf"

    def __init__(self, line: DeviceLine, baud: int, reset: Callable[[], Awaitable[bool]]) -> None:
        self._line, self._reader, self._baud, self.reset = line, LineReader(line), baud, reset

    async def is_ready(self) -> bool:
        """Whether it answers, and takes commands."""
        for _ in range(_TRIES_PER_RESET):
            if await self.is_in_sync() and await self.is_entered():
                return True
        return False

    async def is_in_sync(self) -> bool:
        """Whether somebody answers the question for it; asked twice, since the first answer may be to an older one."""
        return await self._answers_sync() and await self._answers_sync()

    async def _answers_sync(self) -> bool:
        await self._reader.drop()
        await self._line.write(_GET_SYNC + _END)
        try:
            answer = await self._reader.exactly(2, _SYNC_S)
        except TimeoutError:
            return False
        if answer != _IN_SYNC + _OK:
            return False
        while await self._line.read(64, _SETTLE_S):
            pass
        return True

    async def is_entered(self) -> bool:
        """Whether it takes commands; not while it still answers questions of before."""
        try:
            await self._asked(_ENTER, 0)
        except LostAnswerError:
            return False
        return True

    async def signature(self) -> str:
        return (await self._asked(_READ_SIGNATURE, 3)).hex()

    async def write_page(self, address: int, data: bytes) -> None:
        await self._go_to(address)
        await self._asked(_WRITE_PAGE + len(data).to_bytes(2, "big") + b"F" + data, 0)

    async def read_page(self, address: int, size: int) -> bytes:
        await self._go_to(address)
        return await self._asked(_READ_PAGE + size.to_bytes(2, "big") + b"F", size)

    async def recover(self) -> bool:
        """Ask for sync; a bootloader that has given up waiting is back after a reset, and the page is written again."""
        for _ in range(_RESETS):
            for _ in range(_TRIES_PER_RESET):
                if await self.is_in_sync():
                    if await self.is_entered():
                        return True
                    break
            if not await self.reset():
                break
        return False

    async def leave(self) -> None:
        await self._asked(_LEAVE, 0)

    async def _go_to(self, address: int) -> None:
        if address // 2 >= _WORDS:
            raise ValueError(f"0x{address:x} is beyond what this protocol can address")
        await self._asked(_LOAD_ADDRESS + (address // 2).to_bytes(2, "little"), 0)

    async def _asked(self, command: bytes, size: int) -> bytes:
        await self._line.write(command + _END)
        wait_s = _ANSWER_S + (len(command) + size) * _BITS / self._baud
        try:
            answer = await self._reader.exactly(size + 2, wait_s)
        except TimeoutError:
            raise LostAnswerError from None
        if not (answer.startswith(_IN_SYNC) and answer.endswith(_OK)):
            raise LostAnswerError
        return answer[1:-1]
