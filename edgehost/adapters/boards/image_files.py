"""Firmware files: what form one has is seen from its content; each is bounded before it is read."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from edgehost.adapters.boards.elf_image import elf_segments
from edgehost.adapters.boards.hex_image import hex_segments
from edgehost.adapters.boards.uf2_image import uf2_segments
from edgehost.domain.board import Board
from edgehost.domain.errors import InvalidImageError, NotFoundError, RefusedError, TooLargeError
from edgehost.domain.flashing import FirmwareImage, Segment
from edgehost.domain.suggestion import did_you_mean

#: The largest flash here has 16 MiB; text forms take nearly three times that.
MOST_FILE_BYTES: Final = 48 * 1024 * 1024
_MOST_PARTS: Final = 16
_ELF: Final = b"\x7fELF"
_UF2: Final = b"UF2\n"
_HEX: Final = re.compile(rb"\s*:[0-9A-Fa-f]{10}")
_APP: Final = "app"


def read_file(path: Path) -> bytes:
    """The whole file.

    Raises:
        NotFoundError, RefusedError: it cannot be read.
        TooLargeError: no board here takes so much.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_FILE_BYTES + 1)
    except FileNotFoundError:
        raise NotFoundError(f"There is no file {path}.") from None
    except OSError as problem:
        raise RefusedError(f"{path} cannot be read: {problem.strerror}.") from None
    if len(content) > MOST_FILE_BYTES:
        raise TooLargeError(f"{path} has more than {MOST_FILE_BYTES} bytes.")
    return content


def parse_image(name: str, content: bytes, board: Board, *, version: str = "") -> FirmwareImage:
    """The image in a file's content; without addresses of its own it goes to the board's base.

    Raises:
        InvalidImageError, TooLargeError, ChipMismatchError: as for the form that it has.
    """
    return replace(_parse(name, content, board, _APP, board.flash.base), version=version)


def parse_parts(parts: Mapping[str, tuple[str, bytes]], board: Board) -> FirmwareImage:
    """One image of several files: role or address to (name, content).

    Raises:
        InvalidImageError: the board knows no such role.
    """
    if len(parts) > _MOST_PARTS:
        raise InvalidImageError(f"There are more than {_MOST_PARTS} parts.")
    images = [
        _parse(name, content, board, role, _address_of(role, board))
        for role, (name, content) in parts.items()
    ]
    digest = hashlib.sha256("".join(image.digest for image in images).encode()).hexdigest()
    return FirmwareImage(
        name=", ".join(image.name for image in images),
        format="multi",
        segments=tuple(
            sorted((part for image in images for part in image.segments), key=lambda part: part.address)
        ),
        digest=digest,
        family=next((image.family for image in images if image.family), 0),
        machine=next((image.machine for image in images if image.machine), ""),
        left_out=tuple(note for image in images for note in image.left_out),
    )


def _address_of(role: str, board: Board) -> int:
    if role[:1].isdigit():
        try:
            return int(role, 0)
        except ValueError:
            raise InvalidImageError(f"'{role}' is no address.") from None
    offsets = {_APP: board.flash.base, **board.flash.offsets}
    if role not in offsets:
        hint = did_you_mean(role, offsets)
        raise InvalidImageError(
            f"'{board.id}' has no part '{role}'.", hint=f"{hint} An address such as 0x8000 goes too."
        )
    return offsets[role]


def _parse(name: str, content: bytes, board: Board, role: str, address: int) -> FirmwareImage:
    digest = hashlib.sha256(content).hexdigest()
    machine, family = "", 0
    left_out: tuple[str, ...] = ()
    segments: Sequence[tuple[int, bytes]]
    if content.startswith(_ELF):
        if board.flash.protocol == "esp":
            raise InvalidImageError(
                f"{name} is an ELF file, from which Espressif's image must be made first.",
                hint="Flash the .bin that the build made beside it, or use 'esptool elf2image'.",
            )
        form = "elf"
        segments, machine, left_out = elf_segments(name, content, is_avr=board.core == "avr")
    elif content.startswith(_UF2):
        form = "uf2"
        segments, family = uf2_segments(name, content, board.flash.uf2_family)
    elif _HEX.match(content):
        form, segments = "hex", hex_segments(name, content)
    else:
        if name.lower().endswith((".hex", ".ihex", ".elf", ".uf2")):
            raise InvalidImageError(f"{name} is not what its name says.", hint="A damaged file, or renamed.")
        form, segments = "bin", [(address, content)] if content else []
    return FirmwareImage(
        name=name,
        format=form,
        segments=tuple(Segment(at, data, role) for at, data in sorted(segments)),
        digest=digest,
        family=family,
        machine=machine,
        left_out=left_out,
    )
