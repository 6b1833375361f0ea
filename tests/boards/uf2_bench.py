"""A folder that behaves as a UF2 bootloader's drive: it goes when it has all blocks, and when it is pulled."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from edgehost.adapters.boards.serial_lines import SerialLines
from edgehost.adapters.boards.uf2_programmer import Uf2Programmer
from edgehost.domain.board import Board, FlashFacts
from edgehost.ports.programmer import Programmer
from tests.boards.programmer_bench import Bench, some_board, some_bytes, some_image

BASE, SIZE = 0x1000_0000, 0x4_0000
RP2040 = 0xE48B_FF56
NOTE = "UF2 Bootloader v3.0\nModel: Raspberry Pi RP2\nBoard-ID: RPI-RP2\n"


class FolderDrive:
    """The flash takes each whole block of the file; ``go`` is what unplugging does."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "someone" / "RPI-RP2"
        self.flash = bytearray(some_bytes(SIZE, seed=4))
        self.blocks, self.total = 0, -1
        self.restarts = 0
        self.plug_in()

    def plug_in(self) -> None:
        self.blocks = 0
        self.folder.mkdir(parents=True)
        (self.folder / "INFO_UF2.TXT").write_text(NOTE)

    def go(self) -> None:
        self.take()
        if self.folder.exists():
            self.restarts += 1
            self.folder.rename(self.root.parent / f"gone-{self.restarts}")

    def take(self) -> None:
        """What has come so far."""
        file = self.folder / "NEW.UF2"
        content = file.read_bytes() if file.exists() else b""
        for at in range(self.blocks * 512, len(content) // 512 * 512, 512):
            head = struct.unpack_from("<8I", content, at)
            assert head[:2] == (0x0A324655, 0x9E5D5157)
            assert head[7] == RP2040
            self.flash[head[3] - BASE : head[3] - BASE + head[4]] = content[at + 32 : at + 32 + head[4]]
            self.blocks, self.total = self.blocks + 1, head[6]

    async def pause(self, _seconds: float) -> None:
        """The programmer waits: the board takes what is there, and restarts once it has all."""
        self.take()
        if self.blocks == self.total:
            self.go()
        await asyncio.sleep(0)


class Uf2Bench:
    def __init__(self, drive: FolderDrive) -> None:
        self.drive = drive
        self.line = str(drive.root)
        self.programmer: Programmer = Uf2Programmer(SerialLines(), (drive.root,), drive.pause)
        self.board = some_board(FlashFacts("uf2", base=BASE, uf2_family=RP2040))
        facts = replace(self.board.flash, uf2_family=0xADA52840)
        self.wrong_board: Board | None = replace(self.board, flash=facts)
        self.image = some_image((BASE, some_bytes(70_000)), (BASE + 0x2_0000, some_bytes(1000)))
        self.verifies = False
        self.needs_reset = True

    def read_back(self) -> bytes:
        self.drive.take()
        return b"".join(bytes(self.drive.flash[s.address - BASE : s.end - BASE]) for s in self.image.segments)

    def cut_power(self) -> None:
        self.drive.go()

    async def restore_power(self) -> None:
        if not self.drive.folder.exists():
            self.drive.plug_in()


@asynccontextmanager
async def uf2_bench(folder: Path) -> AsyncIterator[Bench]:
    root = folder / "media"
    root.mkdir()
    yield Uf2Bench(FolderDrive(root))
