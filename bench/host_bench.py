"""The whole host as a process: start-up, memory, publish to live, bytes written, and what ``--help`` costs."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.host_memory import host_memory
from edgehost.adapters.broker.embedded_broker import open_broker
from edgehost.cli.demo_figures import children, private_mb
from edgehost.cli.demo_fleet import REMOTE, DemoFleet, as_version, demo_component
from edgehost.cli.demo_host import DemoHost, HeardEvents
from edgehost.cli.demo_story import _CONFIG
from edgehost.domain.component_file import embed_spec, padded, read_component
from edgehost.domain.spec_document import spec_document
from remotes.mqtt_options import MqttOptions

Row = dict[str, Any]

COMPONENT_BYTES = 50 * 1024
IDLE_S = 12.0  # longer than the trust process is kept


def run(quick: bool = False) -> list[Row]:  # noqa: FBT001, FBT002 - the benches are called alike
    """Rows of name, value and unit."""
    return [*_commands(3 if quick else 9), *asyncio.run(_host(5 if quick else 15, 3 if quick else 7))]


def _row(name: str, value: float, unit: str, **more: float | str) -> Row:
    return {"name": name, "value": round(value, 3), "unit": unit, **more}


def _commands(rounds: int) -> list[Row]:
    bare = _median_ms([sys.executable, "-c", "pass"], rounds)
    rows = [_row("bare Python", bare, "ms")]
    for words in (["--help"], ["call", "--help"]):
        spent = _median_ms([sys.executable, "-m", "edgehost", *words], rounds)
        rows.append(_row(f"edgehost {' '.join(words)}", spent, "ms", ratio=round(spent / bare, 2)))
    return rows


def _median_ms(command: list[str], rounds: int) -> float:
    spent = []
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        spent.append((time.perf_counter() - began) * 1000)
    return statistics.median(spent)


async def _host(releases: int, starts: int) -> list[Row]:
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="edgehost-bench-") as scratch:
        folder = Path(scratch)
        async with open_broker() as broker:
            fleet = DemoFleet(folder, MqttOptions(broker.host, broker.tcp_port))
            root = fleet.make()
            (folder / "root.json").write_bytes(root.read_bytes())
            config = folder / "edgehost.toml"
            config.write_text(_CONFIG.format(remote=REMOTE, tcp_port=broker.tcp_port))
            host = DemoHost(config, folder / "data" / "edgehost.sock")
            try:
                rows.append(_row("start, no components", await _start_ms(host, starts), "ms"))
                await asyncio.sleep(IDLE_S)
                rows.append(_memory_row("idle host, no components", host))
                rows += await _publish_to_live(fleet, host, releases)
                await asyncio.sleep(IDLE_S)
                rows += await _memory(host)
                await _ten_components(fleet, host)
                rows.append(_row("start, ten components", await _start_ms(host, starts), "ms"))
            finally:
                await host.stop()
    return rows


async def _start_ms(host: DemoHost, starts: int) -> float:
    spent = []
    for _ in range(starts):
        await host.stop()
        spent.append(await host.start())
    return statistics.median(spent)


async def _publish_to_live(fleet: DemoFleet, host: DemoHost, releases: int) -> list[Row]:
    component = demo_component("telemetry-1.1.0")
    spent: list[float] = []
    written: list[int] = []
    heard = HeardEvents(host.client)
    with heard.listening():
        for number in range(releases + 1):
            version = f"1.1.{number}"
            published = fleet.sign(as_version(component, version, COMPONENT_BYTES))
            before = _bytes_written(host.pid)
            began = time.perf_counter()
            await fleet.mirror(published)
            live_at = await heard.wait_for("edgehost.release.moved", _live(version), timeout_s=30)
            if number:  # the first pays for the trust process
                spent.append((live_at - began) * 1000)
                written.append(_bytes_written(host.pid) - before)
    return [
        _row("50 KiB, published to live, p50", statistics.median(spent), "ms", rounds=len(spent)),
        _row("50 KiB, published to live, worst", max(spent), "ms"),
        _row(
            "bytes written by the host for such a deployment",
            statistics.median(written),
            "bytes",
            ratio_to_its_size=round(statistics.median(written) / COMPONENT_BYTES, 2),
        ),
    ]


def _live(version: str, component: str = "telemetry") -> Callable[[dict[str, Any]], bool]:
    def matches(data: dict[str, Any]) -> bool:
        return (data["component"], data["version"], data["stage"]) == (component, version, "live")

    return matches


def _bytes_written(pid: int) -> int:
    """What the process has sent to the disk, in whole pages; files removed before that do not count (proc(5))."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    counted = {name: int(value) for name, _, value in (line.partition(":") for line in lines)}
    return counted["write_bytes"] - counted["cancelled_write_bytes"]


async def _memory(host: DemoHost) -> list[Row]:
    document = await host.get("/api/host/instances")
    instances = next(iter(document.values())) if isinstance(document, dict) else document
    pids = [int(instance["pid"]) for instance in instances]
    private = sum(private_mb(pid) for pid in pids) / len(pids)
    return [
        _memory_row("idle host, one model live", host),
        _row("each sandbox, private", private, "MB"),
    ]


def _memory_row(name: str, host: DemoHost) -> Row:
    """The agent and its zygote; sandboxes are counted by themselves."""
    taken = host_memory([host.pid, *children(host.pid)])
    return _row(name, taken.pss, "MB PSS", anonymous=round(taken.anonymous, 3), alone=round(taken.alone, 3))


async def _ten_components(fleet: DemoFleet, host: DemoHost) -> None:
    component = demo_component("telemetry-1.1.0")
    document = spec_document(read_component(component))
    heard = HeardEvents(host.client)
    with heard.listening():
        for number in range(9):
            name = f"telemetry-{number}"
            model = {**document["model"], "name": name, "endpoint": name}
            content = embed_spec(component, {**document, "name": name, "version": "2.0.0", "model": model})
            await fleet.mirror(fleet.sign(padded(content, COMPONENT_BYTES)))
            await heard.wait_for("edgehost.release.moved", _live("2.0.0", name), timeout_s=30)
