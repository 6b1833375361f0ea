"""The commands of the UART bootloader that is in every STM32 (ST application note AN3155)."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import Final

from edgehost.adapters.boards.line_reader import LineReader
from edgehost.domain.errors import FlashFailedError, NoSyncError
from edgehost.ports.device_line import DeviceLine

ACK: Final = 0x79
NACK: Final = 0x1F
SYNC: Final = 0x7F
GET, GET_ID, READ, GO, WRITE, ERASE, EXTENDED_ERASE = 0x00, 0x02, 0x11, 0x21, 0x31, 0x43, 0x44
#: The most that one command reads or writes (AN3155 sections 3.4 and 3.6).
BLOCK: Final = 256
_ANSWER_S: Final = 2.0
#: A mass erase of the largest chips takes half a minute (STM32F427 datasheet, table 48).
_ERASE_S: Final = 60.0
_SYNC_S: Final = 0.4
_SYNC_TRIES: Final = 6
_WIRES: Final = "Is it the right line, and are TX and RX crossed?"
#: Pages in one erase command: the plain one counts in a byte, and a short command loses little when it breaks off.
_PAGES: Final = 32


class RefusedByBootloaderError(FlashFailedError):
    """The bootloader answered NACK."""


def xor_of(data: bytes) -> int:
    """The checksum of AN3155: all bytes exclusive-or'ed."""
    return functools.reduce(operator.xor, data, 0)


class An3155Loader:
    """One conversation. ``commands`` is known after ``get``."""

    def __init__(self, line: DeviceLine) -> None:
        self._line = line
        self._reader = LineReader(line)
        self.commands: frozenset[int] = frozenset()

    async def sync(self, where: str, hint: str) -> None:
        """Wake the bootloader at the end of the line ``where``, which measures the baud rate from the byte 0x7F.

        Raises:
            NoSyncError: no answer, or one that is not of this protocol.
        """
        strange = b""
        for _ in range(_SYNC_TRIES):
            await self._reader.drop()
            await self._line.write(bytes([SYNC]))
            try:
                strange = await self._reader.exactly(1, _SYNC_S)
            except TimeoutError:
                continue
            if strange[0] in (ACK, NACK):  # NACK: it was awake, and took the byte for half a command
                return
        said = f" (it sent {strange.hex()})" if strange else ""
        raise NoSyncError(f"No STM32 bootloader answers on {where}{said}.", hint=f"{hint} {_WIRES}")

    async def get(self) -> str:
        """Its version; it fills ``commands``."""
        await self._command(GET)
        count = (await self._take(1))[0]
        answer = await self._take(count + 1)
        await self._acknowledged("the list of commands")
        self.commands = frozenset(answer[1:])
        return f"{answer[0] >> 4}.{answer[0] & 0x0F}"

    async def product_id(self) -> int:
        """What chip it is: 0x410 is an STM32F103 of medium density."""
        await self._command(GET_ID)
        count = (await self._take(1))[0]
        answer = await self._take(count + 1)
        await self._acknowledged("the product id")
        return int.from_bytes(answer, "big")

    async def read(self, address: int, count: int) -> bytes:
        """At most 256 bytes of memory."""
        await self._command(READ)
        await self._address(address)
        await self._send(bytes([count - 1, (count - 1) ^ 0xFF]), "a read")
        return await self._take(count)

    async def write(self, address: int, data: bytes) -> None:
        """At most 256 bytes; filled with 0xFF to whole words."""
        data = data.ljust(-(-len(data) // 4) * 4, b"\xff")
        await self._command(WRITE)
        await self._address(address)
        block = bytes([len(data) - 1]) + data
        await self._send(block + bytes([xor_of(block)]), f"a write at 0x{address:08x}")

    async def erase(self, pages: Sequence[int]) -> None:
        """Some pages by number: at most 32 in one call."""
        if EXTENDED_ERASE in self.commands:
            numbers = (len(pages) - 1).to_bytes(2, "big") + b"".join(
                page.to_bytes(2, "big") for page in pages
            )
            code = EXTENDED_ERASE
        else:
            numbers = bytes([len(pages) - 1, *pages])
            code = ERASE
        await self._command(code)
        await self._send(numbers + bytes([xor_of(numbers)]), "an erase", _ERASE_S)

    async def erase_all(self) -> None:
        """The whole flash."""
        extended = EXTENDED_ERASE in self.commands
        await self._command(EXTENDED_ERASE if extended else ERASE)
        await self._send(b"\xff\xff\x00" if extended else b"\xff\x00", "the mass erase", _ERASE_S)

    async def go(self, address: int) -> None:
        """Leave the bootloader and run what is at the address."""
        await self._command(GO)
        await self._address(address)

    async def _command(self, code: int) -> None:
        await self._send(bytes([code, code ^ 0xFF]), f"the command 0x{code:02x}")

    async def _address(self, address: int) -> None:
        data = address.to_bytes(4, "big")
        await self._send(data + bytes([xor_of(data)]), f"the address 0x{address:08x}")

    async def _send(self, data: bytes, what: str, timeout_s: float = _ANSWER_S) -> None:
        await self._line.write(data)
        await self._acknowledged(what, timeout_s)

    async def _acknowledged(self, what: str, timeout_s: float = _ANSWER_S) -> None:
        answer = (await self._take(1, timeout_s))[0]
        if answer == NACK:
            raise RefusedByBootloaderError(f"The STM32 bootloader refused {what}.")
        if answer != ACK:
            raise FlashFailedError(
                f"The STM32 bootloader answered 0x{answer:02x} to {what}.",
                hint="Noise on the line: try a lower --baud and shorter wires.",
            )

    async def _take(self, count: int, timeout_s: float = _ANSWER_S) -> bytes:
        try:
            return await self._reader.exactly(count, timeout_s)
        except TimeoutError:
            raise FlashFailedError(
                "The STM32 bootloader stopped answering.",
                hint="Check the power and the wires, then flash again.",
            ) from None


def batches(pages: Sequence[int]) -> list[Sequence[int]]:
    """As many pages as one erase command takes."""
    return [pages[at : at + _PAGES] for at in range(0, len(pages), _PAGES)]
