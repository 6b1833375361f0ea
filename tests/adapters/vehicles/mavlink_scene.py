"""The service ``mavlink`` beside a software vehicle of ours, over UDP on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from edgehost.adapters.broker.free_port import free_port
from edgehost.adapters.vehicles.mavlink_service import MavlinkService, open_mavlink_service
from edgehost.config_services import MavlinkOptions
from tests.adapters.services.service_scenes import Told
from tests.adapters.vehicles.software_vehicle import COPTER, SoftwareVehicle, flying

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
