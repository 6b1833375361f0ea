"""The serial protocol of the loader in the ROM of Espressif's chips, from Espressif's published description of it.

SLIP frames; a command of eight bytes and its data; an answer with a value, data and a status. Nothing is loaded into
the chip's RAM: the ROM does all of it.
"""

from __future__ import annotations

import functools
import operator
import struct
from contextlib import suppress
from typing import Final

from edgehost.adapters.boards.line_reader import LineReader
from edgehost.domain.errors import FlashFailedError
from edgehost.ports.device_line import DeviceLine

FLASH_BEGIN, FLASH_DATA, FLASH_END = 0x02, 0x03, 0x04
SYNC, WRITE_REG, READ_REG = 0x08, 0x09, 0x0A
SPI_SET_PARAMS, SPI_ATTACH, CHANGE_BAUDRATE = 0x0B, 0x0D, 0x0F
DEFL_BEGIN, DEFL_DATA, DEFL_END = 0x10, 0x11, 0x12
FLASH_MD5, SECURITY_INFO = 0x13, 0x14
#: Bytes of one FLASH_DATA or DEFL_DATA; what every ROM takes.
PACKET: Final = 0x400
SECTOR: Final = 4096
_SYNC_DATA: Final = b"\x07\x07\x12\x20" + b"\x55" * 32
_SYNC_ANSWERS: Final = 8  # the ROM says it eight times
_ANSWER_S: Final = 3.0
#: For a whole megabyte: slow flash chips need most of it for erasing.
_ERASE_S_PER_MIB: Final = 40.0
_MD5_S_PER_MIB: Final = 8.0
_MIB: Final = 1 << 20
_END, _ESCAPE = b"\xc0", b"\xdb"
_MOST_FRAME: Final = 16_384
_HEADER: Final = 8
_NOISE: Final = 2048
_CHECKSUM_SEED: Final = 0xEF
_PACKET_S: Final = 10.0  # inflating 1 KiB may write 64 KiB
#: Flags, a count and seven purposes; the chip's id and the version of its ROM; a status of two or four bytes behind.
_SECURITY_BYTES: Final = 12 + 2
_SECURITY_BYTES_WITH_ID: Final = 20 + 2

#: Status words of the ROM (serial protocol, section "Errors").
_ERRORS: Final = {
    0x05: "the message is not valid",
    0x06: "it failed to act on the message",
    0x07: "the checksum is wrong",
    0x08: "writing the flash failed, as reading it back showed",
    0x09: "reading the flash failed",
    0x0A: "the length for reading the flash is wrong",
    0x0B: "it failed to inflate the data",
}


class EspRefusedError(FlashFailedError):
    """The ROM answered with an error status."""


def slip(payload: bytes) -> bytes:
    """A SLIP frame (RFC 1055)."""
    return _END + payload.replace(_ESCAPE, b"\xdb\xdd").replace(_END, b"\xdb\xdc") + _END


def unslip(frame: bytes) -> bytes:
    """What is in a frame, without its ends."""
    return frame.replace(b"\xdb\xdc", _END).replace(b"\xdb\xdd", _ESCAPE)


