"""Twenty hosts of two sites under calls: a canary roll-out, a bad release, and a broker that is killed in its midst."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.host_fleet import HostFleet, host_fleet, request
from tests.journeys.version_guests import guest

HOSTS = 20
WAVES = [0.1, 0.5, 1]
WHICH = request("POST", "/api/models/notes/a/commands/which", "{}")
_DONE = ("successful",)
_BEGUN = ("applying", "soaking", "successful", "failed")


def wanted(version: str, **rollout: Any) -> dict[str, Any]:
    return {"name": "site", "components": {"notes": {"version": f"={version}"}}, "rollout": rollout}


def in_waves(version: str, soak_s: float = 1) -> dict[str, Any]:
    return wanted(version, waves=WAVES, within="site", soak_s=soak_s, gates={"check": "health"})


async def all_in(fleet: HostFleet, sequence: int, *, timeout_s: float = 60) -> None:
    """Every host has done its part of a deployment."""
    await fleet.seen.until(
        lambda: fleet.seen.states("site", sequence)["successful"] == HOSTS, timeout_s=timeout_s
    )


def require_waves(fleet: HostFleet, sequence: int) -> None:
    """On each site one host went first, then half of them, then all; nobody before those that it waits for."""
    begun, done = fleet.seen.first(sequence, *_BEGUN), fleet.seen.first(sequence, *_DONE)
    assert len(begun) == len(done) == HOSTS
    for site in ("north", "south"):
        waves: dict[int, set[str]] = {}
        for host, (_, _, report) in done.items():
            if report["site"] == site:
                waves.setdefault(report["wave"], set()).add(host)
        assert {wave: len(hosts) for wave, hosts in waves.items()} == {0: 1, 1: 4, 2: 5}
        for wave in (1, 2):
            first = min(begun[host][0] for host in waves[wave])
            assert first > max(done[host][0] for host in waves[wave - 1]), (site, wave)


@pytest.mark.timeout(240)
async def test_twenty_hosts_take_a_canary_a_bad_release_and_a_broker_outage_without_a_failed_call(
    tmp_path: Path,
) -> None:
    async with host_fleet(tmp_path) as fleet:
        for number in range(HOSTS):
            fleet.add(f"pi-{number:02}", ("north", "south")[number % 2])
        await fleet.publish(guest("1.0.0"))
        await fleet.deploy(wanted("1.0.0"))
        await fleet.start()
        await all_in(fleet, 1, timeout_s=90)
        note = {"id": "a", "name": "ada"}
        for host in fleet.hosts.values():
            await asyncio.to_thread(host.client.request, "POST", "/api/models/notes", body=note)
        async with fleet.called(WHICH):
            await a_good_release_in_waves(fleet)
            await a_bad_release(fleet)
            await a_broker_outage(fleet)
        assert fleet.failed == []
        for load in fleet.loads.values():
            versions = [json.loads(answer)["result"]["version"] for answer in load.answers]
            assert versions[0] == "1.0.0"
            assert versions[-1] == "1.2.0"
            assert load.calls > 20


async def a_good_release_in_waves(fleet: HostFleet) -> None:
    await fleet.publish(guest("1.1.0"))
    await fleet.deploy(in_waves("1.1.0"))
    await all_in(fleet, 2)
    require_waves(fleet, 2)
    await fleet.seen.until(lambda: fleet.versions("notes") == {"1.1.0": HOSTS})


async def a_bad_release(fleet: HostFleet) -> None:
    """It starts, answers, and is clogged after some calls: the two canaries find out, and nobody else has it."""
    await fleet.publish(guest("1.1.1", "SICK=2"))
    await fleet.deploy(
        in_waves("1.1.1", soak_s=3600)
    )  # however slow the machine, it is found out within that
    await fleet.seen.until(
        lambda: (
            {"failed", "halted"}.issuperset(states := fleet.seen.states("site", 3))
            and states.total() == HOSTS
        )
    )
    begun = fleet.seen.first(3, *_BEGUN)
    assert 1 <= len(begun) <= 2  # one of a site may have halted for the other's
    failed = fleet.seen.first(3, "failed")
    assert set(failed) == set(begun)
    for _, _, report in failed.values():
        assert report["reason"] == (
            "notes: 1.1.1 is quarantined: its check 'health' says no: its filter is clogged"
        )
    for host, (_, _, report) in fleet.seen.first(3, "halted").items():
        assert report["reason"].startswith("It failed on pi-"), host
    await fleet.seen.until(lambda: fleet.versions("notes") == {"1.1.0": HOSTS})
    for name, host_of in fleet.hosts.items():
        history = await host_of.get("/api/host/releases")
        stages = {each["version"]: each["stage"] for each in history["releases"]}
        assert stages.get("1.1.1", "never here") == ("quarantined" if name in failed else "never here"), name


async def a_broker_outage(fleet: HostFleet) -> None:
    """It is killed after the first wave has begun, and forgets everything."""
    await fleet.publish(guest("1.2.0"))
    await fleet.deploy(in_waves("1.2.0"))
    await fleet.seen.until(lambda: len(fleet.seen.first(4, "applying", "soaking")) >= 2)
    before = {name: load.calls for name, load in fleet.loads.items()}
    await fleet.broker.stop(kill=True)
    async with asyncio.timeout(20):  # they serve meanwhile
        while any(load.calls < before[name] + 5 for name, load in fleet.loads.items()):
            await asyncio.sleep(0.05)
    await fleet.broker.start()
    await fleet.mirror_all()
    await all_in(fleet, 4, timeout_s=90)
    await fleet.seen.until(lambda: fleet.versions("notes") == {"1.2.0": HOSTS})
