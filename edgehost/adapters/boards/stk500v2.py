"""Programmer for AVR bootloaders that speak STK500 version 2: the Mega 2560's (Atmel AVR068)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from edgehost.adapters.boards.avr_flash import LostAnswerError, flash_from_reset
from edgehost.adapters.boards.flash_run import FlashRun
from edgehost.adapters.boards.line_reader import LineReader
from edgehost.domain.flashing import FlashJob, FlashOutcome
from edgehost.ports.device_line import DeviceLine, DeviceLines
from edgehost.ports.programmer import Report

_START: Final = 0x1B
_TOKEN: Final = 0x0E
_SIGN_ON: Final = 0x01
_LOAD_ADDRESS: Final = 0x06
_ENTER: Final = 0x10
_LEAVE: Final = 0x11
_WRITE_FLASH: Final = 0x13
_READ_FLASH: Final = 0x14
_READ_SIGNATURE: Final = 0x1B
_CMD_OK: Final = 0

#: What AVR068 asks for besides the data, for programmers that stand between computer and chip; bootloaders ignore it.
_ENTER_ARGUMENTS: Final = bytes((200, 100, 25, 32, 0, 0x53, 3, 0xAC, 0x53, 0, 0))
_WRITE_ARGUMENTS: Final = bytes((0xC1, 10, 0x40, 0x4C, 0x20, 0xFF, 0xFF))
_READ_ARGUMENT: Final = bytes((0x20,))
_LEAVE_ARGUMENTS: Final = bytes((1, 1))
_FAR: Final = 0x8000_0000  # the address has more than 16 bits

_SIGN_ON_S: Final = 0.3
_TRIES_PER_RESET: Final = 3
_ANSWER_S: Final = 2.0
_MOST_BODY: Final = 1024


class Stk500v2Programmer:
    """Resets by DTR where the line has it; pages are written in order from the first, then read back."""

    protocol: Final = "stk500v2"

    def __init__(
        self, lines: DeviceLines, pause: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        self._lines, self._pause = lines, pause

    async def flash(self, job: FlashJob, report: Report) -> FlashOutcome:
        """Write the image, read it back, start it."""
        run = FlashRun(job, report)
        with run.stating():
            return await flash_from_reset(run, self._lines, _Bootloader, self._pause)


class _Bootloader:
    """AvrBootloader in the words of STK500v2."""

    #: Arduino's bootloader erases the page behind the one that it erased last, wherever it writes: in order, or never.
    guard = b""

    def __init__(self, line: DeviceLine) -> None:
        self._line, self._reader = line, LineReader(line)
        self._sequence = 0
        self._next: int | None = None  # the address moves on by itself
        self._wrote = False

    async def is_ready(self) -> bool:
        """Whether it answers, and takes commands."""
        for _ in range(_TRIES_PER_RESET):
            if await self.is_signed_on():
                return True
        return False

    async def is_signed_on(self) -> bool:
        """Whether a bootloader of this tongue answers, and is ready to be written."""
        await self._reader.drop()
        try:
            await self._asked(bytes((_SIGN_ON,)), _SIGN_ON_S)
            await self._asked(bytes((_ENTER,)) + _ENTER_ARGUMENTS, _ANSWER_S)
        except LostAnswerError:
            return False
        return True

    async def signature(self) -> str:
        found = ""
        for index in range(3):
            command = bytes((_READ_SIGNATURE, 4, 0x30, 0, index, 0))
            found += (await self._asked(command, _ANSWER_S))[:1].hex()
        return found

    async def write_page(self, address: int, data: bytes) -> None:
        await self._go_to(address)
        self._wrote = True
        await self._asked(
            bytes((_WRITE_FLASH,)) + len(data).to_bytes(2, "big") + _WRITE_ARGUMENTS + data, _ANSWER_S
        )
        self._wrote = False
        self._next = address + len(data)

    async def read_page(self, address: int, size: int) -> bytes:
        await self._go_to(address)
        answer = await self._asked(
            bytes((_READ_FLASH,)) + size.to_bytes(2, "big") + _READ_ARGUMENT, _ANSWER_S
        )
        if len(answer) != size + 1:  # a status stands behind the data too
            raise LostAnswerError
        self._next = address + size
        return answer[:-1]

    async def recover(self) -> bool:
        await self._reader.drop()
        self._next = None
        return not self._wrote

    async def leave(self) -> None:
        await self._asked(bytes((_LEAVE,)) + _LEAVE_ARGUMENTS, _ANSWER_S)

    async def _go_to(self, address: int) -> None:
        if self._next == address:
            return
        words = address // 2
        target = words | _FAR if words > 0xFFFF else words  # noqa: PLR2004 - 16 bits
        await self._asked(bytes((_LOAD_ADDRESS,)) + target.to_bytes(4, "big"), _ANSWER_S)
        self._next = address

    async def _asked(self, body: bytes, timeout_s: float) -> bytes:
        """What follows command and status in the answer."""
        self._sequence = (self._sequence + 1) % 256
        head = bytes((_START, self._sequence)) + len(body).to_bytes(2, "big") + bytes((_TOKEN,))
        await self._line.write(_summed(head + body))
        deadline = asyncio.get_running_loop().time() + timeout_s
        try:
            async with asyncio.timeout_at(deadline):
                answer = await self._answer()
        except TimeoutError:
            raise LostAnswerError from None
        if answer[:1] != body[:1] or answer[1:2] != bytes((_CMD_OK,)):
            raise LostAnswerError
        return answer[2:]

    async def _answer(self) -> bytes:
        """The body of the frame that answers; noise and answers to earlier questions are passed over."""
        while True:
            while await self._reader.exactly(1, _ANSWER_S) != bytes((_START,)):
                pass
            head = await self._reader.exactly(4, _ANSWER_S)
            size = int.from_bytes(head[1:3], "big")
            if head[3] != _TOKEN or size > _MOST_BODY:
                continue
            rest = await self._reader.exactly(size + 1, _ANSWER_S)
            if _summed(bytes((_START,)) + head + rest[:-1])[-1] == rest[-1] and head[0] == self._sequence:
                return rest[:-1]


def _summed(frame: bytes) -> bytes:
    total = 0
    for byte in frame:
        total ^= byte
    return frame + bytes((total,))
