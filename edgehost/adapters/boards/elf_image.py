"""The parts of an ELF file that go into flash, by pyelftools: segments at their load addresses."""

from __future__ import annotations

import io
from typing import Final

from edgehost.domain.errors import InvalidImageError

_MACHINES: Final = {"EM_AVR": "avr", "EM_ARM": "arm", "EM_XTENSA": "xtensa", "EM_RISCV": "riscv"}
_MOST_SEGMENTS: Final = 256
#: avr-ld puts what is not flash beyond 8 MiB: EEPROM at 0x810000, fuses at 0x820000, lock bits at 0x830000.
_AVR_OTHER: Final = 0x80_0000
_AVR_NAMES: Final = {0x81: "EEPROM", 0x82: "fuses", 0x83: "lock bits", 0x84: "signature"}


def elf_segments(
    name: str, content: bytes, *, is_avr: bool
) -> tuple[list[tuple[int, bytes]], str, tuple[str, ...]]:
    """(address, data) of what is loaded, the machine, and what was left out in words.

    Raises:
        InvalidImageError: it is damaged, or no program.
    """
    from elftools.common.exceptions import ELFError  # noqa: PLC0415 - only for files of this form
    from elftools.elf.elffile import ELFFile  # noqa: PLC0415

    try:
        file = ELFFile(io.BytesIO(content))
        machine = file["e_machine"]
        count = file.num_segments()
        if file["e_type"] != "ET_EXEC" or not 0 < count <= _MOST_SEGMENTS:
            raise InvalidImageError(
                f"{name} is no linked program.", hint="Link it; an object file cannot be flashed."
            )
        parts = [part for part in file.iter_segments("PT_LOAD") if part["p_filesz"]]
        if sum(part["p_filesz"] for part in parts) > len(content):
            raise InvalidImageError(f"{name} breaks off, or gives bytes twice.", hint="Copy it again.")
        loaded = [
            (int(part["p_paddr"]), _data(part["p_offset"], part["p_filesz"], name, content)) for part in parts
        ]
    except (ELFError, KeyError, ValueError, TypeError, AttributeError, OverflowError) as problem:
        raise InvalidImageError(f"{name} is a damaged ELF file: {problem}.") from None
    kept = [(address, data) for address, data in loaded if not is_avr or address < _AVR_OTHER]
    left = {_AVR_NAMES.get(address >> 16, "RAM") for address, _ in loaded if is_avr and address >= _AVR_OTHER}
    notes = tuple(
        f"What {name} holds for {what} is left out: only flash is written." for what in sorted(left)
    )
    return kept, _MACHINES.get(machine, str(machine)), notes


def _data(offset: int, size: int, name: str, content: bytes) -> bytes:
    if offset + size > len(content):
        raise InvalidImageError(f"{name} breaks off.", hint="Copy it again.")
    return content[offset : offset + size]
