"""An AN3155 target on a TCP line."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from edgehost.adapters.boards.an3155_programmer import An3155Programmer
from edgehost.adapters.boards.serial_lines import SerialLines
from edgehost.domain.board import Board, FlashFacts
from edgehost.ports.programmer import Programmer
from tests.boards.an3155_target import BASE, An3155Target
from tests.boards.programmer_bench import Bench, TcpDevice, some_board, some_bytes, some_image

OLD = some_bytes(20_000, seed=2)


class An3155Bench:
    def __init__(self, target: An3155Target, device: TcpDevice) -> None:
        self.target, self.device = target, device
        self.programmer: Programmer = An3155Programmer(SerialLines())
        facts = FlashFacts(
            "an3155", base=BASE, size=len(target.flash), reset="manual", parity="even", chip="0x410"
        )
        self.board = some_board(facts, flash_bytes=len(target.flash), recovery="Move the BOOT0 jumper to 1.")
        self.wrong_board: Board | None = replace(self.board, flash=replace(facts, chip="0x431"))
        self.image = some_image((BASE, some_bytes(9_001)), (BASE + 0x4000, b"\xff" * 512 + some_bytes(300)))
        self.verifies = True
        self.needs_reset = True

    @property
    def line(self) -> str:
        return self.device.line

    def read_back(self) -> bytes:
        return b"".join(
            bytes(self.target.flash[s.address - BASE : s.end - BASE]) for s in self.image.segments
        )

    def cut_power(self) -> None:
        self.device.cut_power()

    async def restore_power(self) -> None:
        await self.device.restore_power()


@asynccontextmanager
async def an3155_bench(_folder: Path) -> AsyncIterator[Bench]:
    target = An3155Target()
    target.flash[: len(OLD)] = OLD
    async with TcpDevice(target.feed, target.power_up).serving() as device:
        yield An3155Bench(target, device)
