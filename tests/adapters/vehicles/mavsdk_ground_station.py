"""A ground station that others wrote: MAVSDK, in a process of its own, flies the vehicle and prints what it saw."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from mavsdk.component_type import ComponentType
from mavsdk.mavsdk import Configuration, Mavsdk
from mavsdk.plugins import action, mission_raw, param, telemetry


def main(url: str) -> None:
    sdk = Mavsdk(Configuration.create_with_component_type(ComponentType.GROUND_STATION))
    assert sdk.add_any_connection(url) == 0
    system = sdk.first_autopilot(10.0)
    seen: dict[str, Any] = {"found": system is not None}
    actions, parameters = action.Action(system), param.Param(system)
    seen["arm"] = int(actions.arm())
    seen["takeoff"] = int(actions.takeoff())
    seen["before"] = parameters.get_param_int("ANGLE_MAX")
    seen["set"] = int(parameters.set_param_int("ANGLE_MAX", 2222))
    seen["after"] = parameters.get_param_int("ANGLE_MAX")
    seen["float"] = parameters.get_param_float("BATT_LOW_VOLT")
    seen["listed"] = len(parameters.get_all_params().float_params)
    missions = mission_raw.MissionRaw(system)
    items = [
        mission_raw.MissionItem(at, 6, 16, int(at == 0), 1, 0, 0, 0, 0, 473_977_000, 85_456_000, 20.0, 0)
        for at in range(3)
    ]
    seen["upload"] = int(missions.upload_mission(items))
    seen["download"] = len(missions.download_mission())
    watched = telemetry.Telemetry(system)
    for _ in range(100):
        if watched.armed() and watched.position().relative_altitude_m > 0:
            break
        time.sleep(0.05)
    seen["armed"] = bool(watched.armed())
    seen["height_m"] = round(watched.position().relative_altitude_m, 1)
    seen["land"] = int(actions.land())
    print(json.dumps(seen), flush=True)  # noqa: T201 - to the test
    sdk.destroy()


if __name__ == "__main__":
    main(sys.argv[1])
