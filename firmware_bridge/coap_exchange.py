"""One request with all of its blocks: what is sent next, and what came back (RFC 7959)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from firmware_bridge.coap_message import Block, Code, Message, MessageType, Method, Option, encode_uint

CBOR: Final = 60
JSON: Final = 50
#: A device's longest answer is its log; a line of 115200 baud takes six seconds for so much.
MOST_ANSWER_BYTES: Final = 65_536
_SUCCESS: Final = 2
_MOST_SZX: Final = 6


@dataclass(frozen=True, slots=True)
class Asked:
    """A request. A body larger than ``block_bytes`` goes in blocks, from byte ``offset`` of it on."""

    method: Method
    path: str
    payload: bytes = field(default=b"", repr=False)
    format: int | None = None
    offset: int = 0
    block_bytes: int = 512
    observe: bool = False
    gives_way: bool = False  # between its blocks other requests may go first: the device keeps no part of it
    is_ping: bool = False


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer."""

    code: int
    payload: bytes = field(default=b"", repr=False)
    format: int | None = None

    @property
    def is_success(self) -> bool:
        """Whether it was done."""
        return self.code >> 5 == _SUCCESS

    @property
    def text(self) -> str:
        """The payload as text, for refusals."""
        return self.payload.decode("utf-8", "replace")


def response_of(message: Message, payload: bytes) -> Response:
    """The message as a response with this body."""
    return Response(message.code, payload, message.uint(Option.CONTENT_FORMAT))


def szx_of(block_bytes: int) -> int:
    """The largest size of a block that is not above ``block_bytes``, as an exponent."""
    return max(0, min(_MOST_SZX, block_bytes.bit_length() - 5))


@dataclass(slots=True)
class Exchange:
    """A request under way; the session keeps ``message``, ``repeated``, ``due`` and ``is_acknowledged``."""

    number: int
    asked: Asked
    token: bytes
    message: Message = field(init=False)
    repeated: int = 0
    due: float = 0.0
    is_acknowledged: bool = False
    at: int = field(init=False)  # bytes of the body that were taken
    _szx: int = field(init=False)
    _body: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self.at = self.asked.offset
        self._szx = szx_of(self.asked.block_bytes)
        self.message = Message(MessageType.CON, Code.EMPTY, 0)

    def first(self) -> Message:
        """What is sent first; the session gives it its id."""
        if self.asked.is_ping:
            return self.message
        if self.asked.offset or len(self.asked.payload) > 16 << self._szx:
            return self._block1()
        return self._request(payload=self.asked.payload)

    def take(self, message: Message) -> Message | Response | None:
        """What is sent next, or the answer; None when the answer makes no sense."""
        if message.code == Code.CONTINUE:
            return self._next_block1(message)
        block = message.block(Option.BLOCK2)
        if block is None:
            if not self._body and len(self.asked.payload) > self.at and message.code >> 5 == _SUCCESS:
                self.at = len(self.asked.payload)
            return response_of(message, bytes(self._body) + message.payload)
        if block.offset != len(self._body) or len(self._body) + len(message.payload) > MOST_ANSWER_BYTES:
            return None
        self._body += message.payload
        if not block.more:
            return response_of(message, bytes(self._body))
        if len(message.payload) != block.size:
            return None
        following = Block(block.number + 1, more=False, szx=block.szx)
        return self._request((Option.BLOCK2, following.encoded()), is_first=False)

    def _next_block1(self, message: Message) -> Message | None:
        sent = self.message.block(Option.BLOCK1)
        if sent is None or not sent.more:
            return None
        self.at = sent.offset + sent.size
        told = message.block(Option.BLOCK1)
        if told is not None and told.szx < self._szx:
            self._szx = told.szx  # it wants smaller ones from now on (RFC 7959 section 2.5)
        return self._block1()

    def _block1(self) -> Message:
        size = 16 << self._szx
        part = self.asked.payload[self.at : self.at + size]
        more = self.at + size < len(self.asked.payload)
        return self._request((Option.BLOCK1, Block(self.at // size, more, self._szx).encoded()), payload=part)

    def _request(self, *options: tuple[int, bytes], payload: bytes = b"", is_first: bool = True) -> Message:
        asked = self.asked
        path = tuple((int(Option.URI_PATH), segment.encode()) for segment in asked.path.split("/") if segment)
        more: list[tuple[int, bytes]] = []
        if asked.observe and is_first:
            more.append((Option.OBSERVE, b""))
        if asked.format is not None and payload:
            more.append((Option.CONTENT_FORMAT, encode_uint(asked.format)))
        return Message(
            MessageType.CON,
            asked.method,
            0,
            self.token,
            tuple(sorted((*path, *more, *options), key=lambda option: option[0])),
            payload,
        )
