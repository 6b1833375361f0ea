"""Espressif's chips, as far as their ROM loaders differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Watchdogs:
    """Registers that keep a chip from resetting itself while it is flashed over its own USB.

    From the technical reference manuals: chapters "Watchdog Timers" and "Low-power Management".
    """

    protect: int
    config: int
    super_protect: int
    super_config: int
    super_key: int
    super_feed: int  # the bit that feeds the super watchdog by itself


@dataclass(frozen=True, slots=True)
class EspChip:
    """``name`` as boards write it. Numbers as the ROM gives them and as image headers carry them."""

    name: str
    title: str
    chip_id: int | None  # of image headers, and of GET_SECURITY_INFO; None: images have none
    magic: int | None = None  # at MAGIC_REGISTER; None: asked by GET_SECURITY_INFO
    compresses: bool = True  # knows FLASH_DEFL_*, SPI_FLASH_MD5, SPI_ATTACH, CHANGE_BAUDRATE
    takes_encrypted: bool = True  # FLASH_BEGIN has a fifth word: written encrypted
    watchdogs: Watchdogs | None = None


#: Holds another number in the ROM of each old chip.
MAGIC_REGISTER: Final = 0x4000_1000
WATCHDOG_KEY: Final = 0x50D8_3AA1

CHIPS: Final = (
    EspChip("esp8266", "ESP8266", None, 0xFFF0_C101, compresses=False, takes_encrypted=False),
    EspChip("esp32", "ESP32", 0, 0x00F0_1D83, takes_encrypted=False),
    EspChip("esp32s2", "ESP32-S2", 2, 0x0000_07C6),
    EspChip(
        "esp32c3",
        "ESP32-C3",
        5,
        watchdogs=Watchdogs(0x6000_80A8, 0x6000_8090, 0x6000_80B0, 0x6000_80AC, 0x8F1D_312A, 1 << 31),
    ),
    EspChip(
        "esp32s3",
        "ESP32-S3",
        9,
        watchdogs=Watchdogs(0x6000_80B0, 0x6000_8098, 0x6000_80B8, 0x6000_80B4, 0x8F1D_312A, 1 << 31),
    ),
    EspChip(
        "esp32c6",
        "ESP32-C6",
        13,
        watchdogs=Watchdogs(0x600B_1C18, 0x600B_1C00, 0x600B_1C20, 0x600B_1C1C, 0x50D8_3AA1, 1 << 18),
    ),
)


def by_id(chip_id: int) -> EspChip | None:
    """The chip of an image header or of GET_SECURITY_INFO."""
    return next((chip for chip in CHIPS if chip.chip_id == chip_id), None)


def by_magic(magic: int) -> EspChip | None:
    """The chip of what MAGIC_REGISTER holds."""
    return next((chip for chip in CHIPS if chip.magic is not None and chip.magic == magic), None)


def by_name(name: str) -> EspChip | None:
    """The chip that a board names."""
    return next((chip for chip in CHIPS if chip.name == name.lower().replace("-", "")), None)
