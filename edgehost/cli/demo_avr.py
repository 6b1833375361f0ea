"""A chip with Arduino's own bootloader in simavr, for the demo: the target is genuine, the silicon is not."""

from __future__ import annotations

import asyncio
import random
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgehost.cli.demo_firmware import run_tool
from edgehost.domain.errors import NotFoundError, UnavailableError

BOARD: Final = "sim-m328p"
_MCU: Final = "atmega328p"
_HZ: Final = "16000000"
_BAUD: Final = "57600"
_SOURCES: Final = Path(__file__).resolve().parents[2] / "tests" / "boards" / "avr"
_BOOTLOADER: Final = Path(
    "/usr/share/arduino/hardware/arduino/avr/bootloaders/atmega/ATmegaBOOT_168_atmega328.hex"
)
_PACKAGES: Final = "gcc libsimavr-dev libelf-dev arduino-core-avr gcc-avr avr-libc"


@dataclass(frozen=True, slots=True)
class AvrBoard:
    """The chip with power; ``flash`` is the file that its flash is."""

    line: str
    flash: Path


def avr_program(folder: Path, *, size_bytes: int) -> Path:
    """A program for the chip as a flat binary, with noise behind it: a flash that takes a moment.

    Raises:
        NotFoundError, UnavailableError: a compiler or the sources are missing, or it does not compile.
    """
    if not _SOURCES.is_dir():
        raise NotFoundError(
            "This story needs edgehost's sources.", hint="Run it in a checkout: make demo ARGS=devices"
        )
    elf, binary = folder / "blinker.elf", folder / "blinker.bin"
    defines = (f"-DF_CPU={_HZ}", f"-DBAUD={_BAUD}", '-DMARK="edgehost"')
    run_tool("avr-gcc", f"-mmcu={_MCU}", "-Os", *defines, _SOURCES / "app.c", "-o", elf)
    run_tool("avr-objcopy", "-O", "binary", "-R", ".eeprom", elf, binary)
    code = binary.read_bytes()
    filler = random.Random(size_bytes)  # noqa: S311 - filler, the same in every run
    binary.write_bytes(code + filler.randbytes(max(0, size_bytes - len(code))))
    return binary


@asynccontextmanager
async def avr_board(folder: Path) -> AsyncIterator[AvrBoard]:
    """The chip with its bootloader, running at its own speed.

    Raises:
        NotFoundError: the simulator, its headers or the bootloader are missing.
        UnavailableError: the simulator does not start.
    """
    if not _BOOTLOADER.is_file():
        raise NotFoundError(f"{_BOOTLOADER.name} is missing.", hint=f"On Debian: apt-get install {_PACKAGES}")
    program, flash = folder / "avr_board", folder / "avr-flash"
    source = _SOURCES / "avr_board.c"
    libraries = ("-lsimavr", "-lelf", "-lutil")
    build = ("gcc", "-std=gnu11", "-O2", "-I/usr/include/simavr", source, "-o", program, *libraries)
    await asyncio.to_thread(run_tool, *build)
    process = await asyncio.create_subprocess_exec(
        *(str(program), _MCU, _HZ, _BAUD, str(_BOOTLOADER), str(flash), "tcp", "1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        line = b"" if process.stdout is None else await process.stdout.readline()
        if not line:
            raise UnavailableError("The simulated board did not start.")
        yield AvrBoard(line.decode().strip(), flash)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()  # to its end, or the pipe stays open
