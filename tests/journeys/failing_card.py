"""A host whose card turns read-only while it runs, in a mount namespace of its own: ``unshare -m python ...``."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from edgehost.adapters.storage.spare_socket import spare_sockets
from edgehost.cli.demo_host import DemoHost
from edgehost.domain.errors import EdgehostError
from edgehost.host import started_host
from tests.journeys.fleet import Fleet, RunningHost, telemetry

READING = {"load_1m": 0.5, "memory_used_bytes": 1, "memory_total_bytes": 2}


class Lines(logging.Handler):
    """What the host logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.levelname} {record.name} {record.getMessage()}")


def shell(*words: str | Path) -> None:
    subprocess.run([str(word) for word in words], check=True, capture_output=True)


async def refused(host: RunningHost, method: str, path: str, body: Any = None) -> dict[str, Any]:
    """How it was refused; empty when it was not."""
    try:
        await host.request(method, path, body=body)
    except EdgehostError as problem:
        return {"kind": type(problem).__name__, "message": problem.message, "hint": problem.hint}
    return {}


async def seen_by(started: Any, host: RunningHost) -> dict[str, Any]:
    """What reads, writes and the host's own words say now."""
    watch: Any = started.control.more_status["disk"].__self__
    state = str(await watch.look())
    findings = (await host.request("GET", "/api/host/doctor"))["findings"]
    return {
        "state": state,
        "findings": [each for each in findings if each["check"] == "disk"],
        "status": (await host.request("GET", "/api/host/status"))["disk"]["state"],
        "records": len((await host.request("GET", "/api/models/telemetry"))["records"]),
        "write": await refused(host, "POST", "/api/models/telemetry", READING),
    }


async def story(folder: Path) -> dict[str, Any]:
    fleet = Fleet(folder)
    await fleet.publish(telemetry("1.0.0"))
    data, image = folder / "data", folder / "card.img"
    data.mkdir()
    with image.open("wb") as file:
        file.truncate(32 * 1024 * 1024)
    await asyncio.to_thread(shell, "mkfs.ext4", "-q", "-O", "^has_journal", image)
    await asyncio.to_thread(shell, "mount", "-o", "loop", image, data)
    heard = Lines()
    logging.getLogger().addHandler(heard)
    logging.getLogger().setLevel(logging.INFO)
    seen: dict[str, Any] = {}
    async with started_host(fleet.config(more="[limits]\nfree_bytes = 1_048_576\n")) as started:
        host = RunningHost(started)
        await host.live("telemetry", "1.0.0")
        record = await host.request("POST", "/api/models/telemetry", body=READING)
        command = f"/api/models/telemetry/{record['id']}/commands/summary"
        called = seen["calls"] = []
        seen["before"] = await seen_by(started, host)
        # A read-only mount in the way of every path, as long as it lies there.
        await asyncio.to_thread(shell, "mount", "--bind", data, data)
        await asyncio.to_thread(shell, "mount", "-o", "remount,bind,ro", data)
        seen["covered"] = await seen_by(started, host)
        await asyncio.to_thread(shell, "umount", data)
        seen["uncovered"] = await seen_by(started, host)
        # What the kernel does on errors: files that are open cannot be written any more either.
        await asyncio.to_thread(shell, "mount", "-o", "remount,abort", data)
        seen["aborted"] = await seen_by(started, host)
        called.append(bool(await host.request("POST", command, body={})))
        await fleet.publish(telemetry("1.0.1"))
        seen["refresh"] = await refused(host, "POST", "/api/host/refresh", {})
        seen["live"] = host.live_version("telemetry")
        seen["again"] = await seen_by(started, host)
        called.append(bool(await host.request("POST", command, body={})))
        seen["lines"] = heard.lines
        started.stopping.set()
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "edgehost", "doctor", "-c", str(folder)],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    seen["doctor"] = {"code": done.returncode, "said": done.stdout + done.stderr}
    restarted = DemoHost(folder / "edgehost.toml", data / "edgehost.sock")
    await restarted.start()
    try:
        seen["restarted"] = (await restarted.get("/api/host/status"))["agent"]
    finally:
        await restarted.stop()
    seen["said"] = (folder / "host.log").read_text()
    await no_spare_folders(restarted)
    return seen


async def no_spare_folders(host: DemoHost) -> None:
    """Memory is given back, which a machine does at its next boot."""
    for spare in (*spare_sockets(host.socket), *spare_sockets(host.socket.parent)):
        await asyncio.to_thread(shutil.rmtree, spare.parent)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(story(Path(sys.argv[1])))))  # noqa: T201 - the answer
