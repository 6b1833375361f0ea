"""A vehicle that others wrote: MAVSDK's autopilot server, in a process of its own. Lines on stdin and stdout.

It keeps MAVSDK's side of the protocol: heartbeats, commands and their acknowledgements, parameters, missions,
telemetry. That it flies is pretended here: a takeoff moves the altitude that it publishes.
"""

from __future__ import annotations

import sys
import threading

from mavsdk.component_type import ComponentType
from mavsdk.mavsdk import Configuration, Mavsdk
from mavsdk.plugins import action_server, mission_raw_server, param_server, telemetry_server

BERLIN = (52.52, 13.405, 34.0)


def main(url: str) -> None:
    sdk = Mavsdk(Configuration.create_with_component_type(ComponentType.AUTOPILOT))
    result = sdk.add_any_connection(url)
    assert result == 0, result
    component = sdk.server_component_by_type(ComponentType.AUTOPILOT)
    parameters = param_server.ParamServer(component)
    for name, value in (("MIS_TAKEOFF_ALT", 2.5), ("WPNAV_SPEED", 500.25)):
        parameters.provide_param_float(name, value)
    parameters.provide_param_int("SYS_AUTOSTART", 4001)
    telemetry = telemetry_server.TelemetryServer(component)
    actions = action_server.ActionServer(component)
    missions = mission_raw_server.MissionRawServer(component)
    actions.set_armable(True, True)
    actions.set_disarmable(True, True)
    actions.set_allow_takeoff(True)
    actions.set_allowable_flight_modes(action_server.AllowableFlightModes(True, True, True))
    height = [0.0]

    def said(*words: object) -> None:
        sys.stdout.write(" ".join(map(str, words)) + "\n")
        sys.stdout.flush()

    def took_off() -> None:
        height[0] = 12.0
        said("takeoff")

    actions.subscribe_arm_disarm(lambda *given: said("arm", given[1].arm))
    actions.subscribe_takeoff(lambda *given: took_off())
    actions.subscribe_flight_mode_change(lambda *given: said("mode", *given[:2]))
    missions.subscribe_incoming_mission(lambda *given: said("mission", len(given[1].mission_items)))
    end = threading.Event()

    def publish() -> None:
        latitude, longitude, ground = BERLIN
        while not end.wait(0.1):
            position = telemetry_server.Position(latitude, longitude, ground + height[0], height[0])
            telemetry.publish_position(
                position, telemetry_server.VelocityNed(0, 0, 0), telemetry_server.Heading(90)
            )
            telemetry.publish_home(telemetry_server.Position(latitude, longitude, ground, 0))

    publisher = threading.Thread(target=publish)
    publisher.start()
    said("ready")
    for line in sys.stdin:
        if line.strip() == "text":
            telemetry.publish_status_text(
                telemetry_server.StatusText(telemetry_server.StatusTextType.WARNING, "wind is high")
            )
        if line.strip() == "stop":
            break
    end.set()
    publisher.join()
    sdk.destroy()


if __name__ == "__main__":
    main(sys.argv[1])
