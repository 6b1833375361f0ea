"""What an Espressif image says of itself (ESP-IDF: "App Image Format")."""

from __future__ import annotations

from typing import Final

from edgehost.domain.errors import ChipMismatchError
from edgehost.domain.flashing import FirmwareImage, Segment
from edgehost.domain.image_checks import ESP_CHIP_IDS

_MAGIC: Final = 0xE9
_HEADER_BYTES: Final = 24
_MOST_SEGMENTS: Final = 16
_CHIP_AT: Final = 12


def require_made_for(image: FirmwareImage, chip: str) -> None:
    """Refuse an image whose header names another chip than the one that answers.

    Raises:
        ChipMismatchError: it does.
    """
    for part in image.segments:
        made_for = _made_for(part)
        if made_for is not None and ESP_CHIP_IDS.get(made_for) != chip:
            raise ChipMismatchError(
                f"{image.name} is built for {ESP_CHIP_IDS.get(made_for, f'chip {made_for}')}; {chip} answers.",
                hint="Build the firmware for this chip.",
            )


def _made_for(part: Segment) -> int | None:
    """The chip's id; None: no such header."""
    if len(part.data) < _HEADER_BYTES or part.data[0] != _MAGIC or part.data[1] > _MOST_SEGMENTS:
        return None
    return int.from_bytes(part.data[_CHIP_AT : _CHIP_AT + 2], "little")
