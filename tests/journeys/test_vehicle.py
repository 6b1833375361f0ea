"""A drone on a host: its telemetry in the API, commands that reach it, and a vehicle that is lost and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from edgehost.adapters.broker.free_port import free_port
from edgehost.cli.demo_fleet import demo_component
from edgehost.domain.errors import EdgehostError, NotFoundError
from edgehost.domain.events import Event, HandlerFailed
from edgehost.domain.port_events import ServiceNotified
from tests.adapters.vehicles.software_vehicle import SoftwareVehicle, flying
from tests.journeys.fleet import Fleet, RunningHost

SERVICE = """
[services.drone]
kind = "mavlink"
url = "udpin:127.0.0.1:{port}"
commands = ["arm", "disarm", "takeoff", "land", "set_parameter"]
telemetry_s = 0.1
silent_s = 2.0
allow = ["vehicle"]
"""
RECORD = "/api/models/vehicle/drone"


@asynccontextmanager
async def hosted(folder: Path) -> AsyncIterator[tuple[RunningHost, SoftwareVehicle]]:
    fleet, udp_port = Fleet(folder), free_port()
    await fleet.publish(demo_component("vehicle-1.0.0"))
    async with fleet.host(fleet.config(more=SERVICE.format(port=udp_port))) as host:
        await host.live("vehicle", "1.0.0")
        async with flying(udp_port) as vehicle:
            yield host, vehicle


async def shows(host: RunningHost, **wanted: Any) -> dict[str, Any]:
    """The record's data, once these members have these values."""
    async with asyncio.timeout(30):
        while True:
            try:
                data: dict[str, Any] = (await host.request("GET", RECORD))["data"]
            except NotFoundError:
                data = {}
            if all(data.get(name) == value for name, value in wanted.items()):
                return data
            await asyncio.sleep(0.02)


async def told(host: RunningHost, command: str, args: dict[str, Any] | None = None) -> Any:
    return (await host.request("POST", f"{RECORD}/commands/{command}", args))["result"]


@asynccontextmanager
async def listening(host: RunningHost, faults: list[Event]) -> AsyncIterator[None]:
    """Collect what the model's handler fails at."""

    async def collect() -> None:
        bus = host.host.control.manager.bus
        async with bus.subscription(lambda event: isinstance(event, HandlerFailed)) as failed:
            faults.append(await anext(failed))

    task = asyncio.create_task(collect(), name="faults")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_a_drone_is_a_record_of_the_host_that_can_be_told_what_to_do(tmp_path: Path) -> None:
    async with hosted(tmp_path) as (host, vehicle):
        faults: list[Event] = []
        async with listening(host, faults):
            data = await shows(host, present=True, armed=False, landed="on-ground")
            assert data["position"]["latitude_deg"] == 47.3977
            assert data["battery"]["remaining_percent"] == 87

            assert await told(host, "arm") == {"result": "accepted", "confirmed": True}
            assert await told(host, "takeoff", {"altitude_m": 20}) == {"result": "accepted"}
            data = await shows(host, armed=True, landed="in-air")
            assert data["position"]["relative_altitude_m"] == 20

            written = await told(host, "set", {"name": "ANGLE_MAX", "value": 2500})
            assert written == {"name": "ANGLE_MAX", "value": 2500, "before": 3000}
            assert vehicle.parameters["ANGLE_MAX"][0] == 2500
            assert await told(host, "read", {"name": "ANGLE_MAX"}) == {"name": "ANGLE_MAX", "value": 2500}

            with pytest.raises(EdgehostError, match="does not let a vehicle be told to rtl"):
                await told(host, "rtl")
            with pytest.raises(EdgehostError, match="altitude_m"):
                await told(host, "takeoff", {"altitude_m": 500})

            vehicle.faults.silent = True
            data = await shows(host, present=False)
            assert data["armed"] is True  # as it was when it was last heard
            assert data["why"].startswith("no heartbeat")
            assert data["position"]["relative_altitude_m"] == 20, (
                "where it was last is what its owner asks first"
            )
            assert data["battery"]["remaining_percent"] == 87
            with pytest.raises(EdgehostError, match="not heard"):
                await told(host, "land")
            vehicle.faults.silent = False
            await shows(host, present=True)

            await told(host, "land")
            await told(host, "disarm")
            await shows(host, armed=False, landed="on-ground")
        assert faults == []


async def test_what_a_vehicle_tells_are_events_of_the_host(tmp_path: Path) -> None:
    async with hosted(tmp_path) as (host, vehicle):
        bus = host.host.control.manager.bus
        await shows(host, present=True)
        async with bus.subscription(lambda event: event.names[0] == "edgehost.vehicle.text") as texts:
            vehicle.text("PreArm: compass not calibrated")
            fact = await anext(texts)
        assert isinstance(fact, ServiceNotified)
        assert fact.service == "drone"
        assert fact.data["text"] == "PreArm: compass not calibrated"
