"""The service ``mavlink`` against a software vehicle of ours, on good days and bad ones."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from pymavlink.dialects.v20 import common as mavlink

from edgehost.adapters.broker.free_port import free_port
from edgehost.adapters.vehicles.mavlink_codec import key_of
from edgehost.adapters.vehicles.mavlink_service import MavlinkService, open_mavlink_service
from edgehost.config_services import MavlinkOptions
from edgehost.domain.errors import (
    BusyError,
    InvalidConfigError,
    NotFoundError,
    NotGrantedError,
    RefusedError,
    UnavailableError,
)
from tests.adapters.services.service_scenes import Told
from tests.adapters.vehicles.software_vehicle import COPTER, PX4, SoftwareVehicle, flying

ALL = (
    "arm", "disarm", "force_arm", "force_disarm", "mode", "takeoff", "land", "rtl", "goto", "set_parameter",
    "set_mission", "clear_mission", "start_mission",
)  # fmt: skip
NEAR = {"latitude_deg": 47.3985, "longitude_deg": 8.5456}


@dataclass
class Scene:
    service: MavlinkService
    vehicle: SoftwareVehicle
    told: Told

    async def call(self, function: str, timeout_s: float = 10, **given: Any) -> Any:
        return await self.service.call(function, given, timeout_s=timeout_s)

    async def complete(self) -> None:
        """Once the vehicle has told all that it tells by itself."""
        async with asyncio.timeout(30):
            while {"landed", "version"} - set(await self.call("telemetry")):
                await asyncio.sleep(0.01)


@asynccontextmanager
async def scene(
    autopilot: int = COPTER, *, vehicle_key: bytes | None = None, beat_s: float = 0.05, **options: Any
) -> AsyncIterator[Scene]:
    udp_port, told = free_port(), Told()
    defaults: dict[str, Any] = {"commands": ALL, "telemetry_s": 0.1, "silent_s": 10.0} | options
    given = MavlinkOptions(url=f"udpin:127.0.0.1:{udp_port}", **defaults)
    async with open_mavlink_service("drone", given, told) as service:
        assert isinstance(service, MavlinkService)
        service._exchange.answer_s = 0.3
        async with flying(udp_port, autopilot, beat_s=beat_s, key=vehicle_key) as vehicle:
            made = Scene(service, vehicle, told)
            if vehicle_key is None:
                await told.wait_for("edgehost.vehicle.found")
                await made.complete()
            yield made


async def test_telemetry_is_one_snapshot_in_units_that_people_use() -> None:
    async with scene() as drone:
        known = await drone.call("telemetry")
        assert known["vehicle"] == "drone"
        assert known["present"] is True
        assert known["heard_s"] < 10
        assert (known["autopilot"], known["type"], known["state"]) == ("ardupilot", "quadrotor", "standby")
        assert (known["armed"], known["mode"], known["landed"]) == (False, "STABILIZE", "on-ground")
        assert known["position"] == {
            "latitude_deg": 47.3977,
            "longitude_deg": 8.5456,
            "altitude_m": 488.0,
            "relative_altitude_m": 0.0,
            "north_m_s": 0.0,
            "east_m_s": 0.0,
            "down_m_s": 0.0,
            "heading_deg": 90.0,
        }
        assert known["attitude"] == {"roll_deg": 1.5, "pitch_deg": -2.0, "yaw_deg": 57.3}
        assert known["battery"] == {"voltage_v": 12.3, "current_a": 2.5, "remaining_percent": 87}
        assert known["gps"] == {"fix": "3d", "satellites": 14, "hdop": 0.9}
        assert drone.service.health().state == "ok"


async def test_a_heartbeat_of_ours_goes_out_once_a_second() -> None:
    async with scene() as drone:
        beats = await drone.vehicle.until("HEARTBEAT", 2)
        assert (beats[0].type, beats[0].autopilot) == (mavlink.MAV_TYPE_GCS, mavlink.MAV_AUTOPILOT_INVALID)
        assert (beats[0].get_srcSystem(), beats[0].get_srcComponent()) == (255, 190)


async def test_arming_and_taking_off_are_confirmed_by_the_vehicle_itself() -> None:
    async with scene() as drone:
        assert await drone.call("arm") == {"result": "accepted", "confirmed": True}
        await drone.told.wait_for("edgehost.vehicle.armed")
        assert await drone.call("mode", mode="guided") == {"result": "accepted", "confirmed": True}
        assert await drone.call("takeoff", altitude_m=12) == {"result": "accepted"}
        (landed,) = await drone.told.wait_for("edgehost.vehicle.landed")
        assert landed == {"vehicle": "drone", "landed": "in-air", "before": "on-ground"}
        assert drone.vehicle.height_m == 12
        assert await drone.call("goto", **NEAR, altitude_m=30, speed_m_s=5) == {"result": "accepted"}
        assert drone.vehicle.latitude == NEAR["latitude_deg"]
        assert drone.vehicle.height_m == pytest.approx(30)
        await drone.call("land")
        await drone.told.wait_for("edgehost.vehicle.landed", count=2)
        assert await drone.call("disarm") == {"result": "accepted", "confirmed": True}
        await drone.told.wait_for("edgehost.vehicle.disarmed")


async def test_px4_gets_its_modes_and_its_altitudes_above_the_sea() -> None:
    async with scene(PX4) as drone:
        await drone.call("arm")
        assert await drone.call("mode", mode="RTL") == {"result": "accepted", "confirmed": True}
        await drone.call("takeoff", altitude_m=10)
        assert drone.vehicle.height_m == pytest.approx(10)


async def test_nothing_that_moves_a_vehicle_is_allowed_unless_it_is_named() -> None:
    async with scene(commands=()) as drone:
        sent = len(await drone.vehicle.until("COMMAND_LONG"))
        orders: dict[str, dict[str, Any]] = {
            "arm": {},
            "disarm": {"force": True},
            "mode": {"mode": "RTL"},
            "takeoff": {"altitude_m": 5},
            "land": {},
            "rtl": {},
            "goto": {**NEAR, "altitude_m": 5},
            "start_mission": {},
            "set_mission": {"items": [{**NEAR, "altitude_m": 5}]},
            "clear_mission": {},
            "set_parameter": {"name": "ANGLE_MAX", "value": 1},
            "command": {"command": "MAV_CMD_DO_SET_SERVO"},
        }
        for function, given in orders.items():
            with pytest.raises(NotGrantedError, match="does not let"):
                await drone.call(function, **given)
        assert (await drone.call("parameter", name="ANGLE_MAX"))["value"] == 3000
        heard = {each.command for each in await drone.vehicle.until("COMMAND_LONG", sent)}
        assert heard <= {mavlink.MAV_CMD_SET_MESSAGE_INTERVAL, mavlink.MAV_CMD_REQUEST_MESSAGE}


async def test_a_raw_command_goes_as_it_is_given_null_being_no_number() -> None:
    async with scene(commands=("MAV_CMD_DO_REPOSITION", "MAV_CMD_NAV_LAND")) as drone:
        params = [-1, 1, None, None, 47.3985, 8.5456, 500]
        await drone.call("command", command="MAV_CMD_DO_REPOSITION", params=params, frame=0)
        (sent,) = await drone.vehicle.until("COMMAND_INT")
        assert (sent.x, sent.y, sent.z) == (473_985_000, 85_456_000, 500)
        assert math.isnan(sent.param4)
        await drone.call("command", command="MAV_CMD_NAV_LAND", params=[0, 0, 0, None, None, None], frame=0)
        assert (await drone.vehicle.until("COMMAND_INT", 2))[1].x == 2**31 - 1


async def test_force_is_a_permission_of_its_own() -> None:
    async with scene(commands=("arm",)) as drone:
        with pytest.raises(NotGrantedError, match="force_arm"):
            await drone.call("arm", force=True)


@pytest.mark.parametrize(
    ("function", "given", "what"),
    [
        ("takeoff", {"altitude_m": 121}, "altitude_m"),
        ("takeoff", {"altitude_m": float("nan")}, "altitude_m"),
        ("goto", {"latitude_deg": 48.4, "longitude_deg": 8.5, "altitude_m": 10}, "111.* allows 1000 m"),
        ("goto", {"latitude_deg": 91, "longitude_deg": 8.5, "altitude_m": 10}, "latitude_deg"),
        ("mode", {"mode": "WARP"}, "no mode WARP"),
        ("command", {"command": "MAV_CMD_NONE_SUCH"}, "no MAV_CMD"),
        ("command", {"command": "MAV_CMD_DO_SET_SERVO", "params": [1] * 8}, "up to 7"),
        ("set_mission", {"items": []}, "1 to 500"),
        ("set_mission", {"items": [{"latitude_deg": 1, "longitude_deg": 1}]}, "allows 1000 m"),
        ("set_mission", {"items": [{"command": "MAV_CMD_DO_SET_SERVO"}]}, "MAV_CMD_DO_SET_SERVO"),
        ("set_mission", {"items": [{**NEAR, "frame": 0}]}, "above home"),
        ("command", {"command": "MAV_CMD_DO_SET_SERVO", "params": [1e39]}, "four bytes"),
        ("parameter", {"name": "A" * 17}, "longer"),
        ("parameter", {"name": "é"}, "ASCII"),
        ("set_parameter", {"name": "ANGLE_MAX", "value": 1.5}, "no whole number"),
    ],
)
async def test_what_is_out_of_bounds_never_reaches_the_vehicle(
    function: str, given: dict[str, Any], what: str
) -> None:
    async with scene() as drone:
        with pytest.raises(RefusedError, match=what):
            await drone.call(function, **given)


async def test_a_lost_acknowledgement_is_made_up_for_by_another_try() -> None:
    async with scene() as drone:
        drone.vehicle.faults.unanswered = {"COMMAND_LONG": 2}
        await drone.call("arm")
        orders = [each for each in drone.vehicle.heard if getattr(each, "command", 0) == 400]
        assert [each.confirmation for each in orders][:3] == [0, 1, 2]


async def test_a_vehicle_that_never_answers_is_given_up_with_words() -> None:
    async with scene() as drone:
        drone.vehicle.faults.unanswered = {"COMMAND_LONG": 99}
        with pytest.raises(UnavailableError, match="MAV_CMD_COMPONENT_ARM_DISARM in 4 tries"):
            await drone.call("arm")


@pytest.mark.parametrize(
    ("result", "kind", "words"),
    [
        (1, UnavailableError, "rejected it for now"),
        (2, RefusedError, "denied"),
        (3, RefusedError, "does not know"),
        (4, RefusedError, "failed"),
        (77, RefusedError, "answered 77"),
    ],
)
async def test_a_refusal_says_why_in_words(result: int, kind: type[Exception], words: str) -> None:
    async with scene() as drone:
        drone.vehicle.text("PreArm: Hardware safety switch")
        await drone.told.wait_for("edgehost.vehicle.text")
        drone.vehicle.faults.results = {400: result}
        with pytest.raises(kind, match=words) as caught:
            await drone.call("arm")
        assert "Hardware safety switch" in str(caught.value.hint)  # type: ignore[attr-defined]


async def test_progress_is_told_and_waited_for() -> None:
    async with scene() as drone:
        drone.vehicle.faults.progress = {20: (10, 60)}
        assert await drone.call("rtl") == {"result": "accepted"}
        told = await drone.told.wait_for("edgehost.vehicle.progress", count=2)
        assert [each["percent"] for each in told] == [10, 60]


async def test_a_long_text_comes_together_from_its_pieces() -> None:
    async with scene() as drone:
        said = "EKF variance: " + "compass and position disagree, " * 3
        drone.vehicle.text(said.strip())
        (told,) = await drone.told.wait_for("edgehost.vehicle.text")
        assert told == {"vehicle": "drone", "severity": "critical", "text": said.strip()}
        assert (await drone.call("telemetry"))["texts"][-1]["text"] == said.strip()


@pytest.mark.parametrize("autopilot", [COPTER, PX4])
async def test_parameters_are_listed_written_and_read_back(autopilot: int) -> None:
    async with scene(autopilot) as drone:
        drone.vehicle.faults.holes = frozenset({0, 5, 61})
        listed = await drone.call("parameters")
        assert listed["count"] == len(listed["parameters"]) == 62
        assert listed["parameters"]["ANGLE_MAX"] == 3000
        assert listed["parameters"]["BATT_LOW_VOLT"] == 10.5
        assert set((await drone.call("parameters", prefix="SYSID"))["parameters"]) == {"SYSID_THISMAV"}
        drone.vehicle.faults.unanswered = {"PARAM_SET": 1}
        written = await drone.call("set_parameter", name="ANGLE_MAX", value=2500)
        assert written == {"name": "ANGLE_MAX", "value": 2500, "before": 3000}
        assert drone.vehicle.parameters["ANGLE_MAX"][0] == 2500
        assert (await drone.call("set_parameter", name="BATT_LOW_VOLT", value=10.1))["value"] == 10.1
        assert (await drone.call("set_parameter", name="ANGLE_MAX", value=-4_194_305))["value"] == -4_194_305


async def test_a_vehicle_that_keeps_another_value_is_found_out() -> None:
    async with scene() as drone:
        drone.vehicle.faults.clamp = {"ANGLE_MAX": 8000}
        with pytest.raises(RefusedError, match="kept 8000 in ANGLE_MAX instead of 9000"):
            await drone.call("set_parameter", name="ANGLE_MAX", value=9000)
        with pytest.raises(NotFoundError, match="no parameter NONE_SUCH"):
            await drone.call("parameter", name="NONE_SUCH")


@pytest.mark.parametrize("autopilot", [COPTER, PX4])
async def test_a_mission_goes_up_comes_back_and_is_forgotten(autopilot: int) -> None:
    items = [
        {"command": "MAV_CMD_NAV_TAKEOFF", "altitude_m": 10},
        {**NEAR, "altitude_m": 20, "params": [2]},
        {"command": "MAV_CMD_NAV_RETURN_TO_LAUNCH"},
    ]
    async with scene(autopilot) as drone:
        drone.vehicle.faults.unanswered = {"MISSION_ITEM_INT": 1, "MISSION_COUNT": 1}
        assert await drone.call("set_mission", items=items) == {"result": "accepted", "items": 3}
        back = (await drone.call("mission"))["items"]
        assert [each["command"] for each in back] == [
            "MAV_CMD_NAV_TAKEOFF",
            "MAV_CMD_NAV_WAYPOINT",
            "MAV_CMD_NAV_RETURN_TO_LAUNCH",
        ]
        assert back[1] | NEAR == back[1]
        assert (back[1]["altitude_m"], back[1]["params"]) == (20, [2, 0, 0, 0])
        assert (await drone.call("set_mission", items=back))["items"] == 3
        assert (await drone.call("mission"))["items"] == back
        await drone.call("start_mission")
        await drone.call("clear_mission")
        assert (await drone.call("mission"))["items"] == []


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
    chance = random.Random(5)  # noqa: S311 - a seed
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
