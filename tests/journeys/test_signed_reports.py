"""A rollout by signed reports, by real processes, while somebody writes what they like at the broker."""

from __future__ import annotations

import asyncio
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.fleet.fleet_scene import Tools
from tests.journeys.host_fleet import FLEET, HostFleet, host_fleet
from tests.journeys.version_guests import guest

HOSTS = ("pi-0", "pi-1", "pi-2")


def wanted(version: str, **rollout: Any) -> dict[str, Any]:
    return {"name": "site", "components": {"notes": {"version": f"={version}"}}, "rollout": rollout}


async def keys_of(fleet: HostFleet) -> dict[str, str]:
    """The table that an operator takes over into a deployment."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edgehost", "fleet", "keys", "--fleet", FLEET),
        *("--broker", f"127.0.0.1:{fleet.broker.tcp_port}"),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    keys: dict[str, str] = tomllib.loads(out.decode())["rollout"]["keys"]
    return keys


@pytest.mark.timeout(180)
async def test_whoever_may_publish_at_the_broker_halts_no_rollout_of_signed_reports(tmp_path: Path) -> None:
    async with host_fleet(tmp_path) as fleet:
        for name in HOSTS:
            host = fleet.add(name, "north")
            host.config_file.write_text(host.config_file.read_text() + "sign_reports = true\n")
        await fleet.publish(guest("1.0.0"))
        await fleet.deploy(wanted("1.0.0"))
        await fleet.start()
        await fleet.seen.until(lambda: fleet.seen.states("site", 1)["successful"] == len(HOSTS))
        keys = await keys_of(fleet)
        assert set(keys) == set(HOSTS)
        assert keys["pi-0"] == fleet.seen.newest["pi-0"]["key"]

        tools = Tools(fleet.broker)
        await fleet.publish(guest("1.1.0"))
        await fleet.deploy(wanted("1.1.0", waves=[0.3, 1], soak_s=2, keys=keys))
        await fleet.seen.until(lambda: bool(fleet.seen.first(2, "soaking", "successful")))
        (canary,) = fleet.seen.first(2, "soaking", "successful")
        said = fleet.seen.newest[f"{canary}/twin/deployment/site"]
        forged = {**said, "state": "failed", "reason": "somebody says so"}
        plain = {key: value for key, value in forged.items() if key not in {"key", "signed"}}
        await tools.publish(
            f"edgehost/{FLEET}/stranger", {"id": "stranger", "class": "generic", "labels": {}}
        )
        for who, payload in (("stranger", forged), ("stranger", plain), (canary, forged), (canary, plain)):
            await tools.publish(f"edgehost/{FLEET}/{who}/twin/deployment/site", payload)
        await fleet.seen.until(lambda: fleet.versions("notes") == {"1.1.0": len(HOSTS)})
        for each in HOSTS:
            await fleet.seen.until(
                lambda name=each: fleet.seen.newest[f"{name}/twin/deployment/site"]["state"] == "successful"  # type: ignore[misc]
            )

        await fleet.publish(guest("1.2.0", "SICK=0"))  # a true failure halts as ever
        gates = {"check": "health"}
        await fleet.deploy(wanted("1.2.0", waves=[0.3, 1], soak_s=3600, gates=gates, keys=keys))
        await fleet.seen.until(lambda: len(fleet.seen.first(3, "halted")) == len(HOSTS) - 1)
        assert len(fleet.seen.first(3, "failed")) == 1

        keys["pi-1"] = keys["pi-0"]
        await fleet.deploy(wanted("1.0.0", waves=[0.3, 1], keys=keys))
        await fleet.seen.until(
            lambda: "has another key" in fleet.seen.newest["pi-1/twin/deployment/site"]["reason"]
        )
