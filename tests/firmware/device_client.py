"""A host's side of the line in a few lines: slipmux frames, CoAP messages, and what a device is asked.

It is written apart from the product's own bridge, so that the firmware is judged by a second reading of the drafts.
"""

from __future__ import annotations

import os
import select
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

GET, POST, PUT = 1, 2, 3
CON, NON, ACK, RST = 0, 1, 2, 3
OBSERVE, PATH, FORMAT, BLOCK2, BLOCK1 = 6, 11, 12, 23, 27
CHANGED, CONTENT, CONTINUE = 0x44, 0x45, 0x5F
PROTECTED: Final = cbor2.dumps({1: -8, 3: "edgehost-manifest+cbor"})
_END, _ESC = 0xC0, 0xDB


def fcs16(data: bytes) -> int:
    """RFC 1662, appendix C."""
    fcs = 0xFFFF
    for byte in data:
        fcs ^= byte
        for _ in range(8):
            fcs = fcs >> 1 ^ 0x8408 if fcs & 1 else fcs >> 1
    return fcs ^ 0xFFFF


def frame(kind: int, content: bytes) -> bytes:
    """One frame, END to END."""
    body = bytes([kind]) + content
    if kind == 0xA9:
        body += struct.pack("<H", fcs16(body))
    body = body.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc")
    return b"\xc0" + body + b"\xc0"


@dataclass
class Message:
    """A CoAP message."""

    type: int
    code: int
    id: int
    token: bytes = b""
    options: list[tuple[int, bytes]] = field(default_factory=list)
    payload: bytes = b""

    def option(self, number: int) -> int | None:
        """An option's value as a number."""
        return next((int.from_bytes(value, "big") for found, value in self.options if found == number), None)

    @property
    def text(self) -> str:
        """The payload as text."""
        return self.payload.decode()

    @property
    def document(self) -> Any:
        """The payload as CBOR."""
        return cbor2.loads(self.payload)


