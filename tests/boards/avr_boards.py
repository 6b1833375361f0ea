"""Arduino's bootloaders in simavr, as boards on a line; built once for a run of the tests."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import random
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from boards.catalog import load_catalog
from edgehost.domain.board import Board
from edgehost.domain.flashing import FirmwareImage, FlashJob, Segment
from tests.required_tools import require_tool

SOURCES = Path(__file__).parent / "avr"
BOOTLOADERS = Path("/usr/share/arduino/hardware/arduino/avr/bootloaders")
HZ = 16_000_000
#: Times real time that the chips run: a test need not last as long as a flash.
SPEED = 8


@dataclass(frozen=True)
class Kind:
    """One chip with one bootloader."""

    board: str
    mcu: str
    baud: int
    bootloader: str  # below BOOTLOADERS; empty: Caterina
    avrdude: tuple[str, str]  # programmer and part


KINDS = {
    "stk500v1": Kind(
        "sim-m328p", "atmega328p", 57_600, "atmega/ATmegaBOOT_168_atmega328.hex", ("arduino", "m328p")
    ),
    "stk500v2": Kind(
        "sim-m2560", "atmega2560", 115_200, "stk500v2/stk500boot_v2_mega2560.hex", ("wiring", "m2560")
    ),
    "avr109": Kind("sim-m32u4", "atmega32u4", 57_600, "", ("avr109", "m32u4")),
}


@functools.cache
def build_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="edgehost-avr-"))


@functools.cache
def harness() -> Path:
    """Our harness around simavr."""
    program = build_folder() / "avr_board"
    if not Path("/usr/include/simavr/sim_avr.h").exists():
        require_tool("simavr's headers (libsimavr-dev)")
    command = [
        require_tool("gcc"),
        "-std=gnu11",
        "-O2",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-I/usr/include/simavr",
    ]
    command += [str(SOURCES / "avr_board.c"), "-o", str(program), "-lsimavr", "-lelf", "-lutil"]
    subprocess.run(command, check=True, capture_output=True)
    return program


@functools.cache
def app(mcu: str, baud: int, mark: str) -> Path:
    """A program that says its mark, as ELF; the same as .bin and .hex beside it."""
    stem = build_folder() / f"{mcu}-{mark}"
    command = [require_tool("avr-gcc"), f"-mmcu={mcu}", "-Os", f"-DF_CPU={HZ}", f"-DBAUD={baud}"]
    command += [f'-DMARK="{mark}"', str(SOURCES / "app.c"), "-o", f"{stem}.elf"]
    subprocess.run(command, check=True, capture_output=True)
    for form, suffix in (("binary", "bin"), ("ihex", "hex")):
        copy = [require_tool("avr-objcopy"), "-O", form, "-R", ".eeprom", f"{stem}.elf", f"{stem}.{suffix}"]
        subprocess.run(copy, check=True, capture_output=True)
    return Path(f"{stem}.elf")


@functools.cache
def caterina() -> Path:
    """Arduino's Caterina as Debian has its source, unchanged; ours are the headers by which its USB pipes are a UART."""
    source, folder = BOOTLOADERS / "caterina", build_folder() / "caterina"
    if not source.exists():
        require_tool("caterina's source (arduino-core-avr)")
    shutil.copytree(SOURCES / "caterina_uart", folder)
    for name in ("Caterina.c", "Caterina.h"):
        shutil.copy(source / name, folder)
    command = [require_tool("avr-gcc"), "-mmcu=atmega32u4", "-Os", "-std=gnu99", "-w", f"-DF_CPU={HZ}UL"]
    command += ["-DBOOT_START_ADDR=0x7000UL", "-DDEVICE_VID=0x2341", "-DDEVICE_PID=0x0036", "-I."]
    command += ["-Wl,--section-start=.text=0x7000", "Caterina.c", "-o", "caterina.elf"]
    subprocess.run(command, check=True, capture_output=True, cwd=folder)
    copy = [require_tool("avr-objcopy"), "-O", "ihex", "-R", ".eeprom", "caterina.elf", "caterina.hex"]
    subprocess.run(copy, check=True, capture_output=True, cwd=folder)
    return folder / "caterina.hex"


