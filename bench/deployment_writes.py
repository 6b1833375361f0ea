"""What a deployment writes to the disk of its host, by the host's own count and by the kernel's."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any, Final

from edgehost.cli.demo_figures import children
from edgehost.cli.demo_fleet import as_version, demo_component
from edgehost.cli.demo_host import DemoHost
from tests.journeys.host_fleet import HostFleet, host_fleet

Row = dict[str, Any]

SIZES: Final = {"50 KB": 50_000, "2 MB": 2_000_000}
#: A deployment may write so many times its component's size.
BUDGET: Final = 2.0


async def deployment_writes(folder: Path, rounds: int) -> list[Row]:
    """Signed deployments of one new component each, at a host over MQTT; the first, which brings all else, is not counted."""
    own: dict[str, list[int]] = {}
    kernel: dict[str, list[int]] = {}
    async with host_fleet(folder) as fleet:
        host = fleet.add("pi-00", "site-0", probation_s=0)
        await _deploy(fleet, 1, 0)
        await fleet.start()
        await _is_in(fleet, 1)
        sequence = 1
        for name, size in SIZES.items():
            for _ in range(rounds):
                sequence += 1
                before, at_kernel = await _own_count(host), _kernel_count(host.pid)
                await _deploy(fleet, sequence, size)
                await _is_in(fleet, sequence)
                own.setdefault(name, []).append(await _own_count(host) - before)
                after = _kernel_count(host.pid)
                if at_kernel is not None and after is not None and after > at_kernel:  # none in memory
                    kernel.setdefault(name, []).append(after - at_kernel)
    return [
        _row(
            f"disk bytes written per deployment of {name}, by {who}", statistics.median(counted), SIZES[name]
        )
        for who, figures in (("the host's count", own), ("the kernel's count", kernel))
        for name, counted in figures.items()
    ]


async def _deploy(fleet: HostFleet, sequence: int, size: int) -> None:
    version = f"1.0.{sequence}"
    await fleet.publish(as_version(demo_component("telemetry-1.0.0"), version, size))
    await fleet.deploy({"name": "site", "components": {"telemetry": {"version": f"={version}"}}})


async def _is_in(fleet: HostFleet, sequence: int) -> None:
    await fleet.seen.until(lambda: fleet.seen.states("site", sequence)["successful"] == 1, timeout_s=60)


async def _own_count(host: DemoHost) -> int:
    return int((await host.get("/api/host/status"))["writes"]["deployments_bytes"])


def _kernel_count(pid: int) -> int | None:
    """What host and trust process have dirtied, in whole pages (proc(5)); None where the kernel does not count."""
    try:
        return sum(_written_by(each) for each in (pid, *children(pid)))
    except (OSError, KeyError):
        return None


def _written_by(pid: int) -> int:
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    counted = {name: int(value) for name, _, value in (line.partition(":") for line in lines)}
    return counted["write_bytes"] - counted["cancelled_write_bytes"]


def _row(name: str, value: float, size: int) -> Row:
    return {
        "name": name,
        "value": value,
        "unit": "bytes",
        "times_its_size": round(value / size, 2),
        "budget_bytes": int(BUDGET * size),
    }
