"""Frames and messages: the golden vectors that the firmware's tests read, round trips, and noise."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import aiocoap
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.coap_message import (
    Block,
    MalformedMessageError,
    Message,
    MessageType,
    decode_message,
    encode_message,
)
from firmware_bridge.slipmux import Deframer, Frame, FrameKind, encode_frame, fcs16

VECTORS: Final = Path(__file__).parents[2] / "firmware_bridge" / "vectors"
_MOST: Final = 700
_KNOWN: Final = 2100


def vectors(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text())


def named(entries: list[dict[str, Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("entry", entries, ids=[entry["name"] for entry in entries])


@named(vectors("slipmux")["frames"])
def test_frames_are_those_of_the_firmware(entry: dict[str, Any]) -> None:
    kind, content = FrameKind(entry["type"]), bytes.fromhex(entry["content"])
    assert encode_frame(kind, content).hex() == entry["frame"]
    assert Deframer(_MOST).feed(bytes.fromhex(entry["frame"])) == [Frame(kind, content)]


@named(vectors("slipmux")["streams"])
def test_streams_are_read_as_by_the_firmware_however_they_arrive(entry: dict[str, Any]) -> None:
    stream = bytes.fromhex(entry["stream"])
    for size in (1, 2, 3, len(stream)):
        deframer = Deframer(_MOST)
        frames = [
            frame
            for start in range(0, len(stream), size)
            for frame in deframer.feed(stream[start : start + size])
        ]
        assert [each.content.hex() for each in frames if each.kind is FrameKind.COAP] == entry["messages"]
        assert [each.content.hex() for each in frames if each.kind is FrameKind.TEXT] == entry["texts"]


@named(vectors("coap")["messages"])
def test_messages_are_those_of_the_firmware(entry: dict[str, Any]) -> None:
    message = decode_message(bytes.fromhex(entry["hex"]))
    assert [[number, value.hex()] for number, value in message.options] == entry["options"]
    assert (message.type, message.code, message.id) == (entry["type"], entry["code"], entry["id"])
    assert (message.token.hex(), message.payload.hex()) == (entry["token"], entry["payload"])
    assert encode_message(message).hex() == entry["hex"]


@named(vectors("coap")["refused"])
def test_what_the_firmware_refuses_is_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(MalformedMessageError):
        decode_message(bytes.fromhex(entry["hex"]))


_OPTIONS = st.lists(st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=300)), max_size=6)
_MESSAGES = st.builds(
    Message,
    st.sampled_from(MessageType),
    st.integers(1, 255),
    st.integers(0, 0xFFFF),
    st.binary(max_size=8),
    _OPTIONS.map(lambda options: tuple(sorted(options, key=lambda option: option[0]))),
    st.binary(max_size=80),
)


@given(_MESSAGES)
def test_a_message_comes_back_as_it_went(message: Message) -> None:
    assert decode_message(encode_message(message)) == message


@given(_MESSAGES)
def test_the_library_for_coap_reads_the_same_in_a_message(message: Message) -> None:
    # It reads the text of known options at once and stumbles over what is no UTF-8: only those that it does not know.
    message = replace(message, options=tuple(each for each in message.options if each[0] > _KNOWN))
    read = aiocoap.Message.decode(encode_message(message))
    assert (int(read.mtype), int(read.code), read.mid, read.token) == (
        message.type,
        message.code,
        message.id,
        message.token,
    )
    assert read.payload == message.payload


@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    try:
        message = decode_message(data)
    except MalformedMessageError:
        return
    assert decode_message(encode_message(message)) == message


@given(st.lists(st.tuples(st.sampled_from(FrameKind), st.binary(max_size=_MOST)), max_size=5), st.data())
def test_frames_come_back_as_they_went_however_they_arrive(
    frames: list[tuple[FrameKind, bytes]], data: st.DataObject
) -> None:
    stream, deframer, found = b"".join(encode_frame(*frame) for frame in frames), Deframer(_MOST), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += deframer.feed(stream[:size])
        stream = stream[size:]
    assert [(frame.kind, frame.content) for frame in found] == frames
    assert deframer.bad_frames == 0


@given(st.lists(st.binary(max_size=3000), max_size=6))
def test_noise_is_held_within_bounds_and_a_frame_behind_it_is_found(noise: list[bytes]) -> None:
    deframer = Deframer(_MOST)
    for piece in noise:
        deframer.feed(piece)
        assert len(deframer._body) <= 2 * 1024
    deframer.feed(b"\xc0")
    assert deframer.feed(encode_frame(FrameKind.COAP, b"ping")) == [Frame(FrameKind.COAP, b"ping")]


@given(st.binary(min_size=1, max_size=200), st.data())
def test_a_flipped_bit_never_passes(content: bytes, data: st.DataObject) -> None:
    frame = bytearray(encode_frame(FrameKind.COAP, content))
    place = data.draw(st.integers(1, len(frame) - 2))
    frame[place] ^= 1 << data.draw(st.integers(0, 7))
    for found in Deframer(_MOST).feed(bytes(frame)):
        assert found.kind is FrameKind.TEXT  # the type byte itself; text has no checksum


def test_the_check_sequence_is_that_of_the_standard() -> None:
    assert fcs16(b"123456789") == 0x906E  # CRC-16/X-25


def test_a_block_option_is_read_only_where_it_is_one() -> None:
    message = Message(
        MessageType.ACK, 0x45, 1, options=((23, Block(3, more=True, szx=5).encoded()), (27, b"\x07"))
    )
    assert message.block(23) == Block(3, more=True, szx=5)
    assert message.block(27) is None
    assert message.block(6) is None
