"""A host on a disk of a few MiB, in a mount namespace of its own: run as ``unshare -m python small_disk.py ...``."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from edgehost.domain.errors import EdgehostError
from edgehost.host import started_host
from edgehost.usecases.keep_following import RemoteHealth
from tests.journeys.fleet import Fleet, RunningHost, telemetry

READING = {"load_1m": 0.5, "memory_used_bytes": 1, "memory_total_bytes": 2}
MIB = 1024 * 1024
MOUNT = ("mount", "-t", "tmpfs", "-o", "size=24m,nr_inodes=400,mode=0700", "tmpfs")


def fill(folder: Path, *, what: str, leave: int) -> None:
    """Use up bytes or inodes until so many are left."""
    folder.mkdir(exist_ok=True)
    if what == "bytes":
        free = os.statvfs(folder)
        with (folder / "ballast").open("wb") as file:
            file.write(bytes(max(free.f_bavail * free.f_frsize - leave, 0)))
        return
    for number in range(os.statvfs(folder).f_favail - leave):
        try:
            (folder / str(number)).touch()
        except OSError as problem:
            if problem.errno != errno.ENOSPC:
                raise
            return


async def story(folder: Path, what: str) -> dict[str, Any]:
    """What becomes of records and of a release while the disk is short, and after it was freed."""
    fleet = Fleet(folder)
    await fleet.publish(telemetry("1.0.0"))
    data = folder / "data"
    data.mkdir()
    await asyncio.to_thread(subprocess.run, [*MOUNT, str(data)], check=True)
    config = fleet.config(more="[limits]\nfree_bytes = 4_194_304\n")
    seen: dict[str, Any] = {}
    async with started_host(config) as started:
        host = RunningHost(started)
        await host.live("telemetry", "1.0.0")
        watch: Any = started.control.more_status["disk"].__self__  # type: ignore[attr-defined]
        await watch.look()
        seen["before"] = started.control.more_status["disk"]()["state"]
        fill(data / "ballast", what=what, leave=2 * MIB if what == "bytes" else 40)
        seen["short"] = str(await watch.look())
        seen["finding"] = [dict(each) for each in watch.findings()]
        await fleet.publish(telemetry("1.0.1"))
        health: RemoteHealth = started.control.remotes["fleet"][0]
        follower = started.control.manager.followers[0]
        await follower.catch_up()
        seen["live_while_short"] = host.live_version("telemetry")
        seen["unfinished"] = follower.unfinished
        try:
            record = await host.request("POST", "/api/models/telemetry", body=READING)
            seen["record"] = bool(record["id"])
        except EdgehostError as problem:
            seen["record"] = str(problem)
        for file in (data / "ballast").iterdir():
            file.unlink()
        seen["after"] = str(await watch.look())
        await host.request("POST", "/api/host/refresh", body={})
        await host.live("telemetry", "1.0.1")
        seen["live_after"] = host.live_version("telemetry")
        seen["health"] = health.state
    return seen


if __name__ == "__main__":
    print(json.dumps(asyncio.run(story(Path(sys.argv[1]), sys.argv[2]))))  # noqa: T201 - the answer
