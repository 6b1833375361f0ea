"""A session against a device of a few lines, over a line that loses, repeats and spoils; time is a number."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgehost.domain.errors import BusyError
from firmware_bridge.coap_exchange import MOST_ANSWER_BYTES, Asked, Response
from firmware_bridge.coap_message import (
    Block,
    Code,
    Message,
    MessageType,
    Method,
    Option,
    decode_message,
    encode_message,
)
from firmware_bridge.coap_session import Answered, CoapSession, Failed, Notified, Progressed, Said, Timing
from firmware_bridge.slipmux import Deframer, FrameKind, encode_frame


@dataclass
class Toy:
    """A device that keeps what is put, and tells it in blocks of 64 bytes."""

    kept: bytes = b""
    spoil: Callable[[bytes], bytes] = lambda data: data
    seen: list[Message] = field(default_factory=list)
    last: tuple[int, bytes, Message | None] = (-1, b"", None)
    _deframer: Deframer = field(default_factory=lambda: Deframer(700))

    def answer(self, data: bytes) -> bytes:
        out = b""
        for frame in self._deframer.feed(self.spoil(data)):
            asked = decode_message(frame.content)
            self.seen.append(asked)
            if self.last[:2] != (asked.id, asked.token):
                self.last = (asked.id, asked.token, self._answer(asked))
            if self.last[2] is not None:
                out += encode_frame(FrameKind.COAP, encode_message(self.last[2]))
        return self.spoil(out) if out else b""

    def _answer(self, asked: Message) -> Message | None:
        if asked.code == Code.EMPTY:
            return Message(MessageType.RST, 0, asked.id) if asked.type is MessageType.CON else None
        if asked.code == Method.PUT:
            block = asked.block(Option.BLOCK1)
            if block is None:
                self.kept = asked.payload
                return self._ack(asked, Code.CHANGED)
            if block.offset > len(self.kept):
                return self._ack(asked, Code.INCOMPLETE)
            self.kept = self.kept[: block.offset] + asked.payload
            return self._ack(
                asked, Code.CONTINUE if block.more else Code.CHANGED, (Option.BLOCK1, block.encoded())
            )
        block = asked.block(Option.BLOCK2) or Block(0, more=False, szx=2)
        part = self.kept[block.offset : block.offset + block.size]
        options: list[tuple[int, bytes]] = []
        if asked.option(Option.OBSERVE) is not None:
            options.append((Option.OBSERVE, b""))
        if len(self.kept) > block.size:
            more = block.offset + block.size < len(self.kept)
            options.append((Option.BLOCK2, Block(block.number, more, block.szx).encoded()))
        return self._ack(asked, Code.CONTENT, *options, payload=part)

    @staticmethod
    def _ack(asked: Message, code: int, *options: tuple[int, bytes], payload: bytes = b"") -> Message:
        return Message(MessageType.ACK, code, asked.id, asked.token, options, payload)

    def notify(self, token: bytes, number: int, payload: bytes, *options: tuple[int, bytes]) -> bytes:
        message = Message(
            MessageType.NON,
            Code.CONTENT,
            number,
            token,
            ((Option.OBSERVE, bytes([number & 0xFF])), *options),
            payload,
        )
        return encode_frame(FrameKind.COAP, encode_message(message))


@dataclass
class Line:
    """Carries what both say, as long as there is something, and lets time pass when there is not."""

    session: CoapSession
    toy: Toy
    now: float = 0.0
    events: list[object] = field(default_factory=list)

    def settle(self) -> list[object]:
        for _ in range(5000):
            out = self.session.take_bytes()
            if out:
                self.session.receive(self.toy.answer(out), self.now)
            elif (due := self.session.due()) is not None:
                self.now = max(self.now, due)
                self.session.tick(self.now)
            else:
                break
            self.events += self.session.take_events()
        else:
            raise AssertionError("it never ends")
        self.events += self.session.take_events()
        found, self.events = self.events, []
        return found

    def ask(self, asked: Asked) -> Response:
        number = self.session.ask(asked, self.now)
        (answer,) = [each for each in self.settle() if isinstance(each, Answered) and each.number == number]
        return answer.response


def line(toy: Toy | None = None, **more: Any) -> Line:
    return Line(CoapSession(0x12345678, **more), toy or Toy())


def put(body: bytes, **more: Any) -> Asked:
    return Asked(Method.PUT, "slot/image", body, **more)


def test_a_body_goes_in_blocks_and_comes_back_in_others() -> None:
    there, body = line(), bytes(range(256)) * 5
    number = there.session.ask(put(body, block_bytes=512), 0.0)
    events = there.settle()
    assert [event.done for event in events if isinstance(event, Progressed)] == [512, 1024, 1280]
    assert events[-1] == Answered(number, Response(Code.CHANGED))
    assert there.toy.kept == body
    assert there.ask(Asked(Method.GET, "log")).payload == body


def test_a_body_goes_on_from_where_the_device_is() -> None:
    there, body = line(Toy(kept=bytes(512))), bytes(512) + b"rest" * 100
    assert there.ask(put(body, offset=512, block_bytes=128)).code == Code.CHANGED
    assert there.toy.kept == body
    assert there.toy.seen[0].block(Option.BLOCK1) == Block(4, more=True, szx=3)


def test_a_gap_is_an_answer() -> None:
    assert line().ask(put(bytes(2000), offset=1024, block_bytes=512)).code == Code.INCOMPLETE


def test_a_device_that_wants_smaller_blocks_gets_them() -> None:
    class Smaller(Toy):
        def _answer(self, asked: Message) -> Message | None:
            answer = super()._answer(asked)
            if answer is None or answer.code != Code.CONTINUE:
                return answer
            block = asked.block(Option.BLOCK1)
            assert block is not None
            return self._ack(asked, Code.CONTINUE, (Option.BLOCK1, Block(0, more=True, szx=2).encoded()))

    there, body = line(Smaller()), bytes(range(200)) * 3
    assert there.ask(put(body, block_bytes=256)).code == Code.CHANGED
    assert there.toy.kept == body
    assert len(there.toy.seen[-1].payload) <= 64


def test_silence_is_told_after_so_many_repetitions() -> None:
    there = Line(CoapSession(1, timing=Timing(answer_s=1.0, repetitions=4)), Toy(spoil=lambda _data: b""))
    number = there.session.ask(Asked(Method.GET, "id"), 0.0)
    assert there.settle() == [Failed(number, "silence")]
    assert there.now == 31.0
    assert there.toy.seen == []


def test_requests_go_one_after_the_other_and_their_number_is_bounded() -> None:
    there = line()
    numbers = [there.session.ask(put(bytes([index])), 0.0) for index in range(17)]
    with pytest.raises(BusyError):
        there.session.ask(put(b""), 0.0)
    assert len(Deframer(700).feed(there.session.take_bytes() + b"")) == 1
    there.session.tick(1.0)  # what was taken above is lost: it is repeated
    answered = [event.number for event in there.settle() if isinstance(event, Answered)]
    assert answered == numbers


def test_a_request_that_is_dropped_makes_room_for_the_next() -> None:
    there = line()
    first = there.session.ask(Asked(Method.GET, "log"), 0.0)
    second = there.session.ask(Asked(Method.GET, "id"), 0.0)
    there.session.drop(first, 0.0)
    assert [event.number for event in there.settle() if isinstance(event, Answered)] == [second]


def test_observations_are_told_under_their_number_until_they_are_dropped() -> None:
    there = line()
    number = there.session.observe("tel", 0.0)
    there.settle()
    token = there.toy.seen[-1].token
    there.session.receive(there.toy.notify(token, 7, b"one"), 1.0)
    there.session.receive(there.toy.notify(token, 7, b"one"), 1.0)  # the same once more
    there.session.receive(there.toy.notify(token, 8, b"two"), 1.0)
    assert there.settle() == [
        Notified(number, Response(Code.CONTENT, b"one")),
        Notified(number, Response(Code.CONTENT, b"two")),
    ]
    there.session.drop(number, 2.0)
    there.session.receive(there.toy.notify(token, 9, b"three"), 2.0)
    assert there.settle() == []
    assert there.toy.seen[-1].type is MessageType.RST  # which ends it at the device


def test_a_notification_of_several_blocks_is_fetched_whole() -> None:
    there = line()
    number = there.session.observe("tel", 0.0)
    there.settle()
    token = there.toy.seen[-1].token
    there.toy.kept = bytes(150)
    first = Block(0, more=True, szx=2).encoded()
    there.session.receive(there.toy.notify(token, 9, bytes(64), (Option.BLOCK2, first)), 1.0)
    assert there.settle() == [Notified(number, Response(Code.CONTENT, bytes(150)))]


def test_a_ping_is_answered_by_a_reset() -> None:
    there = line()
    number = there.session.ping(0.0)
    assert there.settle() == [Answered(number, Response(Code.EMPTY))]


def test_an_answer_that_comes_by_itself_is_waited_for() -> None:
    there = line()
    number = there.session.ask(Asked(Method.POST, "call/a/b"), 0.0)
    (frame,) = Deframer(700).feed(there.session.take_bytes())
    asked = decode_message(frame.content)
    there.session.receive(
        encode_frame(FrameKind.COAP, encode_message(Message(MessageType.ACK, 0, asked.id))), 0.1
    )
    separate = Message(MessageType.CON, Code.CHANGED, 77, asked.token, payload=b"late")
    there.session.receive(encode_frame(FrameKind.COAP, encode_message(separate)), 5.0)
    assert there.session.take_events() == [Answered(number, Response(Code.CHANGED, b"late"))]
    (acknowledged,) = Deframer(700).feed(there.session.take_bytes())
    assert decode_message(acknowledged.content) == Message(MessageType.ACK, 0, 77)


def test_an_answer_without_end_is_given_up() -> None:
    class Endless(Toy):
        def _answer(self, asked: Message) -> Message | None:
            block = asked.block(Option.BLOCK2) or Block(0, more=True, szx=6)
            following = Block(block.number, more=True, szx=6).encoded()
            return self._ack(asked, Code.CONTENT, (Option.BLOCK2, following), payload=bytes(1024))

    there = line(Endless(), block_bytes=1024)
    number = there.session.ask(Asked(Method.GET, "log"), 0.0)
    assert there.settle()[-1] == Failed(number, "malformed")
    assert len(there.toy.seen) == MOST_ANSWER_BYTES // 1024 + 1


def test_text_and_strangers_do_not_disturb() -> None:
    there = line()
    there.session.receive(encode_frame(FrameKind.TEXT, b"lamp on\xff"), 0.0)
    assert there.session.take_events() == [Said("lamp on\ufffd")]
    there.session.receive(encode_frame(FrameKind.COAP, b"\x00"), 0.0)
    assert there.session.bad_frames == 1
    there.session.receive(there.toy.notify(b"who", 3, b"?"), 0.0)
    there.settle()
    assert (there.toy.seen[-1].type, there.toy.seen[-1].id) == (MessageType.RST, 3)


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.binary(min_size=1, max_size=900))
def test_a_line_that_loses_and_repeats_changes_nothing(seed: int, body: bytes) -> None:
    chance = random.Random(seed)  # noqa: S311 - a line's luck

    def spoil(data: bytes) -> bytes:
        fate = chance.random()
        return (
            b"" if fate < 0.3 else data + data if fate < 0.5 else data[:-3] + b"\xc0" if fate < 0.6 else data
        )

    there = Line(CoapSession(9, timing=Timing(repetitions=40)), Toy(spoil=spoil))
    assert there.ask(put(body, block_bytes=64)).code == Code.CHANGED
    assert there.toy.kept == body
    assert there.ask(Asked(Method.GET, "log")).payload == body


@given(st.lists(st.binary(max_size=80), max_size=20))
def test_no_bytes_break_a_session(pieces: list[bytes]) -> None:
    session = CoapSession(3)
    session.ask(Asked(Method.GET, "id"), 0.0)
    for piece in pieces:
        session.receive(piece, 0.0)
        session.receive(encode_frame(FrameKind.COAP, piece), 0.0)
    session.take_events()
    session.take_bytes()


def test_others_go_between_the_blocks_of_a_transfer_that_gives_way() -> None:
    there, body = line(), bytes(range(256)) * 4
    long = there.session.ask(put(body, block_bytes=128, gives_way=True), 0.0)
    short = there.session.ask(Asked(Method.GET, "id"), 0.0)
    answered = [event.number for event in there.settle() if isinstance(event, Answered)]
    assert answered == [short, long]
    assert there.toy.kept == body
    dropped = there.session.ask(put(body, block_bytes=128, gives_way=True), 0.0)
    other = there.session.ask(Asked(Method.GET, "id"), 0.0)
    there.session.receive(there.toy.answer(there.session.take_bytes()), 0.0)
    there.session.drop(dropped, 0.0)
    assert [event.number for event in there.settle() if isinstance(event, Answered)] == [other]
