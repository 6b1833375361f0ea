"""Releases that betray themselves to their callers alone: each is halted by its own gate, by real processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgehost.cli.demo_host import DemoHost
from edgehost.domain.errors import EdgehostError
from tests.journeys.host_fleet import FLEET, HostFleet, host_fleet, request
from tests.journeys.version_guests import guest

HOSTS = ("pi-0", "pi-1", "pi-2")
WHICH = request("POST", "/api/models/notes/a/commands/which", "{}")
GOOD = "1.0.0"


async def nothing(_host: DemoHost, _holds: Callable[[], bool]) -> None:
    """Its callers find out."""


async def killed_again_and_again(host: DemoHost, is_over: Callable[[], bool]) -> None:
    """As the kernel does when the memory runs out: whatever instance the new release has."""
    while not is_over():
        with suppress(EdgehostError, ProcessLookupError):
            for pid in await instances(host, "1.4.0"):
                os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(0.05)


async def instances(host: DemoHost, version: str) -> list[int]:
    """The sandboxes of one version on a host that this test has started."""
    rows = (await host.get("/api/host/instances"))["instances"]
    return [
        each["pid"]
        for each in rows
        if (each["component"], each["version"]) == ("notes", version)
        and each["state"] != "ending"
        and each["pid"] > 1
    ]


@dataclass(frozen=True)
class Bad:
    """A release, the gate that it does not hold, and the words for it."""

    version: str
    flag: str
    gates: dict[str, Any]
    words: str
    trouble: Callable[[DemoHost, Callable[[], bool]], Coroutine[Any, Any, None]] = nothing


BAD = (
    Bad("1.1.0", "TRAPS=3", {"calls_min": 6, "error_rate": 0.1}, "calls failed; 10.0% is the most."),
    # An error that it gives itself is no fault.
    Bad("1.2.0", "REFUSES=3", {"calls_min": 6, "refusal_rate": 0.5}, "calls; 50.0% is the most."),
    Bad("1.3.0", "SLOW=40000000", {"calls_min": 5, "latency_ms": 30}, "ms; 30 ms is the most."),
    Bad(
        "1.4.0",
        "DIES",
        {"calls_min": 1_000_000, "restarts": 2},
        "of its sandboxes died; 2 is the most.",
        killed_again_and_again,
    ),
)


@pytest.mark.timeout(240)
async def test_a_release_that_errs_is_slow_or_dies_is_halted_by_its_gate_and_the_report_says_why(
    tmp_path: Path,
) -> None:
    async with host_fleet(tmp_path) as fleet:
        for name in HOSTS:
            fleet.add(name, "north", probation_s=0)  # which would find some of them out as well
        await fleet.publish(guest(GOOD))
        await fleet.deploy({"name": "site", "components": {"notes": {"version": f"={GOOD}"}}})
        await fleet.start()
        await fleet.seen.until(lambda: fleet.seen.states("site", 1)["successful"] == len(HOSTS))
        note = {"id": "a", "name": "ada"}
        for host in fleet.hosts.values():
            await asyncio.to_thread(host.client.request, "POST", "/api/models/notes", body=note)
        async with fleet.called(WHICH, 0.05):
            for sequence, bad in enumerate(BAD, start=2):
                await is_halted(fleet, bad, sequence)


async def is_halted(fleet: HostFleet, bad: Bad, sequence: int) -> None:
    """One host has it and gives it back; the others never have it."""
    begun = {name: len(load.failed) for name, load in fleet.loads.items()}
    await fleet.publish(guest(bad.version, bad.flag))
    rollout = {"waves": [0.3, 1], "within": "site", "soak_s": 3600, "gates": bad.gates}
    await fleet.deploy(
        {"name": "site", "components": {"notes": {"version": f"={bad.version}"}}, "rollout": rollout}
    )
    await fleet.seen.until(lambda: bool(fleet.seen.first(sequence, "soaking", "failed")))
    (canary,) = fleet.seen.first(sequence, "soaking", "failed")

    def is_over() -> bool:
        return bool(fleet.seen.first(sequence, "failed"))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(bad.trouble(fleet.hosts[canary], is_over))
        await fleet.seen.until(is_over)
    await fleet.seen.until(
        lambda: fleet.seen.states("site", sequence) == {"failed": 1, "halted": len(HOSTS) - 1}
    )
    await fleet.seen.until(lambda: fleet.versions("notes") == {GOOD: len(HOSTS)})
    reports = {name: fleet.seen.newest[f"{name}/twin/deployment/site"] for name in HOSTS}
    why = reports[canary]["reason"]
    assert why.startswith(f"notes: {bad.version} is quarantined: ")
    assert why.endswith(bad.words)
    for name, report in reports.items():
        assert report["reason"] == (why if name == canary else f"It failed on {canary}: {why}")
    await the_hosts_say_so(fleet, canary, bad, reports)
    await the_operator_is_told(fleet, reports)
    others = {name: load for name, load in fleet.loads.items() if name != canary}
    assert all(len(load.failed) == begun[name] for name, load in others.items()), fleet.failed


async def the_hosts_say_so(
    fleet: HostFleet, canary: str, bad: Bad, reports: dict[str, dict[str, Any]]
) -> None:
    for name, host in fleet.hosts.items():
        (told,) = (await host.get("/api/host/deployments"))["deployments"][-1:]
        assert (told["state"], told["reason"]) == (reports[name]["state"], reports[name]["reason"])
        history = await host.get("/api/host/releases")
        stages = {each["version"]: each["stage"] for each in history["releases"]}
        assert stages.get(bad.version, "never here") == ("quarantined" if name == canary else "never here")
        assert stages[GOOD] == "live"


async def the_operator_is_told(fleet: HostFleet, reports: dict[str, dict[str, Any]]) -> None:
    access = ("--broker", f"127.0.0.1:{fleet.broker.tcp_port}", "--fleet", FLEET)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edgehost", "fleet", "watch", "site", *access, "--json"),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 1
    told = {each["host"]: each["reason"] for each in map(json.loads, out.splitlines())}
    assert told == {name: report["reason"] for name, report in reports.items()}
