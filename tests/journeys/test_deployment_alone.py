"""A host that belongs to no fleet, and deployments that hosts take in step with each other."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from edgehost.cli.main import main
from tests.journeys.fleet import Fleet, RunningHost, telemetry
from tests.journeys.test_deployments import deploy, state

NO_FLEET = "It is rolled out in step with other hosts, and this host has no [fleet] to see them by."


def wanted(**rollout: Any) -> dict[str, Any]:
    components = {"telemetry": {"version": "=1.0.0"}}
    return {"name": "site", "components": components, "rollout": {"waves": [0.2, 1], **rollout}}


async def says(host: RunningHost, reason: str) -> None:
    """Wait until the host gives this reason; what it waits for is no event."""
    async with asyncio.timeout(30):
        while (await host.request("GET", "/api/host/status"))["deployments"].get("site", {}).get(
            "reason"
        ) != reason:
            await asyncio.sleep(0.02)


async def test_a_host_without_a_fleet_says_why_it_waits_and_what_to_do_and_begins_when_it_may(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    await deploy(fleet, wanted())
    async with fleet.host() as host:
        await says(host, f"{NO_FLEET} It does not begin without them.")
        status = await host.request("GET", "/api/host/status")
        assert status["deployments"]["site"]["state"] == "waiting"
        assert status["deployments"]["site"]["reason"] == f"{NO_FLEET} It does not begin without them."
        findings = (await host.request("GET", "/api/host/doctor"))["findings"]
        (finding,) = [each for each in findings if each["check"] == "deployment site 1"]
        assert (finding["state"], finding["detail"]) == (
            "warning",
            f"It is waiting. {NO_FLEET} It does not begin without them.",
        )
        assert finding["hint"].startswith("Give the host a [fleet] table")
        config = str(tmp_path / "edgehost.toml")
        assert await asyncio.to_thread(main, ["-c", config, "deployment", "ls"]) == 0
        shown = capsys.readouterr().out
        assert NO_FLEET in shown
        assert finding["hint"] in shown
        (tmp_path / "next.toml").write_text('name = "site"\n[components.telemetry]\nversion = "=1.0.0"\n')
        plan = ["-c", config, "deployment", "plan", str(tmp_path / "next.toml")]
        assert await asyncio.to_thread(main, plan) == 0
        planned = capsys.readouterr().out
        assert planned.startswith("site 2: 2 changes.\n"), planned  # not what the one before it waits for
        await deploy(fleet, wanted(blind_after_s=86_400))
        await says(host, f"{NO_FLEET} It begins by itself in about 24 hours.")
        assert host.live_version("telemetry") == ""
        await deploy(fleet, wanted(blind_after_s=0.2))
        await host.until(lambda: state(host) == "successful 3")
        findings = (await host.request("GET", "/api/host/doctor"))["findings"]
        assert not [each for each in findings if each["check"].startswith("deployment")]
