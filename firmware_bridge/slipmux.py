"""Frames on a serial line: slipmux (draft-bormann-t2trg-slipmux-03), which is SLIP (RFC 1055) with a type byte.

``C0 type content C0``; a CoAP message carries the FCS16 of RFC 1662 behind it, text carries nothing.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

_END, _ESC, _ESC_END, _ESC_ESC = 0xC0, 0xDB, 0xDC, 0xDD
_FCS_BYTES: Final = 2
#: What the running sum shows when the FCS itself has been summed up (RFC 1662, appendix C.2).
_GOOD_FCS: Final = 0xF0B8
#: Text has no length of its own; a line of a log that is longer is no line of a log.
MOST_TEXT_BYTES: Final = 1024


class FrameKind(enum.IntEnum):
    """The first byte of a frame."""

    TEXT = 0x0A
    COAP = 0xA9


@dataclass(frozen=True, slots=True)
class Frame:
    """One good frame; the content without type and FCS."""

    kind: FrameKind
    content: bytes


def _table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ 0x8408 if value & 1 else value >> 1
        table.append(value)
    return tuple(table)


_TABLE: Final = _table()


def _sum(data: bytes | bytearray) -> int:
    fcs = 0xFFFF
    for byte in data:
        fcs = fcs >> 8 ^ _TABLE[(fcs ^ byte) & 0xFF]
    return fcs


def fcs16(data: bytes) -> int:
    """The frame check sequence of RFC 1662, ready to be sent low byte first."""
    return _sum(data) ^ 0xFFFF


def encode_frame(kind: FrameKind, content: bytes) -> bytes:
    """The frame from END to END."""
    body = bytes([kind]) + content
    if kind is FrameKind.COAP:
        body += fcs16(body).to_bytes(_FCS_BYTES, "little")
    body = body.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc")
    return b"\xc0" + body + b"\xc0"


class Deframer:
    """Finds frames in what a line brings, a piece at a time; holds at most ``most_bytes`` of a frame.

    A frame that is too long, wrongly escaped, cut or damaged is dropped and counted; other types are skipped.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = max(most_bytes, MOST_TEXT_BYTES) + 1 + _FCS_BYTES
        self._body = bytearray()
        self._escaped = False
        self._bad = False
        self.bad_frames = 0

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that end in ``data``."""
        frames: list[Frame] = []
        pieces = data.split(b"\xc0")
        for piece in pieces[:-1]:
            self._take(piece)
            frame = self._ended()
            if frame is not None:
                frames.append(frame)
        self._take(pieces[-1])
        return frames

    def _take(self, piece: bytes) -> None:
        """Bytes within a frame, without END."""
        if self._bad or not piece:
            return
        if self._escaped or _ESC in piece:
            piece = self._unescaped(piece)
        self._body += piece
        if len(self._body) > self._most:
            self._bad = True
            self._body.clear()

    def _unescaped(self, piece: bytes) -> bytes:
        out = bytearray()
        for byte in piece:
            if self._escaped:
                self._escaped = False
                if byte not in {_ESC_END, _ESC_ESC}:
                    self._bad = True
                    return b""
                out.append(_END if byte == _ESC_END else _ESC)
            elif byte == _ESC:
                self._escaped = True
            else:
                out.append(byte)
        return bytes(out)

    def _ended(self) -> Frame | None:
        body, bad = self._body, self._bad or self._escaped
        self._body, self._escaped, self._bad = bytearray(), False, False
        if bad:
            self.bad_frames += 1
            return None
        if not body:
            return None
        if body[0] == FrameKind.TEXT:
            return Frame(FrameKind.TEXT, bytes(body[1:]))
        if body[0] != FrameKind.COAP:
            return None
        if len(body) < 1 + _FCS_BYTES or _sum(body) != _GOOD_FCS:
            self.bad_frames += 1
            return None
        return Frame(FrameKind.COAP, bytes(body[1:-_FCS_BYTES]))
