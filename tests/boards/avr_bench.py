"""Boards with Arduino's bootloaders, for the contract of programmers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from boards.catalog import load_catalog
from edgehost.adapters.boards.avr109 import Avr109Programmer
from edgehost.adapters.boards.serial_lines import SerialLines
from edgehost.adapters.boards.stk500v1 import Stk500v1Programmer
from edgehost.adapters.boards.stk500v2 import Stk500v2Programmer
from edgehost.domain.board import Board
from edgehost.ports.programmer import Programmer
from tests.boards.avr_boards import KINDS, EmulatedBoard, firmware, powered
from tests.boards.programmer_bench import Bench, some_image

_BYTES = 1500


async def _at_once(_: float) -> None:
    """An emulator has no capacitors; it only has to see that the line was closed."""
    await asyncio.sleep(0.01)


class AvrBench:
    """The flash outlives the emulator, as flash outlives power."""

    verifies = True
    needs_reset = False  # opening the line resets the chip

    def __init__(self, protocol: str, folder: Path, stack: AsyncExitStack) -> None:
        lines = SerialLines()
        makers: dict[str, Callable[[], Programmer]] = {
            "stk500v1": lambda: Stk500v1Programmer(lines, _at_once),
            "stk500v2": lambda: Stk500v2Programmer(lines, _at_once),
            "avr109": lambda: Avr109Programmer(lines, _at_once),
        }
        self._kind, self._flash, self._stack = KINDS[protocol], folder / "flash", stack
        self.programmer = makers[protocol]()
        self.board: Board = load_catalog().get(self._kind.board)
        self.wrong_board: Board | None = replace(
            self.board, flash=replace(self.board.flash, signature="1e9999")
        )
        self.image = some_image((0, firmware(self._kind, "bench", _BYTES)))
        self._powered: EmulatedBoard | None = None

    @property
    def line(self) -> str:
        assert self._powered is not None
        return self._powered.line

    def read_back(self) -> bytes:
        return self._flash.read_bytes()[:_BYTES]

    def cut_power(self) -> None:
        assert self._powered is not None
        self._powered.cut_power()

    async def restore_power(self) -> None:
        await self._stack.aclose()
        self._powered = await self._stack.enter_async_context(powered(self._kind, self._flash, end="tcp"))


def avr_bench(protocol: str) -> Callable[[Path], AbstractAsyncContextManager[Bench]]:
    """What opens a bench for this bootloader's tongue."""

    @asynccontextmanager
    async def opened(folder: Path) -> AsyncIterator[Bench]:
        async with AsyncExitStack() as stack:
            bench = AvrBench(protocol, folder, stack)
            await bench.restore_power()
            yield bench

    return opened