class EspLoader:
    """One conversation; ``noise`` is the end of what came and was no answer, for telling why nothing goes."""

    def __init__(self, line: DeviceLine) -> None:
        self._line = line
        self._reader = LineReader(line)
        self.noise = b""

    async def sync(self, timeout_s: float) -> bool:
        """Whether the loader answers; it learns the baud rate from this command."""
        await self._reader.drop()
        try:
            await self._exchange(SYNC, _SYNC_DATA, 0, timeout_s)
        except TimeoutError:
            self.noise = (self.noise + self._reader.waiting)[-_NOISE:]
            return False
        with suppress(TimeoutError):
            for _ in range(_SYNC_ANSWERS - 1):
                await self._frame(timeout_s)
        return True

    async def ask(
        self,
        command: int,
        data: bytes = b"",
        *,
        checksum: int = 0,
        answer: int = 0,
        timeout_s: float = _ANSWER_S,
    ) -> tuple[int, bytes]:
        """Value and data of the answer: ``answer`` bytes, behind which the status comes.

        Raises:
            FlashFailedError: no answer in time; EspRefusedError: the status is an error.
        """
        try:
            value, body = await self._exchange(command, data, checksum, timeout_s)
        except TimeoutError:
            raise FlashFailedError(
                f"The ROM loader does not answer command 0x{command:02x}.",
                hint="Try a lower --baud, a shorter cable, or a supply that gives 500 mA.",
            ) from None
        status = body[answer : answer + 2] or body  # an error comes without the data
        if len(status) < 2 or status[0]:  # noqa: PLR2004 - whether it failed, and why
            reason = _ERRORS.get(status[-1], f"status {body.hex()}") if body else "no status"
            raise EspRefusedError(f"The ROM loader refused command 0x{command:02x}: {reason}.")
        return value, body[:answer]

    async def read_register(self, address: int) -> int:
        """One word of memory."""
        return (await self.ask(READ_REG, struct.pack("<I", address)))[0]

    async def write_register(self, address: int, value: int) -> None:
        """One word of memory."""
        await self.ask(WRITE_REG, struct.pack("<IIII", address, value, 0xFFFF_FFFF, 0))

    async def security_info(self) -> tuple[int, int | None] | None:
        """Flags, and the chip's id where this ROM tells it; None: a ROM that does not know the command."""
        try:
            _, body = await self._exchange(SECURITY_INFO, b"", 0, _ANSWER_S)
        except TimeoutError:
            return None
        if len(body) < _SECURITY_BYTES:  # only a status
            return None
        has_id = len(body) >= _SECURITY_BYTES_WITH_ID
        return int.from_bytes(body[:4], "little"), int.from_bytes(body[12:16], "little") if has_id else None

    async def attach_flash(self, flash_bytes: int) -> None:
        """Connect the flash chip at its usual pins, and say how large it is."""
        await self.ask(SPI_ATTACH, struct.pack("<II", 0, 0))
        await self.ask(SPI_SET_PARAMS, struct.pack("<6I", 0, flash_bytes, 0x1_0000, SECTOR, 0x100, 0xFFFF))

    async def change_baud(self, baud: int) -> None:
        """The answer comes at the old speed."""
        await self.ask(CHANGE_BAUDRATE, struct.pack("<II", baud, 0))
        await self._line.set_baud(baud)
        await self._reader.drop()

    async def begin(self, command: int, erase_bytes: int, packets: int, address: int, *, fifth: bool) -> None:
        """FLASH_BEGIN or DEFL_BEGIN: erases before it answers."""
        words = struct.pack("<4I", erase_bytes, packets, PACKET, address) + (bytes(4) if fifth else b"")
        await self.ask(command, words, timeout_s=_ANSWER_S + _ERASE_S_PER_MIB * erase_bytes / _MIB)

    async def packet(self, command: int, number: int, data: bytes) -> None:
        """FLASH_DATA or DEFL_DATA."""
        checksum = functools.reduce(operator.xor, data, _CHECKSUM_SEED)
        await self.ask(
            command,
            struct.pack("<4I", len(data), number, 0, 0) + data,
            checksum=checksum,
            timeout_s=_PACKET_S,
        )

    async def md5(self, address: int, size: int) -> str:
        """Of what the flash holds, computed by the chip."""
        _, digits = await self.ask(
            FLASH_MD5,
            struct.pack("<4I", address, size, 0, 0),
            answer=32,
            timeout_s=_ANSWER_S + _MD5_S_PER_MIB * size / _MIB,
        )
        return digits.decode("ascii", "replace").lower()

    async def reboot(self) -> None:
        """For lines without modem lines: ends the flash, and starts what is in it."""
        await self.ask(FLASH_END, struct.pack("<I", 0))

    async def _exchange(
        self, command: int, data: bytes, checksum: int, timeout_s: float
    ) -> tuple[int, bytes]:
        await self._line.write(slip(struct.pack("<BBHI", 0, command, len(data), checksum) + data))
        while True:
            frame = await self._frame(timeout_s)
            if len(frame) >= _HEADER and frame[0] == 1 and frame[1] == command:
                _, _, size, value = struct.unpack_from("<BBHI", frame)
                return value, frame[_HEADER : _HEADER + size]
            self.noise = (self.noise + frame)[-_NOISE:]

    async def _frame(self, timeout_s: float) -> bytes:
        while True:
            frame = await self._reader.until(_END, _MOST_FRAME, timeout_s)
            if frame:
                return unslip(frame)
