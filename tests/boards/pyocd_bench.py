"""An nRF51 of qemu behind a probe: pyOCD is genuine, and so is the flash algorithm that it runs on the emulated core."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from edgehost.adapters.boards.pyocd_programmer import PyocdProgrammer
from edgehost.domain.board import Board, FlashFacts
from edgehost.ports.programmer import Programmer
from tests.boards.gdb_target import GdbTarget
from tests.boards.probe_server import ProbeServer
from tests.boards.programmer_bench import Bench, some_board, some_bytes, some_image
from tests.required_tools import require_tool

FLASH_BYTES = 256 * 1024
#: A stack and, for every exception, an endless loop at 0x40: the chip runs what its flash holds, and must not lock up.
VECTORS = (0x2000_2000).to_bytes(4, "little") + (0x41).to_bytes(4, "little") * 15 + b"\xfe\xe7"


class PyocdBench:
    def __init__(self, probe: ProbeServer) -> None:
        self.probe = probe
        self.programmer: Programmer = PyocdProgrammer()
        facts = FlashFacts("swd", tool="pyocd", size=FLASH_BYTES, chip="nrf51")
        self.board = some_board(facts, flash_bytes=FLASH_BYTES)
        self.wrong_board: Board | None = None
        self.image = some_image((0, VECTORS + some_bytes(5_000)), (0x4000, some_bytes(2_000, seed=4)))
        self.verifies = True
        self.needs_reset = False

    @property
    def line(self) -> str:
        return self.probe.line

    def read_back(self) -> bytes:
        with self.probe.lock:
            self.probe.target.halt()
            return b"".join(
                self.probe.target.read(part.address, len(part.data)) for part in self.image.segments
            )

    def cut_power(self) -> None:
        self.probe.is_plugged_in = False

    async def restore_power(self) -> None:
        self.probe.is_plugged_in = True


@asynccontextmanager
async def pyocd_bench(_folder: Path) -> AsyncIterator[Bench]:
    require_tool("qemu-system-arm")
    target = await asyncio.to_thread(GdbTarget, "microbit", VECTORS + some_bytes(30_000, seed=9))
    probe = ProbeServer(target)
    try:
        yield PyocdBench(probe)
    finally:
        await asyncio.to_thread(probe.close)
        target.close()
