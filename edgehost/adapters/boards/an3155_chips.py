"""STM32 chips by the product id that their bootloader gives, and how their flash is divided for erasing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: Where every STM32 has its flash in memory (RM0008 and its siblings, memory map).
FLASH_BASE: Final = 0x0800_0000
_KIB: Final = 1024
#: F2 and F4: four sectors of 16 KiB, one of 64, then 128 each (RM0090 table 5); the same again in a second bank.
_SECTORS: Final = (16, 16, 16, 16, 64, *(128,) * 7)


@dataclass(frozen=True, slots=True)
class Stm32Chip:
    """``page_bytes`` 0: sectors of different size."""

    product_id: int
    name: str
    page_bytes: int

    def pages(self, address: int, end: int) -> list[int]:
        """The numbers of the pages that hold the bytes from ``address`` to before ``end``."""
        first, last = address - FLASH_BASE, end - 1 - FLASH_BASE
        if self.page_bytes:
            return list(range(first // self.page_bytes, last // self.page_bytes + 1))
        return [
            number
            for number, (start, size) in enumerate(_sectors())
            if start <= last and first < start + size
        ]


def _sectors() -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    start = 0
    for size in (*_SECTORS, *_SECTORS):
        found.append((start, size * _KIB))
        start += size * _KIB
    return found


def _all(page_bytes: int, names: dict[int, str]) -> dict[int, Stm32Chip]:
    return {number: Stm32Chip(number, name, page_bytes) for number, name in names.items()}


#: AN2606, table "Bootloader device-dependent parameters" (product ids); page sizes of the reference manuals.
CHIPS: Final[dict[int, Stm32Chip]] = {
    **_all(
        _KIB,
        {
            0x410: "STM32F10x medium-density",
            0x412: "STM32F10x low-density",
            0x420: "STM32F100 medium-density",
            0x440: "STM32F030x8/F05x",
            0x444: "STM32F03x",
            0x445: "STM32F04x",
        },
    ),
    **_all(
        2 * _KIB,
        {
            0x414: "STM32F10x high-density",
            0x418: "STM32F105/F107",
            0x428: "STM32F100 high-density",
            0x430: "STM32F10x XL-density",
            0x448: "STM32F07x",
            0x442: "STM32F09x",
            0x422: "STM32F302/F303xB-C",
            0x432: "STM32F37x",
            0x438: "STM32F303x6-8/F334",
            0x446: "STM32F303xD-E",
            0x415: "STM32L47x/L48x",
            0x435: "STM32L43x/L44x",
            0x460: "STM32G07x/G08x",
            0x466: "STM32G03x/G04x",
            0x468: "STM32G431/G441",
            0x469: "STM32G47x/G48x",
        },
    ),
    **_all(
        0,
        {
            0x411: "STM32F2",
            0x413: "STM32F405/F407/F415/F417",
            0x419: "STM32F42x/F43x",
            0x421: "STM32F446",
            0x423: "STM32F401xB-C",
            0x431: "STM32F411",
            0x433: "STM32F401xD-E",
            0x441: "STM32F412",
        },
    ),
}


def chip_of(product_id: int) -> Stm32Chip | None:
    """None: this product id is not known here."""
    return CHIPS.get(product_id)