@functools.cache
def optiboot() -> Path:
    """Optiboot from Debian's source. Its own .hex overlaps its version word; without LED it fits (496 bytes)."""
    source, folder = BOOTLOADERS / "optiboot", build_folder() / "optiboot"
    if not source.exists():
        require_tool("optiboot's source (arduino-core-avr)")
    shutil.copytree(source, folder)
    command = [require_tool("avr-gcc"), "-mmcu=atmega328p", "-Os", "-w", "-fno-split-wide-types", "-mrelax"]
    command += [f"-DF_CPU={HZ}L", "-DLED_START_FLASHES=0", "-DBAUD_RATE=115200", "-nostartfiles"]
    command += ["-Wl,--section-start=.text=0x7e00", "-Wl,--section-start=.version=0x7ffe"]
    command += ["optiboot.c", "-o", "optiboot.elf"]
    subprocess.run(command, check=True, capture_output=True, cwd=folder)
    copy = [require_tool("avr-objcopy"), "-O", "ihex", "-j", ".text", "-j", ".data", "-j", ".version"]
    copy += ["--set-section-flags", ".version=alloc,load", "optiboot.elf", "ours.hex"]
    subprocess.run(copy, check=True, capture_output=True, cwd=folder)
    return folder / "ours.hex"


def firmware(kind: Kind, mark: str, size: int) -> bytes:
    """The program, and noise behind it up to ``size`` bytes."""
    code = app(kind.mcu, kind.baud, mark).with_suffix(".bin").read_bytes()
    return code + random.Random(mark).randbytes(size - len(code))  # noqa: S311 - filler


def job(board: Board, content: bytes, line: str) -> FlashJob:
    image = FirmwareImage("test.bin", "bin", (Segment(0, content),), hashlib.sha256(content).hexdigest())
    return FlashJob(board, image, line)


class EmulatedBoard:
    """A running chip: its line, and its flash, which outlives it."""

    def __init__(self, kind: Kind, line: str, process: asyncio.subprocess.Process, flash: Path) -> None:
        self.kind, self.line, self.process, self.flash = kind, line, process, flash
        self.board = load_catalog().get(kind.board)

    def holds(self, content: bytes) -> bool:
        return self.flash.read_bytes()[: len(content)] == content

    def cut_power(self) -> None:
        self.process.kill()


@asynccontextmanager
async def powered(
    kind: Kind, flash: Path, *, end: str = "pty", bootloader: Path | None = None, speed: int = SPEED
) -> AsyncIterator[EmulatedBoard]:
    """The board with power; ``flash`` is made when it is not there."""
    hex_file = bootloader or (BOOTLOADERS / kind.bootloader if kind.bootloader else caterina())
    if not hex_file.exists():
        require_tool(f"{hex_file.name} (arduino-core-avr)")
    process = await asyncio.create_subprocess_exec(
        harness(), kind.mcu, str(HZ), str(kind.baud), hex_file, flash, end, str(speed),
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode().strip()
        assert line, "the harness did not start"
        yield EmulatedBoard(kind, line, process, flash)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.communicate()  # to its end, or the pipe stays open


async def avrdude(board: EmulatedBoard, *words: str) -> None:
    """Avrdude, which others wrote, on the same line."""
    programmer, part = board.kind.avrdude
    command = [require_tool("avrdude"), "-q", "-c", programmer, "-p", part, "-b", str(board.kind.baud)]
    process = await asyncio.create_subprocess_exec(
        *command, "-P", board.line, "-D", *words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said, _ = await process.communicate()
    if process.returncode:
        pytest.fail(said.decode())
