"""kill -9 of the real process as each stage of a deployment is reached, and in the middle of writes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edgehost.cli.demo_host import DemoHost, HeardEvents
from edgehost.domain.errors import EdgehostError
from tests.journeys.fleet import Fleet, telemetry

READING = {"load_1m": 0.5, "memory_used_bytes": 1, "memory_total_bytes": 2}


def subprocess_host(fleet: Fleet) -> DemoHost:
    config = fleet.config()
    assert config.path is not None
    return DemoHost(config.path, config.unix_socket)


async def version_of(host: DemoHost) -> str:
    status = await host.get("/api/host/status")
    return str({each["component"]: each["version"] for each in status["components"]}.get("telemetry", ""))


async def until_live(host: DemoHost, version: str) -> None:
    async with asyncio.timeout(20):
        while await version_of(host) != version:
            await asyncio.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["shelved", "staged", "probed", "live", "draining"])
async def test_a_host_killed_at_a_stage_comes_back_on_the_old_release_or_the_new_and_then_goes_on(
    tmp_path: Path, stage: str
) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    host = subprocess_host(fleet)
    await host.start()
    try:
        await until_live(host, "1.0.0")
        heard = HeardEvents(host.client)
        with heard.listening():
            await fleet.publish(telemetry("1.0.1"))
            await heard.wait_for("edgehost.release.moved", lambda data: data["stage"] == stage, timeout_s=20)
            await host.kill()
        await host.start("/api/models/telemetry")
        assert await version_of(host) in {"1.0.0", "1.0.1"}
        await until_live(host, "1.0.1")
    finally:
        await host.stop()


@pytest.mark.slow
async def test_every_acknowledged_record_survives_a_kill_in_the_middle_of_writes(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    host = subprocess_host(fleet)
    await host.start()
    acknowledged: list[str] = []
    enough = asyncio.Event()

    async def keep_writing() -> None:
        while True:
            try:
                answer = await asyncio.to_thread(
                    host.client.request, "POST", "/api/models/telemetry", body=READING
                )
            except (EdgehostError, OSError):
                return  # the kill
            acknowledged.append(answer.json()["id"])
            if len(acknowledged) >= 60:
                enough.set()

    try:
        await until_live(host, "1.0.0")
        async with asyncio.TaskGroup() as tasks:
            for _ in range(4):
                tasks.create_task(keep_writing())
            await enough.wait()
            await host.kill()
        await host.start("/api/models/telemetry")
        page = await host.get("/api/models/telemetry", limit=1000)
        assert set(acknowledged) <= {record["id"] for record in page["records"]}
    finally:
        await host.stop()
