"""What the service ``mavlink`` writes into a vehicle and reads back: parameters and missions."""

from __future__ import annotations

import pytest

from edgehost.domain.errors import NotFoundError, RefusedError
from tests.adapters.vehicles.mavlink_scene import NEAR, scene
from tests.adapters.vehicles.software_vehicle import COPTER, PX4


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
