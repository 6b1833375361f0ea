"""UF2 files as they are read for a board: the blocks of its family (Microsoft's specification of UF2)."""

from __future__ import annotations

import struct
from typing import Final

from edgehost.domain.errors import ChipMismatchError, InvalidImageError

_BLOCK: Final = 512
_HEAD: Final = struct.Struct("<8I")
_START: Final = (0x0A324655, 0x9E5D5157)
_END: Final = 0x0AB16F30
_NOT_MAIN_FLASH: Final = 0x0000_0001
_HAS_FAMILY: Final = 0x0000_2000
_MOST_DATA: Final = 476


def uf2_segments(name: str, content: bytes, family: int) -> tuple[list[tuple[int, bytes]], int]:
    """(address, data) of the blocks of a family, and the family; of all blocks when they name none.

    Raises:
        InvalidImageError: a block is damaged or missing.
        ChipMismatchError: no block is of the family.
    """
    if len(content) % _BLOCK:
        raise InvalidImageError(f"{name} is no whole number of 512-byte blocks.", hint="Copy it again.")
    blocks: dict[int, bytes] = {}
    families: dict[int, list[int]] = {}  # of each family: blocks that it says to have, and those seen
    for at in range(0, len(content), _BLOCK):
        block = content[at : at + _BLOCK]
        first, second, flags, address, size, _, total, marked = _HEAD.unpack_from(block)
        number = at // _BLOCK
        if (first, second) != _START or block[-4:] != _END.to_bytes(4, "little") or size > _MOST_DATA:
            raise InvalidImageError(f"Block {number} of {name} is damaged.", hint="Copy it again.")
        if flags & _NOT_MAIN_FLASH:
            continue
        of = marked if flags & _HAS_FAMILY else 0
        counts = families.setdefault(of, [total, 0])
        counts[1] += 1
        if of not in (0, family):
            continue
        if address in blocks:
            raise InvalidImageError(f"{name} gives 0x{address:x} twice.")
        blocks[address] = block[_HEAD.size : _HEAD.size + size]
    chosen = family if family in families else 0
    if chosen not in families:
        raise ChipMismatchError(
            f"{name} is of the UF2 family {', '.join(f'0x{of:08x}' for of in families) or 'of nobody'}, "
            f"not 0x{family:08x}.",
            hint="Build it for this board, or name the board that it is for.",
        )
    says, seen = families[chosen]
    if says != seen:
        raise InvalidImageError(f"{name} has {seen} of {says} blocks.", hint="Copy it again.")
    return _joined(blocks), chosen


def _joined(blocks: dict[int, bytes]) -> list[tuple[int, bytes]]:
    runs: list[tuple[int, bytearray]] = []
    for address, data in sorted(blocks.items()):
        if runs and runs[-1][0] + len(runs[-1][1]) == address:
            runs[-1][1].extend(data)
        else:
            runs.append((address, bytearray(data)))
    return [(address, bytes(data)) for address, data in runs]
