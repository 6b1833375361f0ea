"""All hosts or none, by real processes at a real broker, one of which is killed at each state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.journeys.fleet import telemetry
from tests.journeys.host_fleet import HostFleet, host_fleet
from tests.journeys.version_guests import guest

HOSTS = ("pi-0", "pi-1", "pi-2")


def both(version: str, **rollout: Any) -> dict[str, Any]:
    return {
        "name": "site",
        "on_failure": "all-or-none",
        "components": {"notes": {"version": f"={version}"}, "telemetry": {"version": f"={version}"}},
        "rollout": rollout,
    }


async def came_to(fleet: HostFleet, sequence: int, *states: str) -> None:
    await fleet.seen.until(lambda: "pi-1" in fleet.seen.first(sequence, *states))


async def all_done(fleet: HostFleet, sequence: int) -> None:
    await fleet.seen.until(lambda: fleet.seen.states("site", sequence)["successful"] == len(HOSTS))


async def all_live(fleet: HostFleet, version: str) -> None:
    wanted = {version: len(HOSTS)}
    await fleet.seen.until(
        lambda: fleet.versions("notes") == wanted and fleet.versions("telemetry") == wanted
    )


@pytest.mark.timeout(120)
async def test_a_host_that_is_killed_at_any_state_ends_as_the_others_do(tmp_path: Path) -> None:
    async with host_fleet(tmp_path) as fleet:
        for name in HOSTS:
            fleet.add(name, "north")
        for content in (guest("1.0.0"), telemetry("1.0.0")):
            await fleet.publish(content)
        await fleet.deploy(both("1.0.0"))
        await fleet.start()
        await all_live(fleet, "1.0.0")
        sequence, killed = 1, fleet.hosts["pi-1"]
        for number, state in enumerate(("prepared", "applying", "soaking"), start=1):
            version, sequence = f"1.0.{number}", sequence + 1
            for content in (guest(version), telemetry(version)):
                await fleet.publish(content)
            await fleet.deploy(both(version, all_hosts=True, soak_s=0.5))
            later = ("applying", "soaking", "successful")[number - 1 :]
            await came_to(fleet, sequence, state, *later)
            await killed.kill()
            await fleet.start()
            await all_done(fleet, sequence)
            await all_live(fleet, version)
        await one_is_clogged_and_all_go_back(fleet, sequence + 1)


async def one_is_clogged_and_all_go_back(fleet: HostFleet, sequence: int) -> None:
    """The check fails on each host sooner or later; whoever has not failed yet goes back for those that have."""
    for content in (guest("1.0.9", "SICK=0"), telemetry("1.0.9")):
        await fleet.publish(content)
    gates = {"check": "health"}
    await fleet.deploy(both("1.0.9", all_hosts=True, soak_s=20, gates=gates))
    await fleet.seen.until(
        lambda: (
            (states := fleet.seen.states("site", sequence)).total() == len(HOSTS)
            and {"failed", "halted"}.issuperset(states)
        )
    )
    await all_live(fleet, "1.0.3")
    reasons = [report["reason"] for _, _, report in fleet.seen.first(sequence, "failed").values()]
    own = "notes: 1.0.9 is quarantined: its check 'health' says no: its filter is clogged"
    assert own in reasons
    assert all(
        reason == own or reason.startswith("It is for all hosts or none, and pi-") for reason in reasons
    )
