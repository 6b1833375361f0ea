"""A microcontroller as a node of a host: seen, called, deployed to; the device is the firmware as a process on a pty."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from edgehost.domain.device_events import DeviceTelemetry
from edgehost.domain.events import RecordEvent
from tests.bridge.device_scene import BLINK, Workshop, pty_device, publish
from tests.journeys.fleet import Fleet, RunningHost
from tests.usecases.deploy_scene import component_bytes


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    folder = tmp_path / "workshop"
    folder.mkdir()
    return Workshop(folder)


def lamp(line: str, more: str = "") -> str:
    return f'[devices.lamp]\nline = "{line}"\ninterval_ms = 100\nsilence_s = 1.0\n{more}'


async def online(host: RunningHost, name: str = "lamp") -> dict[str, Any]:
    """The device, once it is there."""
    await host.until(lambda: host.host.control.devices().devices()[0]["online"])
    device: dict[str, Any] = await host.request("GET", f"/api/host/devices/{name}")
    return device


async def deploy(host: RunningHost, component: str = "device-blink", **more: str) -> dict[str, Any]:
    order = {"component": component, **more}
    device: dict[str, Any] = await host.request("POST", "/api/host/devices/lamp/deploy", order)
    return device


async def test_a_device_is_bridged_gets_a_component_and_is_called(tmp_path: Path, workshop: Workshop) -> None:
    fleet = Fleet(tmp_path)
    await publish(fleet, BLINK, workshop.signing)
    with pty_device(workshop, tmp_path / "flash") as board:
        async with fleet.host(fleet.config(more=lamp(board.path))) as host:
            device = await online(host)
            assert device["identity"]["board"] == "posix"
            assert device["slots"]["running"] is None

            device = await deploy(host)
            assert (device["slots"]["running"]["component"], device["transfer"]) == ("device-blink", None)

            bus = host.host.control.manager.bus
            async with asyncio.timeout(10), bus.subscription(_telemetry, backlog=100) as events:
                path = "/api/host/devices/lamp/call/device-blink/set"
                assert await host.request("POST", path, {"on": True}) == {"on": True}
                told: dict[str, Any] = {}
                while told.get("data", {}).get("component") != {"on": True, "switched": 1}:
                    told = (await anext(events)).details()
            assert told["device"] == "lamp"
            status = await host.request("GET", "/api/host/status")
            assert status["devices"]["lamp"]["telemetry"]["component"]["on"] is True
            findings = (await host.request("GET", "/api/host/doctor"))["findings"]
            (finding,) = [each for each in findings if each["check"] == "device lamp"]
            assert "posix with firmware" in finding["detail"]
            assert "runs device-blink 1.0.0" in finding["detail"]


def _telemetry(event: object) -> bool:
    return isinstance(event, DeviceTelemetry)


async def test_telemetry_becomes_records_in_a_ring(tmp_path: Path, workshop: Workshop) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(component_bytes("readings", "1.0.0"))
    more = 'model = "readings"\nkeep = 3\nrecord_every_s = 0.0\n'
    with pty_device(workshop, tmp_path / "flash") as board:
        async with fleet.host(fleet.config(more=lamp(board.path, more))) as host:
            await host.live("readings", "1.0.0")
            bus, updated = host.host.control.manager.bus, 0
            async with asyncio.timeout(20), bus.subscription(_record, backlog=100) as events:
                while updated < 2:
                    updated += (await anext(events)).type == "edgehost.record.updated"
            items = (await host.request("GET", "/api/models/readings"))["records"]
            assert len(items) == 3
            assert {item["data"]["device"] for item in items} == {"lamp"}
            assert all(item["data"]["up_ms"] >= 0 for item in items)


def _record(event: object) -> bool:
    return isinstance(event, RecordEvent)
