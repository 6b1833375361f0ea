"""MAVSDK, which others wrote, at the other end: as the vehicle of our service, and as the ground station of our vehicle."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edgehost.adapters.broker.free_port import free_port
from edgehost.adapters.vehicles.mavlink_service import open_mavlink_service
from edgehost.config_services import MavlinkOptions
from edgehost.domain.errors import NotFoundError, UnavailableError
from edgehost.ports.service import Service
from tests.adapters.services.service_scenes import Told
from tests.adapters.vehicles.software_vehicle import COPTER, PX4, flying

HERE = Path(__file__).parent
ALL = ("arm", "disarm", "takeoff", "set_parameter", "set_mission", "clear_mission", "MAV_CMD_DO_SET_MODE")


@asynccontextmanager
async def mavsdk(script: str, url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        HERE / script,
        url,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def complete(service: Service) -> None:
    """Once the vehicle has told where it is."""
    async with asyncio.timeout(30):
        while "position" not in await service.call("telemetry", {}, timeout_s=5):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("carrier", ["udpin", "udpout", "tcp"])
async def test_mavsdks_vehicle_is_found_watched_commanded_and_configured(carrier: str) -> None:
    udp_port, told = free_port(), Told()
    url = f"{carrier}:127.0.0.1:{udp_port}"
    options = MavlinkOptions(url=url, commands=ALL, telemetry_s=0.2, silent_s=2.0)
    theirs = f"{ {'udpin': 'udpout', 'udpout': 'udpin', 'tcp': 'tcpin'}[carrier] }://127.0.0.1:{udp_port}"
    async with open_mavlink_service("drone", options, told) as service:

        async def call(function: str, **given: object) -> dict[str, object]:
            answer: dict[str, object] = await service.call(function, given, timeout_s=10)
            return answer

        async with mavsdk("mavsdk_vehicle.py", theirs) as vehicle:
            await complete(service)
            known = (await call("telemetry"))["position"]
            assert isinstance(known, dict)
            assert (known["latitude_deg"], known["altitude_m"]) == (52.52, 34.0)
            assert await call("arm") == {"result": "accepted", "confirmed": True}
            await told.wait_for("edgehost.vehicle.armed")
            assert await call("takeoff", altitude_m=12) == {"result": "accepted"}
            listed = {"MIS_TAKEOFF_ALT": 2.5, "SYS_AUTOSTART": 4001, "WPNAV_SPEED": 500.25}
            assert await call("parameters") == {"parameters": listed, "count": 3}
            written = await call("set_parameter", name="SYS_AUTOSTART", value=4010)
            assert written == {"name": "SYS_AUTOSTART", "value": 4010, "before": 4001}
            with pytest.raises(NotFoundError, match="NONE_SUCH"):
                await call("parameter", name="NONE_SUCH")
            with pytest.raises(UnavailableError, match="rejected it for now"):
                await call("command", command="MAV_CMD_DO_SET_MODE", params=[1, 4, 3])
            items = [{"latitude_deg": 52.521, "longitude_deg": 13.406, "altitude_m": 20.0}] * 4
            assert await call("set_mission", items=items) == {"result": "accepted", "items": 4}
            back = (await call("mission"))["items"]
            assert isinstance(back, list)
            assert [each | items[0] for each in back] == back
            assert await call("clear_mission") == {"result": "accepted"}
            assert vehicle.stdin is not None
            vehicle.stdin.write(b"text\n")
            (said,) = await told.wait_for("edgehost.vehicle.text")
            assert said == {"vehicle": "drone", "severity": "warning", "text": "wind is high"}
            assert await call("disarm") == {"result": "accepted", "confirmed": True}
        (lost,) = await told.wait_for("edgehost.vehicle.lost")
        assert lost["heard_s"] >= 2.0 or carrier == "tcp"  # where the connection says so at once
        async with mavsdk("mavsdk_vehicle.py", theirs):
            assert (await told.wait_for("edgehost.vehicle.found", count=2, timeout_s=20))[1]["again"]


@pytest.mark.parametrize(
    ("autopilot", "height_m"), [(COPTER, 2.0), (PX4, 2.5)]
)  # MAVSDK's, and the vehicle's
async def test_mavsdk_as_a_ground_station_takes_our_software_vehicle_for_one(
    autopilot: int, height_m: float
) -> None:
    udp_port = free_port()
    async with (
        flying(udp_port, autopilot) as vehicle,
        mavsdk("mavsdk_ground_station.py", f"udpin://127.0.0.1:{udp_port}") as station,
    ):
        async with asyncio.timeout(40):
            output, _ = await station.communicate()
        seen = json.loads(output)
        done = dict.fromkeys(("arm", "takeoff", "set", "upload", "land"), 1)  # 1 is MAVSDK's success
        assert seen == done | {
            "found": True,
            "before": 3000,
            "after": 2222,
            "float": 10.5,
            "listed": 60,
            "download": 3,
            "armed": True,
            "height_m": height_m,
        }
        assert vehicle.codec.bad == 0