def uint(value: int) -> bytes:
    """An option's number in its shortest form."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def encode(message: Message) -> bytes:
    """RFC 7252 section 3."""
    out = bytearray([0x40 | message.type << 4 | len(message.token), message.code])
    out += message.id.to_bytes(2, "big") + message.token
    last = 0
    for number, value in sorted(message.options, key=lambda option: option[0]):
        nibbles, extras = [], b""
        for part in (number - last, len(value)):
            if part < 13:
                nibbles.append(part)
            elif part < 269:
                nibbles.append(13)
                extras += bytes([part - 13])
            else:
                nibbles.append(14)
                extras += (part - 269).to_bytes(2, "big")
        out += bytes([nibbles[0] << 4 | nibbles[1]]) + extras + value
        last = number
    return bytes(out + (b"\xff" + message.payload if message.payload else b""))


def decode(data: bytes) -> Message:
    """What ``encode`` writes."""
    size = data[0] & 15
    message = Message(data[0] >> 4 & 3, data[1], int.from_bytes(data[2:4], "big"), data[4 : 4 + size])
    at, number = 4 + size, 0
    while at < len(data) and data[at] != 0xFF:
        parts = [data[at] >> 4, data[at] & 15]
        at += 1
        for i, part in enumerate(parts):
            if part == 13:
                parts[i], at = data[at] + 13, at + 1
            elif part == 14:
                parts[i], at = int.from_bytes(data[at : at + 2], "big") + 269, at + 2
        number += parts[0]
        message.options.append((number, data[at : at + parts[1]]))
        at += parts[1]
    message.payload = data[at + 1 :]
    return message


class Line(Protocol):
    """Bytes to and from a device."""

    def write(self, data: bytes) -> None:
        """All of them; raises BrokenPipeError when the device is gone."""

    def read(self, timeout_s: float) -> bytes:
        """Some of them, b"" when none came in time; raises BrokenPipeError when the device is gone."""


class Descriptors:
    """A line of two file descriptors."""

    def __init__(self, read_from: int, write_to: int) -> None:
        self._read_from, self._write_to = read_from, write_to

    def write(self, data: bytes) -> None:
        """All of them."""
        while data:
            data = data[os.write(self._write_to, data) :]

    def read(self, timeout_s: float) -> bytes:
        """Some of them."""
        if not select.select([self._read_from], [], [], timeout_s)[0]:
            return b""
        data = os.read(self._read_from, 4096)
        if not data:
            raise BrokenPipeError("the device has ended")
        return data


class DeviceClient:
    """Asks one device at a time, as NSTART = 1 wants it."""

    def __init__(self, line: Line, timeout_s: float = 10.0) -> None:
        self.line, self.timeout_s, self.tries = line, timeout_s, 1
        self.texts: list[str] = []
        self.unasked: list[Message] = []
        self._buffer = b""
        self._id = 0x100
        self.spoil: Callable[[bytes], bytes] = lambda data: data

    def next_id(self) -> int:
        """A fresh message id."""
        self._id = self._id + 1 & 0xFFFF
        return self._id

    def send(self, message: Message) -> None:
        """One message, unanswered."""
        self.line.write(self.spoil(frame(0xA9, encode(message))))

    def receive(self, timeout_s: float) -> Message | None:
        """The next message; diagnostic text is put aside."""
        deadline = time.monotonic() + timeout_s
        while True:
            while b"\xc0" in self._buffer:
                raw, self._buffer = self._buffer.split(b"\xc0", 1)
                body = raw.replace(b"\xdb\xdc", b"\xc0").replace(b"\xdb\xdd", b"\xdb")
                if body[:1] == b"\x0a":
                    self.texts.append(body[1:].decode(errors="replace"))
                elif body[:1] == b"\xa9" and fcs16(body[:-2]) == int.from_bytes(body[-2:], "little"):
                    return decode(body[1:-2])
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self._buffer += self.line.read(left)

    def exchange(self, message: Message) -> Message:
        """A request and its answer."""
        for _ in range(self.tries):
            self.send(message)
            deadline = time.monotonic() + self.timeout_s / self.tries
            while (left := deadline - time.monotonic()) > 0:
                answer = self.receive(left)
                if answer is None:
                    break
                if answer.type == ACK and answer.id == message.id and answer.token == message.token:
                    return answer
                self.unasked.append(answer)
        raise TimeoutError(f"no answer to {message}; the device said {self.texts[-5:]}")

    def request(self, method: int, path: str, payload: bytes = b"") -> Message:
        """A confirmable request with a fresh id and token."""
        segments = [(PATH, segment.encode()) for segment in path.strip("/").split("/")]
        return Message(CON, method, self.next_id(), self.next_id().to_bytes(2, "big"), segments, payload)

    def ask(
        self, method: int, path: str, payload: bytes = b"", *, options: list[tuple[int, bytes]] | None = None
    ) -> Message:
        """One request; a response of several blocks is put together."""
        segments = [(PATH, segment.encode()) for segment in path.strip("/").split("/")]
        token = self.next_id().to_bytes(2, "big")
        asked = Message(CON, method, self.next_id(), token, [*segments, *(options or [])], payload)
        answer = self.exchange(asked)
        whole, block2 = answer.payload, answer.option(BLOCK2)
        while block2 is not None and block2 & 8:
            number = (block2 >> 4) + 1
            asked = Message(
                CON, method, self.next_id(), token, [*segments, (BLOCK2, uint(number << 4 | block2 & 7))]
            )
            part = self.exchange(asked)
            whole, block2 = whole + part.payload, part.option(BLOCK2)
        answer.payload = whole
        return answer

    def put_blocks(
        self,
        method: int,
        path: str,
        body: bytes,
        *,
        offset: int = 0,
        szx: int = 5,
        stop_at: int | None = None,
    ) -> Message:
        """Block1, from an offset on; ends early at ``stop_at``."""
        block = 16 << szx
        while True:
            part = body[offset : offset + block]
            more = offset + block < len(body)
            value = offset // block << 4 | (8 if more else 0) | szx
            answer = self.ask(method, path, part, options=[(BLOCK1, uint(value))])
            offset += len(part)
            if not more or answer.code != CONTINUE or (stop_at is not None and offset >= stop_at):
                return answer

    def call(self, component: str, function: str, payload: bytes = b"") -> Message:
        """An export of a component."""
        return self.ask(POST, f"call/{component}/{function}", payload)

    def deploy(self, wasm: bytes, manifest: bytes, szx: int = 5) -> Message:
        """Manifest, image from where the device is, commit; the first answer that is no success ends it."""
        offered = self.put_blocks(PUT, "slot/manifest", manifest, szx=szx)
        if offered.code != CHANGED:
            return offered
        have = offered.document["have"]
        if have < len(wasm):
            sent = self.put_blocks(PUT, "slot/image", wasm, offset=have, szx=szx)
            if sent.code != CHANGED:
                return sent
        return self.ask(POST, "slot/commit")


def signed(payload: bytes, key: Ed25519PrivateKey, protected: bytes = PROTECTED) -> bytes:
    """COSE_Sign1 (RFC 9052)."""
    signature = key.sign(cbor2.dumps(["Signature1", protected, b"", payload]))
    return cbor2.dumps(cbor2.CBORTag(18, [protected, {}, payload, signature]))
