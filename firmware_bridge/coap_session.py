"""A host's side of the conversation with one device: requests, blocks and observations over one line, sans I/O.

Fed with bytes and the time, it gives bytes and events. One request is open at a time (NSTART = 1, RFC 7252 section
4.7), since a device keeps one answer to repeat; the others wait in a bounded queue. Times are seconds of any clock that
only grows.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, replace
from typing import Final

from edgehost.domain.errors import BusyError
from firmware_bridge.coap_exchange import Asked, Exchange, Response, response_of
from firmware_bridge.coap_message import (
    Code,
    MalformedMessageError,
    Message,
    MessageType,
    Method,
    Option,
    decode_message,
    encode_message,
)
from firmware_bridge.slipmux import Deframer, FrameKind, encode_frame

#: Header, token and options of the protocol, and the path of a call, come before a block.
OVERHEAD_BYTES: Final = 48 + 140
_QUEUE: Final = 16
_OBSERVED: Final = 4  # as many as a device keeps
_FIRST_REQUEST, _LAST_REQUEST = 1, 31
#: Events that nobody takes; what a device says by itself must not fill a host.
_MOST_EVENTS: Final = 256


@dataclass(frozen=True, slots=True)
class Timing:
    """When a request is repeated. The only other party is at the end of a wire, so waiting needs no jitter."""

    answer_s: float = 1.0  # doubles with each repetition
    repetitions: int = 4


@dataclass(frozen=True, slots=True)
class Answered:
    """A request has its whole answer, a refusal included."""

    number: int
    response: Response


@dataclass(frozen=True, slots=True)
class Failed:
    """A request has none: ``silence``, ``reset`` or ``malformed``."""

    number: int
    why: str


@dataclass(frozen=True, slots=True)
class Progressed:
    """So many bytes of a request's body are acknowledged, counted from its start."""

    number: int
    done: int


@dataclass(frozen=True, slots=True)
class Notified:
    """What is observed has another state."""

    number: int
    response: Response


@dataclass(frozen=True, slots=True)
class Said:
    """Diagnostic text."""

    text: str


SessionEvent = Answered | Failed | Progressed | Notified | Said


