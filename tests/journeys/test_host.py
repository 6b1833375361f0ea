from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edgehost.cli.demo_fleet import demo_component
from edgehost.domain.errors import EdgehostError, NotFoundError, UnavailableError
from edgehost.domain.release_life import Stage
from tests.journeys.fleet import Fleet, telemetry


async def test_a_published_model_is_served_stored_and_swapped(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    async with fleet.host() as host:
        with pytest.raises(NotFoundError):
            await host.request("GET", "/api/models/telemetry")
        await fleet.publish(telemetry("1.0.0"))
        await host.live("telemetry", "1.0.0")
        created = await host.request("POST", "/api/models/telemetry", body=READING)
        assert created["data"]["memory_used_percent"] == 50
        await fleet.publish(telemetry("1.0.1"))
        await host.live("telemetry", "1.0.1")
        found = await host.request("GET", f"/api/models/telemetry/{created['id']}")
        assert found["data"] == created["data"]


async def test_a_service_calls_the_model_by_time_and_its_records_arrive(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    await fleet.publish(demo_component("sensors-1.0.0"))
    async with fleet.host() as host:
        await host.live("sensors", "1.0.0")
        await host.live("telemetry", "1.0.0")
        records: list[dict[str, object]] = []
        async with asyncio.timeout(20):
            while not records:
                page = await host.request("GET", "/api/models/telemetry")
                records = page["records"]
        assert "load_1m" in records[0]["data"]  # type: ignore[operator]


async def test_a_restart_serves_the_same_records_and_release_without_its_remote(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    async with fleet.host() as host:
        await host.live("telemetry", "1.0.0")
        created = await host.request("POST", "/api/models/telemetry", body=READING)
    (tmp_path / "mirror").rename(tmp_path / "gone")
    async with fleet.host() as host:
        assert host.live_version("telemetry") == "1.0.0"
        assert await host.request("GET", f"/api/models/telemetry/{created['id']}") == created


async def test_a_release_that_misbehaves_is_rolled_back_and_stays_away(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    async with fleet.host() as host:
        await fleet.publish(telemetry("1.0.0"))
        await host.live("telemetry", "1.0.0")
        await fleet.publish(telemetry("1.2.0"))
        await host.live("telemetry", "1.2.0")
        failed = 0
        while host.live_version("telemetry") == "1.2.0":
            try:
                await host.request("POST", "/api/models/telemetry", body=READING)
            except EdgehostError:
                failed += 1
        assert failed > 1
        await host.live("telemetry", "1.0.0")
        bad = host.host.control.manager.deployer.ledger.named("telemetry", "1.2.0")
        assert bad.stage is Stage.QUARANTINED
        await host.request("POST", "/api/host/refresh", body={})
        await fleet.publish(telemetry("1.0.3"))
        await host.live("telemetry", "1.0.3")


async def test_no_call_fails_while_releases_change_under_load(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    async with fleet.host() as host:
        await host.live("telemetry", "1.0.0")
        record = await host.request("POST", "/api/models/telemetry", body=READING)
        path = f"/api/models/telemetry/{record['id']}/commands/summary"
        stopping = False
        answers: list[object] = []

        async def keep_calling() -> None:
            while not stopping:
                answers.append(await host.request("POST", path, body={}))

        async with asyncio.TaskGroup() as tasks:
            for _ in range(4):
                tasks.create_task(keep_calling())
            for patch in range(1, 6):
                await fleet.publish(telemetry(f"1.0.{patch}"))
                await host.live("telemetry", f"1.0.{patch}")
            stopping = True
        assert len(answers) > 20


async def test_an_operator_pins_rolls_back_and_lifts_a_quarantine(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    async with fleet.host() as host:
        for version in ("1.0.0", "1.0.1"):
            await fleet.publish(telemetry(version))
            await host.live("telemetry", version)
        await host.request("POST", "/api/host/rollback", body={"component": "telemetry"})
        assert host.live_version("telemetry") == "1.0.0"
        with pytest.raises(EdgehostError, match="quarantined"):
            await host.request(
                "POST", "/api/host/deploy", body={"component": "telemetry", "version": "1.0.1"}
            )
        bad = host.host.control.manager.deployer.ledger.named("telemetry", "1.0.1")
        await host.request("POST", "/api/host/unquarantine", body={"digest": bad.digest})
        await host.request("POST", "/api/host/deploy", body={"component": "telemetry", "version": "1.0.0"})
        await fleet.publish(telemetry("1.0.2"))
        await host.request("POST", "/api/host/refresh", body={})
        assert host.live_version("telemetry") == "1.0.0"
        await host.request("POST", "/api/host/deploy", body={"component": "telemetry"})
        assert host.live_version("telemetry") == "1.0.2"
        for order, pinned in (({"version": "1.0.2"}, True), ({}, False)):  # it is live already
            await host.request("POST", "/api/host/deploy", body={"component": "telemetry", **order})
            (shown,) = (await host.request("GET", "/api/host/status"))["components"]
            assert (shown["version"], shown["pinned"]) == ("1.0.2", pinned)


async def test_a_live_release_whose_file_is_damaged_gives_way_until_the_remote_brings_it_again(
    tmp_path: Path,
) -> None:
    fleet = Fleet(tmp_path)
    async with fleet.host() as host:
        for version in ("1.0.0", "1.0.1"):
            await fleet.publish(telemetry(version))
            await host.live("telemetry", version)
        manager = host.host.control.manager
        await host.until(lambda: manager.deployer.ledger.named("telemetry", "1.0.0").stage is Stage.RETIRED)
        digest = manager.deployer.ledger.named("telemetry", "1.0.1").digest
    file = next((tmp_path / "data" / "releases").rglob(f"{digest}*"))
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)
    (tmp_path / "mirror").rename(tmp_path / "gone")
    async with fleet.host() as host:
        assert host.live_version("telemetry") == "1.0.0"
        (tmp_path / "gone").rename(tmp_path / "mirror")  # the remote is back, and with it the lost file
        await host.request("POST", "/api/host/refresh", body={})
        await host.live("telemetry", "1.0.1")
        assert manager.deployer.ledger.named("telemetry", "1.0.1").reason == ""


async def test_two_hosts_never_share_a_data_folder(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    async with fleet.host():
        with pytest.raises(UnavailableError, match="another"):
            async with fleet.host():
                pass


READING = {"load_1m": 0.5, "memory_used_bytes": 1, "memory_total_bytes": 2}
