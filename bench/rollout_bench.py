"""What a deployment writes; roll-outs over twenty hosts: from signed to the last host, and how long each wave takes, under calls all the time."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.deployment_writes import deployment_writes
from edgehost.cli.demo_figures import children, pss_mb
from edgehost.cli.demo_fleet import as_version, demo_component
from tests.journeys.host_fleet import HostFleet, host_fleet, request

Row = dict[str, Any]

_HOSTS = 20
_SITES = 2
_AT_ONCE = (1,)
_STAGED = {"waves": [0.1, 0.5, 1], "within": "site", "soak_s": 0.5}
_CALL = request("GET", "/api/models/telemetry")


def run(quick: bool = False) -> list[Row]:  # noqa: FBT001, FBT002 - the benches are called alike
    """Rows of name, value and unit."""
    return [*asyncio.run(_writes(2 if quick else 5)), *asyncio.run(_measure(1 if quick else 3))]


async def _writes(rounds: int) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="edgehost-bench-") as scratch:
        return await deployment_writes(Path(scratch), rounds)


async def _measure(rounds: int) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="edgehost-bench-") as scratch:
        async with host_fleet(Path(scratch)) as fleet:
            for number in range(_HOSTS):
                fleet.add(f"pi-{number:02}", f"site-{number % _SITES}")
            await fleet.publish(demo_component("telemetry-1.0.0"))
            await fleet.deploy(_wanted("1.0.0", {}))
            began = time.perf_counter()
            await fleet.start()
            await _all_in(fleet, 1)
            rows = [_row("twenty hosts, from nothing to deployed", time.perf_counter() - began)]
            async with fleet.called(_CALL):
                for sequence in range(2, 2 + 2 * rounds, 2):
                    rows += await _rollout(fleet, sequence, "all at once", {})
                    rows += await _rollout(fleet, sequence + 1, "in three waves on two sites", _STAGED)
            rows.append(_calls(fleet))
            memory = [
                sum(pss_mb(pid) for pid in (host.pid, *children(host.pid))) for host in fleet.hosts.values()
            ]
            rows.append(
                {
                    "name": "one of twenty hosts, after roll-outs",
                    "value": statistics.median(memory),
                    "unit": "MB PSS",
                }
            )
    return _medians(rows)


async def _rollout(fleet: HostFleet, sequence: int, kind: str, rollout: dict[str, Any]) -> list[Row]:
    """From the signed component and document to the report of the last host, and the time of each wave."""
    version = f"1.0.{sequence}"
    began = time.perf_counter()
    await fleet.publish(as_version(demo_component("telemetry-1.0.0"), version))
    await fleet.deploy(_wanted(version, rollout))
    await _all_in(fleet, sequence)
    done = list(fleet.seen.first(sequence, "successful").values())
    waves = range(len(rollout.get("waves", _AT_ONCE)))
    ends = [began, *(max(at for _, at, report in done if report["wave"] == wave) for wave in waves)]
    rows = [_row(f"roll-out over twenty hosts, {kind}", ends[-1] - began, soak_s=rollout.get("soak_s", 0))]
    if rollout:
        for wave, (before, end) in enumerate(itertools.pairwise(ends)):
            hosts = sum(report["wave"] == wave for _, _, report in done)
            rows.append(_row(f"  of that, wave {wave}", end - before, hosts=hosts))
    return rows


def _calls(fleet: HostFleet) -> Row:
    loads = fleet.loads.values()
    return {
        "name": "calls that failed meanwhile",
        "value": len(fleet.failed),
        "unit": "calls",
        "of": sum(load.calls for load in loads),
        "slowest_ms": round(max(load.slowest_s for load in loads) * 1000, 1),
    }


def _wanted(version: str, rollout: dict[str, Any]) -> dict[str, Any]:
    components = {"telemetry": {"version": f"={version}"}}
    return {"name": "site", "components": components, "rollout": rollout}


async def _all_in(fleet: HostFleet, sequence: int) -> None:
    await fleet.seen.until(lambda: fleet.seen.states("site", sequence)["successful"] == _HOSTS, timeout_s=90)


def _row(name: str, seconds: float, **more: float) -> Row:
    return {"name": name, "value": seconds, "unit": "s", **more}


def _medians(rows: list[Row]) -> list[Row]:
    """One row for each name."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["name"], []).append(row)
    return [
        {**same[0], "value": round(statistics.median(row["value"] for row in same), 3)}
        for same in found.values()
    ]
