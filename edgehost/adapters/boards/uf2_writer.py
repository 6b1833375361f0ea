"""Writes UF2 (Microsoft's specification of it): 512-byte blocks that carry 256 bytes each."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from edgehost.adapters.boards.aligned_blocks import aligned_blocks
from edgehost.domain.flashing import Segment

PAYLOAD: Final = 256
BLOCK: Final = 512
_HEAD: Final = struct.Struct("<8I476sI")
_START: Final = (0x0A32_4655, 0x9E5D_5157)
_END: Final = 0x0AB1_6F30
_HAS_FAMILY: Final = 0x2000


def uf2_file(segments: Sequence[Segment], family: int) -> bytes:
    """A whole file; ``family`` 0: none is named. Pages that are not full are filled with 0xFF."""
    pages = aligned_blocks(segments, block_bytes=PAYLOAD, word_bytes=PAYLOAD)
    flags = _HAS_FAMILY if family else 0
    return b"".join(
        _HEAD.pack(*_START, flags, address, PAYLOAD, number, len(pages), family, data, _END)
        for number, (address, data) in enumerate(pages)
    )
