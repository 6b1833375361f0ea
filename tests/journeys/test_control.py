"""What an operator asks of the running host, over its own socket."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from edgehost.domain.errors import EdgehostError, NotFoundError
from tests.journeys.fleet import Fleet, telemetry

READING = {"load_1m": 0.5, "memory_used_bytes": 1, "memory_total_bytes": 2}


async def test_status_names_what_runs_and_how_its_remotes_and_defences_are(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    async with fleet.host() as host:
        await host.live("telemetry", "1.0.0")
        await host.request("POST", "/api/models/telemetry", body=READING)
        status = await host.request("GET", "/api/host/status")
        assert status["name"] == "journey"
        (component,) = status["components"]
        assert (component["component"], component["version"], component["endpoint"]) == (
            "telemetry",
            "1.0.0",
            "telemetry",
        )
        assert component["calls"] >= 1
        assert component["faults"] == 0
        assert status["remotes"][0]["name"] == "fleet"
        assert status["storage"]["records"] == 1
        assert set(status["confinement"].values()) == {"on"}


async def test_instances_releases_and_logs_are_listed(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    async with fleet.host() as host:
        await host.live("telemetry", "1.0.0")
        record = await host.request("POST", "/api/models/telemetry", body=READING)
        await host.request("POST", f"/api/models/telemetry/{record['id']}/commands/summary", body={})
        (instance,) = (await host.request("GET", "/api/host/instances"))["instances"]
        assert instance["component"] == "telemetry"
        os.kill(instance["pid"], 0)
        (release,) = (await host.request("GET", "/api/host/releases", component="telemetry"))["releases"]
        assert release["stage"] == "live"
        lines = (await host.request("GET", "/api/host/logs", component="telemetry"))["lines"]
        assert [(line["level"], line["message"]) for line in lines] == [("debug", "summary")]
        with pytest.raises(NotFoundError, match="Did you mean 'telemetry'"):
            await host.request("GET", "/api/host/releases", component="telemetri")


async def test_doctor_finds_faults_of_components_and_remotes(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    async with fleet.host() as host:
        await host.live("telemetry", "1.0.0")
        good = (await host.request("GET", "/api/host/doctor"))["findings"]
        assert {finding["state"] for finding in good} == {"ok"}
        running = host.host.control.manager.deployer.running.require("telemetry")
        running.note(fault=True)
        (tmp_path / "mirror").rename(tmp_path / "gone")
        await host.request("POST", "/api/host/refresh", body={})
        async with asyncio.timeout(20):
            while host.host.control.remotes["fleet"][0].state != "unreachable":
                await asyncio.sleep(0.01)
        bad = {
            finding["check"]: finding
            for finding in (await host.request("GET", "/api/host/doctor"))["findings"]
        }
        assert bad["component telemetry"]["state"] == "warning"
        assert bad["remote fleet"]["state"] == "warning"
        assert "goes on trying" in bad["remote fleet"]["hint"]


async def test_an_operator_calls_an_export_and_is_told_what_is_not_there(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    async with fleet.host() as host:
        await host.live("telemetry", "1.0.0")
        body = {"event": "create", "id": "x", "data": READING}
        answer = await host.request("POST", "/api/host/call/telemetry/validate", body=body)
        assert answer["data"]["memory_used_percent"] == 50
        for method, path, sent in (
            ("POST", "/api/host/call/telemetri/validate", body),
            ("POST", "/api/host/call/telemetry/nothing", body),
            ("POST", "/api/host/rollback", {"component": "telemetri"}),
            ("POST", "/api/host/rollback", {"component": "telemetry"}),
            ("POST", "/api/host/refresh", {"remote": "flet"}),
            ("POST", "/api/host/deploy", {"component": "nothing"}),
            ("POST", "/api/host/unquarantine", {"digest": "0" * 64}),
        ):
            with pytest.raises(NotFoundError):
                await host.request(method, path, body=sent)


async def test_only_a_quarantined_release_can_be_lifted(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    async with fleet.host() as host:
        await host.live("telemetry", "1.0.0")
        digest = host.host.control.manager.deployer.ledger.named("telemetry", "1.0.0").digest
        with pytest.raises(EdgehostError, match="not quarantined"):
            await host.request("POST", "/api/host/unquarantine", body={"digest": digest})


async def test_a_host_that_is_asked_to_stop_begins_to_end(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    async with fleet.host() as host:
        await host.request("POST", "/api/host/stop", body={})
        assert host.host.stopping.is_set()
