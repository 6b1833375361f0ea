"""Promises of AEGIS about deployment, kept through a real host: "deployment independence without distribution",
"self-deployment", "zero downtime", "hot deployment", "polyrepo code reuse", "polyglossia", "runtime linking of
WebAssembly modules", "containerless, secure", "multithreading for CPU-bound workloads", "hexagonal architecture".
"""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgehost.cli.demo_fleet import demo_component
from edgehost.config import load_config
from edgehost.domain.component_file import embed_spec
from edgehost.domain.errors import DeadlineExceededError
from tests.journeys.fleet import Fleet, RunningHost, telemetry
from tests.journeys.port_fleet import compiled_file

READING = {"load_1m": 0.5, "memory_used_bytes": 1, "memory_total_bytes": 2}
SECOND_REMOTE = """
[[remotes]]
name = "others"
transport = "folder"
path = "others/mirror"
root = "others/root.json"
"""
BURN = """
#define EH_IMPLEMENTATION
#include "edgehost.h"
EH_EXPORT(burn) {
  for (volatile uint32_t i = 0;; i++) {
  }
  return 0;
}
"""
ROOT = Path(__file__).parents[2]


async def instances(host: RunningHost, component: str) -> list[dict[str, Any]]:
    listed = (await host.request("GET", "/api/host/instances"))["instances"]
    return [instance for instance in listed if instance["component"] == component]


async def first_reading(host: RunningHost) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while not (records := (await host.request("GET", "/api/models/telemetry"))["records"]):
            await asyncio.sleep(0.02)
    reading: dict[str, Any] = records[0]["data"]
    return reading


async def test_deployment_independence_one_component_is_replaced_and_its_neighbour_runs_on(
    tmp_path: Path,
) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    await fleet.publish(demo_component("greeter-1.0.0"))
    async with fleet.host() as host:
        await host.live("telemetry", "1.0.0")
        await host.live("greeter", "1.0.0")
        before = {instance["pid"] for instance in await instances(host, "greeter")}
        await fleet.publish(telemetry("1.0.1"))
        await host.live("telemetry", "1.0.1")
        assert {instance["pid"] for instance in await instances(host, "greeter")} == before


async def test_self_deployment_publishing_is_all_that_is_done(tmp_path: Path) -> None:
    """ "No deployment automation required", "fast deployment": nobody touches the host between publishing and use."""
    fleet = Fleet(tmp_path)
    async with fleet.host() as host:
        await fleet.publish(telemetry("1.0.0"))
        await host.live("telemetry", "1.0.0", timeout_s=10)
        assert (await host.request("POST", "/api/models/telemetry", READING))["data"]["load_1m"] == 0.5


async def test_zero_downtime_hot_deployment_drops_no_call_and_installs_nothing(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    async with fleet.host() as host:
        await host.live("telemetry", "1.0.0")
        record = await host.request("POST", "/api/models/telemetry", READING)
        path = f"/api/models/telemetry/{record['id']}/commands/summary"
        answers: list[object] = []
        swapped = asyncio.Event()

        async def keep_calling() -> None:
            while not swapped.is_set():
                answers.append(await host.request("POST", path, {}))

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(keep_calling(), name="caller")
            for patch in (1, 2):
                await fleet.publish(telemetry(f"1.0.{patch}"))
                await host.live("telemetry", f"1.0.{patch}")
            swapped.set()
        assert answers


@pytest.mark.parametrize("device_class", ["raspberry-pi", "drone"])
async def test_run_on_any_machine_the_same_bytes_are_the_component(tmp_path: Path, device_class: str) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    fleet.config()
    file = tmp_path / "edgehost.toml"
    file.write_text(file.read_text().replace("[host]", f'[host]\ndevice_class = "{device_class}"'))
    async with fleet.host(load_config(file)) as host:
        await host.live("telemetry", "1.0.0")
        release = host.host.control.manager.deployer.ledger.live("telemetry")
        assert release is not None
        assert release.digest == hashlib.sha256(telemetry("1.0.0")).hexdigest()


async def test_polyglossia_components_in_four_languages_run_on_one_host(tmp_path: Path) -> None:
    """ "Write components in any language with a Wasm compile target": C, Rust, Zig and AssemblyScript here."""
    fleet = Fleet(tmp_path)
    names = ("telemetry", "sensors", "greeter", "geofence")
    for name in names:
        await fleet.publish(demo_component(f"{name}-1.0.0"))
    async with fleet.host() as host:
        for name in names:
            await host.live(name, "1.0.0")
        assert "load_1m" in await first_reading(host)


async def test_runtime_linking_and_polyrepo_reuse_modules_of_two_repositories_meet_on_the_host(
    tmp_path: Path,
) -> None:
    """The sensors of one publisher store into the model of another, which arrives later."""
    (tmp_path / "others").mkdir()
    ours, others = Fleet(tmp_path), Fleet(tmp_path / "others")
    await ours.publish(demo_component("sensors-1.0.0"))
    async with ours.host(ours.config(more=SECOND_REMOTE)) as host:
        await host.live("sensors", "1.0.0")
        await others.publish(telemetry("1.0.0"))
        await host.live("telemetry", "1.0.0")
        assert "load_1m" in await first_reading(host)


async def test_secure_and_parallel_two_endless_calls_run_in_processes_of_their_own_and_hold_nobody_up(
    tmp_path: Path,
) -> None:
    """ "Containerless, secure" and "multithreading for CPU-bound workloads"."""
    source = tmp_path / "burn.c"
    source.write_text(BURN)
    content = embed_spec(
        compiled_file(source),
        {
            "name": "burn",
            "version": "1.0.0",
            "kind": "service",
            "service": {"export": "burn"},
            "limits": {"deadline_ms": 2000, "instances_min": 2, "instances_max": 2},
        },
    )
    fleet = Fleet(tmp_path)
    await fleet.publish(content)
    await fleet.publish(telemetry("1.0.0"))
    async with fleet.host() as host:
        await host.live("burn", "1.0.0")
        await host.live("telemetry", "1.0.0")

        async def burn() -> None:
            with pytest.raises(DeadlineExceededError):
                await host.request("POST", "/api/host/call/burn/burn", {})

        async with asyncio.TaskGroup() as tasks:
            burning = [tasks.create_task(burn(), name=f"burn-{n}") for n in range(2)]
            async with asyncio.timeout(20):
                while (
                    len(busy := [each for each in await instances(host, "burn") if each["state"] == "busy"])
                    < 2
                ):
                    await asyncio.sleep(0)
            assert len({each["pid"] for each in busy}) == 2
            await host.request("POST", "/api/models/telemetry", READING)
            assert not any(task.done() for task in burning)


def test_hexagonal_architecture_the_layers_are_held_by_a_linter() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    held = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert held.returncode == 0, held.stdout
