"""kill -9 of the real process as each state of a deployment is reached: it goes on from there."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from edgehost.cli.demo_fleet import as_version, demo_component
from edgehost.cli.demo_host import DemoHost, HeardEvents
from tests.journeys.fleet import Fleet, telemetry
from tests.journeys.test_deployments import deploy
from tests.journeys.test_killed_host import subprocess_host


async def standing(host: DemoHost) -> tuple[str, dict[str, str]]:
    """State and sequence of the deployment, and what is live."""
    status = await host.get("/api/host/status")
    row = status["deployments"].get("site", {"state": "", "sequence": 0})
    live = {each["component"]: each["version"] for each in status["components"]}
    return f"{row['state']} {row['sequence']}", live


async def until(host: DemoHost, wanted: str) -> dict[str, str]:
    async with asyncio.timeout(20):
        while True:
            state, live = await standing(host)
            if state == wanted:
                return live
            await asyncio.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["roll-back", "all-or-none"])
@pytest.mark.parametrize("at", ["accepted", "moved", "staged", "live"])
async def test_a_host_killed_in_a_deployment_comes_back_and_ends_where_it_should(
    tmp_path: Path, kind: str, at: str
) -> None:
    fleet = Fleet(tmp_path)
    sensors = demo_component("sensors-1.0.0")
    await fleet.publish(telemetry("1.0.0"))
    await fleet.publish(sensors)
    old: dict[str, Any] = {"telemetry": {"version": "=1.0.0"}, "sensors": {"version": "=1.0.0"}}
    await deploy(fleet, {"name": "site", "components": old})
    host = subprocess_host(fleet)
    await host.start()
    try:
        assert await until(host, "successful 1") == {"telemetry": "1.0.0", "sensors": "1.0.0"}
        await fleet.publish(telemetry("1.0.1"))
        await fleet.publish(as_version(sensors, "1.0.1"))
        new = {
            "telemetry": {"version": "=1.0.1", "merge": {"unit": "percent"}},
            "sensors": {"version": "=1.0.1", "after": ["telemetry"]},
        }
        heard = HeardEvents(host.client)
        with heard.listening():
            await deploy(fleet, {"name": "site", "on_failure": kind, "components": new})
            if at in {"accepted", "moved"}:
                await heard.wait_for(f"edgehost.deployment.{at}", lambda _data: True, timeout_s=20)
            else:
                await heard.wait_for("edgehost.release.moved", lambda data: data["stage"] == at, timeout_s=20)
            await host.kill()
        await host.start()
        assert await until(host, "successful 2") == {"telemetry": "1.0.1", "sensors": "1.0.1"}
    finally:
        await host.stop()
