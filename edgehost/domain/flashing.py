"""What is flashed and how far it is: images, jobs, phases and outcomes."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from edgehost.domain.board import TOOLS, Board


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes that go to one address; segments of an image do not overlap and are sorted."""

    address: int
    data: bytes = field(repr=False)
    role: str = "app"

    @property
    def end(self) -> int:
        """The address behind the last byte."""
        return self.address + len(self.data)


@dataclass(frozen=True, slots=True)
class FirmwareImage:
    """An image in memory, whatever file it came from."""

    name: str  # for messages: the file's name or target's path
    format: str  # bin, hex, elf, uf2, multi
    segments: tuple[Segment, ...]
    digest: str  # sha256 of the file, lower-case hex
    family: int = 0  # of UF2 files; 0: none given
    version: str = ""  # of a signed target
    machine: str = ""  # of ELF files: avr, arm, xtensa, riscv; "": not said
    left_out: tuple[str, ...] = ()  # parts of the file that are not for the flash, in words

    @property
    def size_bytes(self) -> int:
        """Bytes in all segments."""
        return sum(len(segment.data) for segment in self.segments)


class Phase(enum.StrEnum):
    """The steps of a flash, in their order; a programmer may leave some out."""

    CONNECT = "connect"  # reset into the bootloader, find out what chip it is
    ERASE = "erase"
    WRITE = "write"
    VERIFY = "verify"  # read back, or compare a digest that the device computes
    RESTART = "restart"  # start the new firmware


@dataclass(frozen=True, slots=True)
class FlashProgress:
    """One report: ``done`` of ``total`` bytes in this phase; both 0 when a phase has no bytes to count."""

    phase: Phase
    done: int = 0
    total: int = 0
    detail: str = ""  # what the device said that it is, which baud was agreed on


class BoardState(enum.StrEnum):
    """In what state a failed flash leaves the board."""

    UNTOUCHED = "untouched"  # the old firmware is as it was
    PARTIAL = "partial"  # neither old nor new: flash again; the bootloader still answers
    WRITTEN = "written"  # the new firmware is in, not verified or not started
    RESUMABLE = "resumable"  # the same call goes on where this one ended


@dataclass(frozen=True, slots=True)
class FlashJob:
    """What to do: checked against the board before a line is opened."""

    board: Board
    image: FirmwareImage
    line: str  # /dev/ttyACM0, socket://HOST:PORT, rfc2217://HOST:PORT, or a folder for volumes
    verify: bool = True
    baud: int = 0  # 0: the board's
    erase_all: bool = False
    tool: str = ""  # one of the protocol's; "": the board's

    @property
    def tool_used(self) -> str:
        """What writes it; "" where a protocol leaves no choice."""
        flash = self.board.flash
        return self.tool or flash.tool or TOOLS.get(flash.protocol, ("",))[0]


@dataclass(frozen=True, slots=True)
class FlashOutcome:
    """A flash that went well."""

    chip: str  # what the device said that it is
    written_bytes: int
    verified: bool
    seconds: float
    skipped_bytes: int = 0  # that were there already
    notes: tuple[str, ...] = ()  # what is left to do by hand, in sentences
