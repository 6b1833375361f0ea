"""Deployments that name devices: a host and its device go together or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.bridge.device_scene import BLINK, Workshop, blink, pty_device, publish
from tests.firmware.wat_guests import component
from tests.journeys.fleet import Fleet, RunningHost, telemetry
from tests.journeys.test_deployments import deploy, state
from tests.journeys.test_device_bridge import lamp, online, running


def site(version: str, device: str, **more: Any) -> dict[str, Any]:
    return {
        "name": "site",
        "on_failure": "all-or-none",
        "components": {"telemetry": {"version": version}},
        "firmware": {"lamp": device},
        **more,
    }


async def device_of(host: RunningHost) -> dict[str, Any]:
    device: dict[str, Any] = await host.request("GET", "/api/host/devices/lamp")
    return device


async def test_a_host_and_its_device_take_a_deployment_together_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "workshop"
    folder.mkdir()
    fleet, workshop = Fleet(tmp_path), Workshop(folder)
    await fleet.publish(telemetry("1.0.0"))
    await publish(fleet, BLINK, workshop.signing)
    with pty_device(workshop, tmp_path / "flash") as board:
        async with fleet.host(fleet.config(more=lamp(board.path))) as host:
            await online(host)
            await deploy(fleet, site("=1.0.0", "device-blink@=1.0.0"))
            await host.until(lambda: state(host) == "successful 1")
            assert running(await device_of(host)) == "device-blink 1.0.0"

            # the device's next component is fine, the host's is not there: nothing moves
            await publish(fleet, blink("1.1.0"), workshop.signing)
            await deploy(fleet, site("=9.9.9", "device-blink@=1.1.0"))
            await host.until(lambda: state(host).startswith("waiting"))
            assert running(await device_of(host)) == "device-blink 1.0.0"
            assert host.live_version("telemetry") == "1.0.0"

            # the device's next component fails its probe there: the host goes back as well
            await fleet.publish(telemetry("1.0.1"))
            await publish(fleet, broken("2.0.0"), workshop.signing)
            await deploy(fleet, site("=1.0.1", "device-blink@^2"))
            await host.until(lambda: state(host) == "failed 3", timeout_s=40)
            assert running(await device_of(host)) == "device-blink 1.0.0"
            await host.live("telemetry", "1.0.0")

            # both are fine
            await deploy(fleet, site("=1.0.1", "device-blink@=1.1.0"))
            await host.until(lambda: state(host) == "successful 4", timeout_s=40)
            assert running(await device_of(host)) == "device-blink 1.1.0"
            assert host.live_version("telemetry") == "1.0.1"

            # and go back together
            views = host.host.control.deployment_views
            assert views is not None
            await views.reconciler.take_back("site", 4, "An operator took it back.")
            await host.until(lambda: state(host) == "failed 4", timeout_s=40)
            assert running(await device_of(host)) == "device-blink 1.0.0"
            assert host.live_version("telemetry") == "1.0.0"


async def test_a_device_that_is_away_is_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "workshop"
    folder.mkdir()
    fleet, workshop = Fleet(tmp_path), Workshop(folder)
    await fleet.publish(telemetry("1.0.0"))
    await publish(fleet, BLINK, workshop.signing)
    with pty_device(workshop, tmp_path / "flash") as board:
        board.cut_power()
        async with fleet.host(fleet.config(more=lamp(board.path))) as host:
            await host.live("telemetry", "1.0.0")
            await fleet.publish(telemetry("1.0.1"))
            await deploy(fleet, site("=1.0.0", "device-blink@*"))
            await host.until(lambda: state(host).startswith("waiting"))
            board.start()
            await host.until(lambda: state(host) == "successful 1", timeout_s=40)
            assert running(await device_of(host)) == "device-blink 1.0.0"


def broken(version: str) -> bytes:
    """A lamp whose probe ends in a trap."""
    document: dict[str, Any] = {"name": "device-blink", "version": version, "kind": "service"}
    document |= {"service": {"functions": ["probe"]}, "probe": {"export": "probe"}}
    return component('(module (func (export "probe") (result i32) unreachable))', document)
