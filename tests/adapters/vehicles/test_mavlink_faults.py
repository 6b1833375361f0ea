"""The service ``mavlink`` on bad days: silence, strangers, garbage, floods, too many callers."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from pathlib import Path

import pytest
from pymavlink.dialects.v20 import common as mavlink

from edgehost.adapters.vehicles.mavlink_codec import key_of
from edgehost.adapters.vehicles.mavlink_service import open_mavlink_service
from edgehost.config_services import MavlinkOptions
from edgehost.domain.errors import BusyError, InvalidConfigError, UnavailableError
from tests.adapters.services.service_scenes import Told
from tests.adapters.vehicles.mavlink_scene import scene
from tests.adapters.vehicles.software_vehicle import flying


async def test_a_vehicle_that_falls_silent_is_lost_and_found_again() -> None:
    async with scene(silent_s=1.0) as drone:
        drone.vehicle.faults.silent = True
        (lost,) = await drone.told.wait_for("edgehost.vehicle.lost")
        assert lost["heard_s"] >= 1.0
        known = await drone.call("telemetry")
        assert known["present"] is False
        assert known["heard_s"] >= 1.0
        assert known["position"]["latitude_deg"] == 47.3977
        assert drone.service.health().state == "warning"
        with pytest.raises(UnavailableError, match="not heard"):
            await drone.call("arm")
        drone.vehicle.faults.silent = False
        found = await drone.told.wait_for("edgehost.vehicle.found", count=2)
        assert found[1]["again"] is True


async def test_a_stranger_cannot_speak_for_a_vehicle_that_is_there() -> None:
    async with scene() as drone:
        link = drone.service._link
        assert link is not None
        port = int(drone.service._options.url.rpartition(":")[2])
        async with flying(port, system_id=1) as stranger:
            stranger.armed = True
            stranger.beat()
            before = link.dropped
            async with asyncio.timeout(30):
                while link.dropped < before + 6:
                    await asyncio.sleep(0.01)
            assert (await drone.call("telemetry"))["armed"] is False


async def test_garbage_and_broken_frames_are_counted_and_change_nothing() -> None:
    chance = random.Random(5)  # noqa: S311 - noise that is the same each time
    async with scene() as drone:
        frame = drone.vehicle.codec.framed(mavlink.MAVLink_heartbeat_message(2, 3, 128, 0, 4, 3))
        for _ in range(300):
            broken = bytearray(frame)
            broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
            drone.vehicle.raw(bytes(broken))
            drone.vehicle.raw(chance.randbytes(chance.randrange(1, 400)))
            await asyncio.sleep(0)
        drone.vehicle.raw(b"\xfd" * 60_000)
        drone.vehicle.raw(frame[:-3])
        assert await drone.call("arm") == {"result": "accepted", "confirmed": True}
        assert drone.service._codec.bad > 200
        assert len(drone.service._codec._protocol.buf) <= 280


async def test_a_flood_neither_stops_the_host_nor_fills_its_memory() -> None:
    async with scene() as drone:
        for number in range(3000):
            drone.vehicle.say(mavlink.MAVLink_statustext_message(6, b"flood", 0, 0))
            drone.vehicle.armed = bool(number % 2)
            if number % 50 == 0:
                await asyncio.sleep(0)
        drone.vehicle.armed = False
        assert (await drone.call("telemetry"))["present"] is True
        texts = [data for name, data in drone.told.facts if name == "edgehost.vehicle.text"]
        assert len(texts) < 100
        assert len((await drone.call("telemetry"))["texts"]) <= 8


async def test_too_many_callers_are_turned_away() -> None:
    async with scene() as drone:
        drone.vehicle.faults.unanswered = {"COMMAND_LONG": 1000}
        calls = [asyncio.create_task(drone.call("rtl", timeout_s=0.3)) for _ in range(8)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match="8 calls"):
            await drone.call("rtl")
        await asyncio.wait(calls)
        assert all(isinstance(call.exception(), UnavailableError) for call in calls)
        assert drone.service._exchange._turns == {}


async def test_a_landing_waits_neither_for_a_list_nor_for_an_order_in_progress() -> None:
    async with scene(silent_s=1.0) as drone:
        drone.vehicle.faults.unanswered = {"PARAM_REQUEST_LIST": 1000}
        drone.vehicle.faults.progress = {20: (5,)}
        drone.vehicle.faults.results = {20: mavlink.MAV_RESULT_IN_PROGRESS}
        slow = [asyncio.create_task(drone.call(name)) for name in ("parameters", "rtl")]
        await drone.told.wait_for("edgehost.vehicle.progress")
        assert await drone.call("land", timeout_s=2) == {"result": "accepted"}
        assert not slow[1].done()
        drone.vehicle.faults.silent = True
        await asyncio.wait(slow)
        with pytest.raises(UnavailableError, match="was lost before it had answered"):
            await slow[1]
        slow[0].exception()


async def test_signed_frames_are_taken_and_others_refused(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("correct horse\n")
    async with scene(vehicle_key=key_of("correct horse"), signing_key_file=secret) as drone:
        await drone.told.wait_for("edgehost.vehicle.found")
        assert await drone.call("arm") == {"result": "accepted", "confirmed": True}
        assert drone.vehicle.codec.bad == 0
    async with scene(vehicle_key=key_of("wrong"), signing_key_file=secret) as drone:
        async with asyncio.timeout(30):
            while drone.service._codec.bad < 10:
                await asyncio.sleep(0.01)
        assert (await drone.call("telemetry")) == {"vehicle": "drone", "present": False}


async def test_a_configuration_that_makes_no_sense_is_refused_at_the_start() -> None:
    options = MavlinkOptions(url="udpin:127.0.0.1:99999")
    with pytest.raises(InvalidConfigError, match="no link"):
        async with open_mavlink_service("drone", options, Told()):
            pass
    options = replace(options, url="udpin:127.0.0.1:1", commands=("MAV_CMD_FLY_TO_THE_MOON",))
    with pytest.raises(InvalidConfigError, match="MOON"):
        async with open_mavlink_service("drone", options, Told()):
            pass
