"""The service ``mavlink``: what it tells of a vehicle, and the orders that it gives."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pymavlink.dialects.v20 import common as mavlink

from edgehost.domain.errors import NotGrantedError, RefusedError, UnavailableError
from tests.adapters.vehicles.mavlink_scene import NEAR, scene
from tests.adapters.vehicles.software_vehicle import PX4


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
