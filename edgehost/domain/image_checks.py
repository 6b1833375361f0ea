"""What must hold of an image before a board is touched: that it is one, is for this chip, and fits where it may go."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from edgehost.domain.board import Board
from edgehost.domain.errors import ChipMismatchError, InvalidImageError, TooLargeError
from edgehost.domain.flashing import FirmwareImage, Segment

#: Of Espressif images: the first byte, and the chip id in the extended header (esptool: IMAGE_CHIP_ID).
_ESP_MAGIC: Final = 0xE9
_ESP_PARTITIONS_MAGIC: Final = b"\xaa\x50"
_ESP_HEADER_BYTES: Final = 24
_ESP_CHIP_AT: Final = 12
ESP_CHIP_IDS: Final = {
    0: "ESP32",
    2: "ESP32-S2",
    5: "ESP32-C3",
    9: "ESP32-S3",
    12: "ESP32-C2",
    13: "ESP32-C6",
    16: "ESP32-H2",
    18: "ESP32-P4",
    20: "ESP32-C61",
    23: "ESP32-C5",
}
#: Without an extended header.
_ESP_OLD: Final = ("ESP8266",)

#: The prefix of a board's core, and what an ELF file calls it.
_MACHINES: Final = {"avr": "avr", "cortex": "arm", "xtensa": "xtensa", "riscv32": "riscv"}
_RAM_BASE: Final = 0x2000_0000
_VECTOR_BYTES: Final = 8


def check_image(image: FirmwareImage, board: Board) -> tuple[str, ...]:
    """Notes on what is unusual but allowed.

    Raises:
        InvalidImageError: it is damaged, overlaps itself, or lies where it must not.
        TooLargeError: it does not fit.
        ChipMismatchError: it is for another chip.
    """
    if not image.size_bytes:
        raise InvalidImageError(f"{image.name} holds nothing for the flash.")
    _check_machine(image, board)
    _check_overlap(image)
    _check_place(image, board)
    if board.flash.protocol == "esp":
        for segment in image.segments:
            _check_esp(segment, image.name, board)
    return (*image.left_out, *_vector_notes(image, board))


def _check_machine(image: FirmwareImage, board: Board) -> None:
    expected = next((name for prefix, name in _MACHINES.items() if board.core.startswith(prefix)), "")
    if image.machine and image.machine != expected:
        raise ChipMismatchError(
            f"{image.name} is built for {image.machine}; '{board.id}' has the core {board.core}.",
            hint="Build it for this board, or name the board that it is for.",
        )
    wanted = board.flash.uf2_family
    if image.family and wanted and image.family != wanted:
        raise ChipMismatchError(
            f"{image.name} is of the UF2 family 0x{image.family:08x}; '{board.id}' takes 0x{wanted:08x}.",
            hint="Build it for this board, or name the board that it is for.",
        )


def _check_overlap(image: FirmwareImage) -> None:
    for before, after in pairwise(sorted(image.segments, key=lambda segment: segment.address)):
        if before.end > after.address:
            names = f"'{before.role}' and '{after.role}'" if before.role != after.role else "two parts"
            raise InvalidImageError(
                f"In {image.name} {names} overlap at 0x{after.address:x}.",
                hint="A damaged file, or parts at wrong offsets.",
            )


def _check_place(image: FirmwareImage, board: Board) -> None:
    flash = board.flash
    first, end = min((flash.base, *flash.offsets.values())), flash.base + flash.size
    for segment in image.segments:
        if first <= segment.address < end < segment.end:
            raise TooLargeError(
                f"{image.name} has {len(segment.data)} bytes from 0x{segment.address:x} on; '{board.id}' has room for "
                f"{end - segment.address}: {segment.end - end} bytes too many.",
                hint="Build it for size; if it holds the bootloader too, take the file without it."
                if flash.reserved
                else "Build it for size.",
            )
        for start, size in flash.reserved:
            if segment.address < start + size and segment.end > start:
                raise InvalidImageError(
                    f"{image.name} goes to 0x{segment.address:x}-0x{segment.end - 1:x}; 0x{start:x}-0x{start + size - 1:x} "
                    f"of '{board.id}' belongs to its bootloader or settings.",
                    hint="Use the file without the bootloader.",
                )
        if segment.address < first or segment.address >= end:
            raise InvalidImageError(
                f"{image.name} goes to 0x{segment.address:x}; firmware of '{board.id}' lies in 0x{first:x}-0x{end - 1:x}.",
                hint="Is it linked for this board?",
            )


def _check_esp(segment: Segment, name: str, board: Board) -> None:
    offsets = board.flash.offsets
    if segment.role not in offsets or segment.address != offsets[segment.role]:
        return
    if segment.role == "partitions":
        if not segment.data.startswith(_ESP_PARTITIONS_MAGIC):
            raise InvalidImageError(f"The partition table in {name} does not begin as one does (aa 50).")
        return
    if segment.data[0] != _ESP_MAGIC:
        raise InvalidImageError(
            f"The part '{segment.role}' of {name} does not begin as an Espressif image does (e9).",
            hint="A merged image goes to its own address: --part 0x0=FILE.",
        )
    if board.flash.chip in _ESP_OLD:
        return
    if len(segment.data) < _ESP_HEADER_BYTES:
        raise InvalidImageError(f"The part '{segment.role}' of {name} is too short for an image.")
    chip_id = int.from_bytes(segment.data[_ESP_CHIP_AT : _ESP_CHIP_AT + 2], "little")
    chip = ESP_CHIP_IDS.get(chip_id, f"a chip with the id {chip_id}")
    if chip != board.flash.chip:
        raise ChipMismatchError(
            f"The part '{segment.role}' of {name} is for {chip}; '{board.id}' has {board.flash.chip}.",
            hint="Build it for this board, or name the board that it is for.",
        )


def _vector_notes(image: FirmwareImage, board: Board) -> Sequence[str]:
    """A Cortex-M begins with its stack pointer and the address of its first instruction."""
    first = next((segment for segment in image.segments if segment.address == board.flash.base), None)
    is_plain = board.flash.protocol in ("an3155", "dfu", "swd")
    if (
        not board.core.startswith("cortex")
        or not is_plain
        or first is None
        or len(first.data) < _VECTOR_BYTES
    ):
        return ()
    stack = int.from_bytes(first.data[:4], "little")
    reset = int.from_bytes(first.data[4:_VECTOR_BYTES], "little")
    flash = board.flash
    if not _RAM_BASE <= stack <= _RAM_BASE + 16 * board.ram_bytes:
        return (
            f"The first word, 0x{stack:08x}, is no stack pointer: this may be no program for '{board.id}'.",
        )
    if not (reset & 1 and flash.base <= reset < flash.base + flash.size):
        return (f"The second word, 0x{reset:08x}, is no address in the flash of '{board.id}'.",)
    return ()
