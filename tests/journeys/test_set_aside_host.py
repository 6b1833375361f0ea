"""A host on which deployments keep failing, by real processes: shown, known after a kill, asked last, and readmitted."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.host_fleet import FLEET, HostFleet, host_fleet
from tests.journeys.version_guests import guest

HOSTS = ("pi-0", "pi-1", "pi-2")
BAD = "pi-1"


def wanted(version: str, *, hosts: tuple[str, ...] = HOSTS, **rollout: Any) -> dict[str, Any]:
    components = {"notes": {"version": f"={version}"}}
    return {"name": "site", "hosts": {"ids": list(hosts)}, "components": components, "rollout": rollout}


async def operator(fleet: HostFleet, *words: str) -> Any:
    """'edgehost fleet' as a process of its own."""
    access = ("--broker", f"127.0.0.1:{fleet.broker.tcp_port}", "--fleet", FLEET)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edgehost", "fleet", *words, *access, "--json"),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out
    return json.loads(out)


async def set_aside(fleet: HostFleet) -> dict[str, list[str]]:
    return {each["host"]: each["set_aside"] for each in (await operator(fleet, "ls"))["hosts"]}


@pytest.mark.timeout(180)
async def test_a_host_on_which_deployments_keep_failing_is_set_aside_until_somebody_readmits_it(
    tmp_path: Path,
) -> None:
    async with host_fleet(tmp_path) as fleet:
        for name in HOSTS:
            host = fleet.add(name, "north")
            text = host.config_file.read_text()
            host.config_file.write_text(text + "set_aside_failures = 2\n")
        await fleet.publish(guest("1.0.0"))
        await fleet.deploy(wanted("1.0.0"))
        await fleet.start()
        await fleet.seen.until(lambda: fleet.seen.states("site", 1)["successful"] == len(HOSTS))
        for sequence, version in ((2, "1.1.0"), (3, "1.2.0")):
            assert not (fleet.seen.newest[BAD] or {}).get("set_aside")
            await fleet.publish(guest(version, "SICK=0"))
            await fleet.deploy(wanted(version, hosts=(BAD,), soak_s=3600, gates={"check": "health"}))
            await fleet.seen.until(lambda now=sequence: BAD in fleet.seen.first(now, "failed"))  # type: ignore[misc]
        await fleet.seen.until(lambda: bool(fleet.seen.newest[BAD].get("set_aside")))
        assert await set_aside(fleet) == {"pi-0": [], BAD: ["site 2", "site 3"], "pi-2": []}
        await fleet.hosts[BAD].kill()
        await fleet.start()
        findings = (await fleet.hosts[BAD].get("/api/host/doctor"))["findings"]
        assert any(each["check"] == "rollouts" and each["state"] == "failed" for each in findings)
        assert (await set_aside(fleet))[BAD] == ["site 2", "site 3"]

        await fleet.publish(guest("1.3.0"))
        await fleet.deploy(wanted("1.3.0", waves=[0.3, 0.6, 1], approve=[2], soak_s=0.2))
        await fleet.seen.until(lambda: fleet.seen.states("site", 4)["successful"] == len(HOSTS) - 1)
        report = fleet.seen.newest[f"{BAD}/twin/deployment/site"]
        assert (report["sequence"], report["state"], report["wave"]) == (4, "waiting", 2)

        (given,) = (await operator(fleet, "readmit", "--host", BAD))["commands"]
        assert given["result"] == {"was_set_aside": True, "forgotten": 2}
        await fleet.seen.until(lambda: not fleet.seen.newest[BAD].get("set_aside"))
        assert await set_aside(fleet) == {name: [] for name in HOSTS}