class CoapSession:
    """``seed`` differs from session to session, so that a device takes no request for one of the session before."""

    def __init__(self, seed: int, *, block_bytes: int = 512, timing: Timing | None = None) -> None:
        self.timing = timing or Timing()
        self._deframer = Deframer(OVERHEAD_BYTES + block_bytes)
        self._id = seed & 0xFFFF
        self._token = (seed >> 16 & 0xFFFF) << 16
        self._number = 0
        self._waiting: OrderedDict[int, Asked] = OrderedDict()
        self._begun: dict[int, tuple[Exchange, Message]] = {}  # those that wait between two of their blocks
        self._open: Exchange | None = None
        self._observed: dict[bytes, tuple[int, str]] = {}  # token: number and path
        self._again: dict[int, int] = {}  # a request for the whole of a notification, and whose it is
        self._last_notified = -1
        self._out = bytearray()
        self._events: deque[SessionEvent] = deque()
        self.lost_events = 0
        self.malformed = 0

    @property
    def bad_frames(self) -> int:
        """Frames that were dropped."""
        return self._deframer.bad_frames + self.malformed

    @property
    def is_idle(self) -> bool:
        """Whether nothing is asked."""
        return self._open is None and not self._waiting

    def ask(self, asked: Asked, now: float) -> int:
        """Begin a request as soon as those before it are done; the number that its events have.

        Raises:
            BusyError: too many wait.
        """
        if len(self._waiting) >= _QUEUE:
            raise BusyError(f"{_QUEUE} requests wait for this device.", hint="Try again later.")
        self._number += 1
        self._waiting[self._number] = asked
        self._go_on(now)
        return self._number

    def ping(self, now: float) -> int:
        """Ask for a sign of life; answered like a request."""
        return self.ask(Asked(Method.GET, "", is_ping=True), now)

    def observe(self, path: str, now: float) -> int:
        """Ask for a resource and be told of its states from then on, under the same number.

        Raises:
            BusyError: too much is observed, or too many requests wait.
        """
        if len(self._observed) >= _OBSERVED:
            raise BusyError(f"A device tells {_OBSERVED} observers at most.")
        return self.ask(Asked(Method.GET, path, observe=True), now)

    def drop(self, number: int, now: float) -> None:
        """Give a request or an observation up; nothing more is told of it."""
        self._waiting.pop(number, None)
        self._begun.pop(number, None)
        for token, (observed, _) in list(self._observed.items()):
            if observed == number:  # its next notification is reset, which ends it at the device
                del self._observed[token]
        if self._open is not None and self._open.number == number:
            self._open = None
            self._go_on(now)

    def receive(self, data: bytes, now: float) -> None:
        """Take what the line brought."""
        for frame in self._deframer.feed(data):
            if frame.kind is FrameKind.TEXT:
                self._tell(Said(frame.content.decode("utf-8", "replace")))
                continue
            try:
                message = decode_message(frame.content)
            except MalformedMessageError:
                self.malformed += 1
                continue
            self._take(message, now)

    def tick(self, now: float) -> None:
        """Repeat what is due, or give it up."""
        exchange = self._open
        if exchange is None or now < exchange.due:
            return
        if exchange.is_acknowledged or exchange.repeated >= self.timing.repetitions:
            self._end(Failed(exchange.number, "silence"), now)
            return
        exchange.repeated += 1
        self._send(exchange, now)

    def due(self) -> float | None:
        """When ``tick`` has something to do."""
        return None if self._open is None else self._open.due

    def take_bytes(self) -> bytes:
        """What the line must carry now."""
        out, self._out = bytes(self._out), bytearray()
        return out

    def take_events(self) -> list[SessionEvent]:
        """What has happened, oldest first."""
        events, self._events = list(self._events), deque()
        return events

    # Messages that come in

    def _take(self, message: Message, now: float) -> None:
        exchange = self._open
        match message.type:
            case MessageType.ACK | MessageType.RST:
                if exchange is not None and message.id == exchange.message.id:
                    self._answered(exchange, message, now)
            case MessageType.CON | MessageType.NON:
                self._told(message, now)

    def _answered(self, exchange: Exchange, message: Message, now: float) -> None:
        if message.type is MessageType.RST:
            if exchange.asked.is_ping:
                self._end(Answered(exchange.number, Response(Code.EMPTY)), now)
            else:
                self._end(Failed(exchange.number, "reset"), now)
        elif message.code == Code.EMPTY:
            exchange.is_acknowledged = True  # the response comes by itself (RFC 7252 section 5.2.2)
            exchange.due = now + self._patience_s()
        elif message.token == exchange.message.token:
            self._respond(exchange, message, now)

    def _told(self, message: Message, now: float) -> None:
        """A response by itself, a notification, or something that nobody asked for."""
        exchange, known = self._open, self._observed.get(message.token)
        if message.code <= _LAST_REQUEST:
            if message.code >= _FIRST_REQUEST or message.type is MessageType.CON:
                self._reply(MessageType.RST, message.id)  # a ping is answered like this, too
            return
        if exchange is not None and exchange.is_acknowledged and message.token == exchange.message.token:
            if message.type is MessageType.CON:
                self._reply(MessageType.ACK, message.id)
            self._respond(exchange, message, now)
        elif known is None:
            self._reply(MessageType.RST, message.id)
        else:
            if message.type is MessageType.CON:
                self._reply(MessageType.ACK, message.id)
            if message.id != self._last_notified:
                self._last_notified = message.id
                self._notify(*known, message, now)

    def _notify(self, number: int, path: str, message: Message, now: float) -> None:
        block = message.block(Option.BLOCK2)
        if block is None or not block.more:
            self._tell(Notified(number, response_of(message, message.payload)))
        elif number not in self._again.values() and len(self._waiting) < _QUEUE:
            self._again[self.ask(Asked(Method.GET, path), now)] = number

    def _respond(self, exchange: Exchange, message: Message, now: float) -> None:
        step = exchange.take(message)
        if exchange.asked.payload and step is not None and exchange.at > exchange.asked.offset:
            self._tell(Progressed(exchange.number, exchange.at))
        if step is None:
            self._end(Failed(exchange.number, "malformed"), now)
        elif isinstance(step, Response):
            observed = exchange.asked.observe and message.option(Option.OBSERVE) is not None
            if observed and step.is_success:
                self._observed[exchange.message.token] = (exchange.number, exchange.asked.path)
            self._end(Answered(exchange.number, step), now)
        elif exchange.asked.gives_way and self._waiting:
            self._begun[exchange.number] = (exchange, step)
            self._waiting[exchange.number] = exchange.asked
            self._open = None
            self._go_on(now)
        else:
            self._begin(exchange, step, now)

    # Messages that go out

    def _go_on(self, now: float) -> None:
        if self._open is not None or not self._waiting:
            return
        number, asked = self._waiting.popitem(last=False)
        if number in self._begun:
            exchange, following = self._begun.pop(number)
            self._open = exchange
            self._begin(exchange, following, now)
            return
        self._token = self._token & 0xFFFF0000 | self._token + 1 & 0xFFFF
        exchange = self._open = Exchange(number, asked, self._token.to_bytes(4, "big"))
        self._begin(exchange, exchange.first(), now)

    def _begin(self, exchange: Exchange, message: Message, now: float) -> None:
        self._id = self._id + 1 & 0xFFFF
        exchange.message = replace(message, id=self._id)
        exchange.repeated, exchange.is_acknowledged = 0, False
        self._send(exchange, now)

    def _send(self, exchange: Exchange, now: float) -> None:
        self._out += encode_frame(FrameKind.COAP, encode_message(exchange.message))
        exchange.due = now + self.timing.answer_s * (1 << exchange.repeated)

    def _reply(self, kind: MessageType, message_id: int) -> None:
        self._out += encode_frame(FrameKind.COAP, encode_message(Message(kind, Code.EMPTY, message_id)))

    def _patience_s(self) -> float:
        return self.timing.answer_s * float((1 << self.timing.repetitions + 1) - 1)

    def _end(self, event: Answered | Failed, now: float) -> None:
        self._open = None
        of = self._again.pop(event.number, None)
        if of is None:
            self._tell(event)
        elif isinstance(event, Answered) and any(of == number for number, _ in self._observed.values()):
            self._tell(Notified(of, event.response))
        self._go_on(now)

    def _tell(self, event: SessionEvent) -> None:
        if len(self._events) >= _MOST_EVENTS and isinstance(event, Said | Notified | Progressed):
            self.lost_events += 1  # whoever waits for an answer must have it
            return
        self._events.append(event)
