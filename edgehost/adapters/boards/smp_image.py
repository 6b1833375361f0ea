"""What an MCUboot image says of itself (MCUboot, "Image format")."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from edgehost.domain.errors import InvalidImageError

_MAGIC: Final = 0x96F3_B83D
_TRAILER_MAGIC: Final = 0x6907
_HASHES: Final = (0x10, 0x11, 0x12)  # SHA-256, SHA-384, SHA-512
_HEADER: Final = struct.Struct("<IIHHII BBHI")


@dataclass(frozen=True, slots=True)
class McubootImage:
    """``digest`` is what a server tells of a slot."""

    version: str
    digest: bytes


def read_image(name: str, data: bytes) -> McubootImage:
    """The version and the hash of a signed image.

    Raises:
        InvalidImageError: it is none, or is cut off.
    """
    hint = "Sign it with imgtool, or take the file whose name ends in .signed.bin."
    if len(data) < _HEADER.size or int.from_bytes(data[:4], "little") != _MAGIC:
        raise InvalidImageError(f"{name} is no image of MCUboot.", hint=hint)
    _, _, header, protected, body, _, major, minor, revision, build = _HEADER.unpack_from(data)
    at = header + body + protected
    if at + 4 > len(data) or int.from_bytes(data[at : at + 2], "little") != _TRAILER_MAGIC:
        raise InvalidImageError(f"{name} is cut off, or was never signed.", hint=hint)
    end, at = at + int.from_bytes(data[at + 2 : at + 4], "little"), at + 4
    while at + 4 <= min(end, len(data)):
        kind, size = struct.unpack_from("<HH", data, at)
        if kind in _HASHES:
            number = f"{major}.{minor}.{revision}" + (f".{build}" if build else "")
            return McubootImage(number, data[at + 4 : at + 4 + size])
        at += 4 + size
    raise InvalidImageError(f"{name} carries no hash.", hint=hint)
