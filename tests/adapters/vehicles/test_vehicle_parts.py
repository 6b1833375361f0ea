"""The parts of the room that need no vehicle: codec, modes, values, links."""

from __future__ import annotations

import asyncio
import os
import struct
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pymavlink import mavutil
from pymavlink.dialects.v20 import common as mavlink

from edgehost.adapters.vehicles.mavlink_codec import LONGEST_FRAME, MavlinkCodec, key_of
from edgehost.adapters.vehicles.mavlink_links import is_link, open_link
from edgehost.adapters.vehicles.parameter_values import raw_value, value_of, wire_of, with_raw_value
from edgehost.adapters.vehicles.vehicle_modes import ARDUPILOT, PX4, mode_name, mode_params, modes_of
from edgehost.domain.errors import RefusedError
from tests.adapters.services.service_scenes import pty_line

HEARTBEAT = mavlink.MAVLink_heartbeat_message(2, 3, 128, 4, 4, 3)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=600), max_size=20), st.booleans())
def test_no_bytes_at_all_break_the_codec(pieces: list[bytes], whole: bool) -> None:
    codec = MavlinkCodec(255, 190)
    for piece in pieces:
        codec.fed(piece, whole=whole)
        assert len(codec._protocol.buf) <= LONGEST_FRAME
    codec.fed(bytes(LONGEST_FRAME), whole=True)
    (message,) = codec.fed(MavlinkCodec(1, 1).framed(HEARTBEAT), whole=True)
    assert message.custom_mode == 4


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 40))
def test_frames_come_together_however_a_stream_cuts_them(cut: int) -> None:
    sender, codec = MavlinkCodec(1, 1), MavlinkCodec(255, 190)
    stream = b"".join(sender.framed(HEARTBEAT) for _ in range(10))
    found = [m for at in range(0, len(stream), cut) for m in codec.fed(stream[at : at + cut], whole=False)]
    assert [m.get_seq() for m in found] == list(range(10))
    assert codec.bad == 0


def test_a_replayed_or_forged_frame_is_refused_and_leaves_no_mark() -> None:
    key = key_of("11" * 32)
    assert key == bytes.fromhex("11" * 32)
    vehicle, codec = MavlinkCodec(1, 1, key=key, unix_s=2e9), MavlinkCodec(255, 190, key=key, unix_s=2e9)
    forger = MavlinkCodec(1, 1, key=key_of("other"), unix_s=3e9)
    first = vehicle.framed(HEARTBEAT)
    assert codec.fed(forger.framed(HEARTBEAT), whole=True) == []
    assert codec._protocol.signing.stream_timestamps == {}
    assert len(codec.fed(first, whole=True)) == 1
    assert codec.fed(first, whole=True) == []
    assert codec.fed(MavlinkCodec(1, 1).framed(HEARTBEAT), whole=True) == []
    assert len(codec.fed(vehicle.framed(HEARTBEAT), whole=True)) == 1
    assert codec.bad == 3


def test_a_clock_at_1970_learns_the_time_of_signatures_from_the_vehicle() -> None:
    key = key_of("secret")
    vehicle, codec = MavlinkCodec(1, 1, key=key, unix_s=2e9), MavlinkCodec(255, 190, key=key, unix_s=5)
    assert len(codec.fed(vehicle.framed(HEARTBEAT), whole=True)) == 1
    assert len(vehicle.fed(codec.framed(HEARTBEAT), whole=True)) == 1


@pytest.mark.parametrize(
    ("vehicle", "theirs"),
    [(2, mavutil.mode_mapping_acm), (1, mavutil.mode_mapping_apm), (10, mavutil.mode_mapping_rover)],
)
def test_modes_are_those_that_pymavlink_knows(vehicle: int, theirs: dict[int, str]) -> None:
    ours = modes_of(ARDUPILOT, vehicle)
    assert ours.items() <= theirs.items()
    assert len(ours) > 8


def test_px4s_modes_are_those_that_pymavlink_knows() -> None:
    for name, (_, main, sub) in mavutil.px4_map.items():
        if name in set(modes_of(PX4, 2).values()):
            assert mode_params(PX4, 2, name) == (main, sub)
            assert mode_name(PX4, 2, main << 16 | sub << 24) == name


@given(st.integers(-(2**31), 2**31 - 1))
@example(-4_194_305)  # as a float: a signalling NaN, which no float of Python's keeps
def test_integers_travel_as_bytes_without_loss(value: int) -> None:
    wire = wire_of(value, 6, bytewise=True)
    message = with_raw_value(mavlink.MAVLink_param_set_message(1, 1, b"ABC", 0.0, 6), wire)
    (came,) = MavlinkCodec(1, 1).fed(MavlinkCodec(255, 190).framed(message), whole=True)
    assert value_of(raw_value(came), 6, bytewise=True) == value


def test_a_value_that_cannot_be_carried_exactly_is_refused() -> None:
    assert value_of(wire_of(16_777_216, 6, bytewise=False), 6, bytewise=False) == 16_777_216
    with pytest.raises(RefusedError, match="exactly"):
        wire_of(16_777_217, 6, bytewise=False)
    with pytest.raises(RefusedError, match="from 0 to 255"):
        wire_of(256, 1, bytewise=True)
    assert value_of(struct.pack("<f", float("nan")), 9, bytewise=False) is None
    assert value_of(wire_of(0.1, 9, bytewise=True), 9, bytewise=True) == 0.1


@pytest.mark.parametrize("url", ["udpin:0.0.0.0:14550", "tcp:[::1]:5760", "/dev/ttyACM0,57600"])
def test_links_are_known_by_their_urls(url: str) -> None:
    assert is_link(url)
    assert not is_link(f"{url}0000")


async def test_a_serial_line_carries_frames_both_ways() -> None:
    async with pty_line() as (device, path), open_link(f"{path},57600") as link:
        frame = MavlinkCodec(1, 1).framed(HEARTBEAT)
        os.write(device, frame)
        received = b""
        async with asyncio.timeout(30):
            while len(received) < len(frame):
                received += (await link.received())[0]
        assert received == frame
        assert link.send(frame)
        assert await asyncio.to_thread(os.read, device, 100) == frame


async def test_a_line_that_is_not_there_is_an_error_that_can_be_tried_again(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="ttyNONE"):
        async with open_link(f"{tmp_path}/ttyNONE,57600"):
            pass


async def test_a_stream_ends_with_words_and_holds_back_a_fast_sender() -> None:
    connected = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes(1_000_000))
        connected.set()
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        tcp_port = server.sockets[0].getsockname()[1]
        async with open_link(f"tcp:127.0.0.1:{tcp_port}") as link:
            await connected.wait()
            total = 0
            while total < 1_000_000:
                total += len((await link.received())[0])
            with pytest.raises(ConnectionError, match="closed the connection"):
                await link.received()
            assert (total, link.dropped) == (1_000_000, 0)
