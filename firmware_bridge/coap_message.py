"""CoAP messages (RFC 7252 section 3) as bytes, and back: the part that a device on a serial line needs.

A codec of our own, since the library's brings an event loop with it (asyncio, 2 MB and 14 ms more on top of that).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Final

from edgehost.domain.errors import RefusedError

_VERSION: Final = 1
_MOST_TOKEN: Final = 8
_MARKER: Final = 0xFF
_BYTE_EXTENSION, _WORD_EXTENSION, _RESERVED = 13, 14, 15
_BYTE_FROM, _WORD_FROM = 13, 269
#: An option's number is a 16-bit unsigned integer (section 12.2).
_MOST_NUMBER: Final = 0xFFFF
#: szx 7 is reserved on datagrams and means something else on TCP (RFC 7959 section 2.2, RFC 8323 section 6).
_MOST_SZX: Final = 6


class MessageType(enum.IntEnum):
    """Section 4."""

    CON = 0
    NON = 1
    ACK = 2
    RST = 3


class Method(enum.IntEnum):
    """Codes of requests."""

    GET = 1
    POST = 2
    PUT = 3
    DELETE = 4


class Option(enum.IntEnum):
    """Numbers of options."""

    OBSERVE = 6
    URI_PATH = 11
    CONTENT_FORMAT = 12
    URI_QUERY = 15
    ACCEPT = 17
    BLOCK2 = 23
    BLOCK1 = 27


class Code(enum.IntEnum):
    """Codes of responses that the bridge tells apart; ``0x45`` is 2.05."""

    EMPTY = 0
    CHANGED = 0x44
    CONTENT = 0x45
    CONTINUE = 0x5F
    FORBIDDEN = 0x83
    NOT_FOUND = 0x84
    INCOMPLETE = 0x88
    TOO_LARGE = 0x8D
    UNPROCESSABLE = 0x96
    SERVER_ERROR = 0xA0
    UNAVAILABLE = 0xA3
    TIMEOUT = 0xA4


class MalformedMessageError(RefusedError):
    """The bytes are no CoAP message."""

    code = "malformed-message"


@dataclass(frozen=True, slots=True)
class Block:
    """The value of Block1 and Block2 (RFC 7959 section 2.2)."""

    number: int
    more: bool
    szx: int

    @property
    def size(self) -> int:
        """Bytes of a block."""
        return 16 << self.szx

    @property
    def offset(self) -> int:
        """Of its first byte."""
        return self.number * self.size

    def encoded(self) -> bytes:
        """As an option."""
        return encode_uint(self.number << 4 | (8 if self.more else 0) | self.szx)


@dataclass(frozen=True, slots=True)
class Message:
    """A CoAP message; options in the order of their numbers."""

    type: MessageType
    code: int
    id: int
    token: bytes = b""
    options: tuple[tuple[int, bytes], ...] = field(default=())
    payload: bytes = b""

    def option(self, number: int) -> bytes | None:
        """The value of the first such option."""
        return next((value for found, value in self.options if found == number), None)

    def uint(self, number: int) -> int | None:
        """An option's value as a number; None when it is absent or longer than four bytes."""
        value = self.option(number)
        return int.from_bytes(value, "big") if value is not None and len(value) <= 4 else None  # noqa: PLR2004

    def block(self, number: int) -> Block | None:
        """Block1 or Block2; None when it is absent or none."""
        value = self.uint(number)
        if value is None or value >> 24 or value & 7 > _MOST_SZX:
            return None
        return Block(value >> 4, bool(value & 8), value & 7)


def encode_uint(value: int) -> bytes:
    """A number in its shortest form (section 3.2)."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def code_text(code: int) -> str:
    """``2.05``."""
    return f"{code >> 5}.{code & 31:02}"


def encode_message(message: Message) -> bytes:
    """The message's bytes."""
    out = bytearray([_VERSION << 6 | message.type << 4 | len(message.token), message.code])
    out += message.id.to_bytes(2, "big") + message.token
    last = 0
    for number, value in sorted(message.options, key=lambda option: option[0]):
        delta, delta_more = _nibble(number - last)
        length, length_more = _nibble(len(value))
        out.append(delta << 4 | length)
        out += delta_more + length_more + value
        last = number
    if message.payload:
        out.append(_MARKER)
        out += message.payload
    return bytes(out)


def decode_message(data: bytes) -> Message:
    """The message in these bytes.

    Raises:
        MalformedMessageError: there is none.
    """
    if len(data) < 4:  # noqa: PLR2004 - the fixed header
        raise MalformedMessageError("The message is shorter than its header.")
    token_size = data[0] & 15
    if data[0] >> 6 != _VERSION or token_size > _MOST_TOKEN:
        raise MalformedMessageError("The message is of another version, or its token is too long.")
    kind, code, number = MessageType(data[0] >> 4 & 3), data[1], int.from_bytes(data[2:4], "big")
    at = 4 + token_size
    if at > len(data) or (code == 0 and len(data) > 4):  # noqa: PLR2004 - an empty message is its header
        raise MalformedMessageError("The message ends in its token, or is empty and goes on.")
    options, at = _options(data, at)
    if at < len(data) and at + 1 == len(data):
        raise MalformedMessageError("The message ends with the marker of a payload.")
    return Message(kind, code, number, data[4 : 4 + token_size], options, data[at + 1 :])


def _nibble(value: int) -> tuple[int, bytes]:
    if value < _BYTE_FROM:
        return value, b""
    if value < _WORD_FROM:
        return _BYTE_EXTENSION, bytes([value - _BYTE_FROM])
    return _WORD_EXTENSION, (value - _WORD_FROM).to_bytes(2, "big")


def _options(data: bytes, at: int) -> tuple[tuple[tuple[int, bytes], ...], int]:
    options: list[tuple[int, bytes]] = []
    number = 0
    while at < len(data) and data[at] != _MARKER:
        head = data[at]
        delta, at = _extended(data, at + 1, head >> 4)
        size, at = _extended(data, at, head & 15)
        number += delta
        if number > _MOST_NUMBER or at + size > len(data):
            raise MalformedMessageError("An option goes beyond the message, or has no possible number.")
        options.append((number, data[at : at + size]))
        at += size
    return tuple(options), at


def _extended(data: bytes, at: int, nibble: int) -> tuple[int, int]:
    if nibble == _RESERVED:
        raise MalformedMessageError("An option uses a reserved length.")
    width = max(0, nibble - 12)
    if at + width > len(data):
        raise MalformedMessageError("The message ends within an option.")
    if width == 0:
        return nibble, at
    base = _BYTE_FROM if nibble == _BYTE_EXTENSION else _WORD_FROM
    return int.from_bytes(data[at : at + width], "big") + base, at + width
