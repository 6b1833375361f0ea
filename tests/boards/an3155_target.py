"""An STM32's UART bootloader as a state machine (AN3155): ours, since nobody publishes one; two genuine clients judge it.

Flash behaves as flash: writing only clears bits, erasing sets whole pages. ``protected`` refuses writing and erasing.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Generator
from dataclasses import dataclass, field

ACK, NACK = b"\x79", b"\x1f"
BASE = 0x0800_0000
RAM = range(0x2000_0000, 0x2000_5000)
COMMANDS = bytes([0x00, 0x01, 0x02, 0x11, 0x21, 0x31])


def xor_of(data: bytes) -> int:
    return functools.reduce(operator.xor, data, 0)


@dataclass
class An3155Target:
    """``feed`` takes bytes from the line and gives what goes back; each byte counts, so it may be cut anywhere."""

    product_id: int = 0x410
    flash: bytearray = field(default_factory=lambda: bytearray(b"\xff" * 65_536))
    page_bytes: int = 1024
    sectors: tuple[int, ...] = ()  # sizes of sectors that differ, in place of pages
    extended: bool = False
    protected: bool = False
    read_protected: bool = False
    bad_address: int = -1  # this cell does not take what is written
    went_to: int | None = None
    erased_pages: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.power_up()

    def power_up(self) -> None:
        """Flash stays; everything else begins anew."""
        self._out = b""
        self._talk = self._conversation()
        self._wanted = next(self._talk)
        self._have = b""

    def feed(self, data: bytes) -> bytes:
        self._have += data
        while len(self._have) >= self._wanted:
            taken, self._have = self._have[: self._wanted], self._have[self._wanted :]
            self._wanted = self._talk.send(taken)
        out, self._out = self._out, b""
        return out

    def _say(self, data: bytes) -> None:
        self._out += data

    def _conversation(self) -> Generator[int, bytes, None]:
        while (yield 1) != b"\x7f":
            pass
        self._say(ACK)
        while True:
            command = (yield 1)[0]
            if (yield 1)[0] != command ^ 0xFF:
                self._say(NACK)
                continue
            yield from self._command(command)

    def _command(self, command: int) -> Generator[int, bytes, None]:
        erase = 0x44 if self.extended else 0x43
        match command:
            case 0x00:
                listed = COMMANDS + bytes([erase])
                self._say(ACK + bytes([len(listed), 0x22]) + listed + ACK)
            case 0x01:
                self._say(ACK + bytes([0x22, 0, 0]) + ACK)
            case 0x02:
                self._say(ACK + b"\x01" + self.product_id.to_bytes(2, "big") + ACK)
            case 0x11 if not self.read_protected:
                yield from self._read()
            case 0x21:
                self._say(ACK)
                self.went_to = yield from self._address()
            case 0x31 if not self.protected:
                yield from self._write()
            case 0x43 | 0x44 if command == erase and not self.protected:
                yield from self._erase()
            case _:
                self._say(NACK)

    def _address(self) -> Generator[int, bytes, int | None]:
        data = yield 5
        address = int.from_bytes(data[:4], "big")
        if xor_of(data) or not (address in RAM or BASE <= address < BASE + len(self.flash)):
            self._say(NACK)
            return None
        self._say(ACK)
        return address

    def _read(self) -> Generator[int, bytes, None]:
        self._say(ACK)
        address = yield from self._address()
        if address is None:
            return
        count, complement = yield 2
        self._say(
            ACK + bytes(self.flash[address - BASE :][: count + 1]) if count ^ complement == 0xFF else NACK
        )

    def _write(self) -> Generator[int, bytes, None]:
        self._say(ACK)
        address = yield from self._address()
        if address is None:
            return
        count = yield 1
        block = yield count[0] + 2
        if xor_of(count + block) or address % 4 or (count[0] + 1) % 4:
            self._say(NACK)
            return
        for at, byte in enumerate(block[:-1], address - BASE):
            if address not in RAM:
                self.flash[at] &= byte if at != self.bad_address - BASE else 0xFE
        self._say(ACK)

    def _erase(self) -> Generator[int, bytes, None]:
        self._say(ACK)
        width = 2 if self.extended else 1
        head = yield width
        count = int.from_bytes(head, "big")
        if count >= (0xFFF0 if self.extended else 0xFF):
            yield 1
            pages = list(range(len(self.sectors) or len(self.flash) // self.page_bytes))
        else:
            body = yield (count + 1) * width + 1
            if xor_of(head + body):
                self._say(NACK)
                return
            pages = [int.from_bytes(body[at : at + width], "big") for at in range(0, len(body) - 1, width)]
        for page in pages:
            start = sum(self.sectors[:page]) if self.sectors else page * self.page_bytes
            size = self.sectors[page] if self.sectors else self.page_bytes
            self.flash[start : start + size] = b"\xff" * size
        self.erased_pages += pages
        self._say(ACK)
