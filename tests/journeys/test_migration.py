"""Records that change form with a release, in the real host with a real guest: under load, refused, and killed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from edgehost.cli.demo_host import DemoHost, HeardEvents
from edgehost.domain.release_life import Stage
from tests.journeys.fleet import Fleet, RunningHost
from tests.journeys.version_guests import NEW, OLD, guest


def old() -> bytes:
    return guest("1.0.0", schema=OLD)


def new(version: str = "2.0.0", *flags: str) -> bytes:
    return guest(version, *flags, schema=NEW, migrate="migrate")


async def records(host: RunningHost) -> list[Any]:
    page = await host.request("GET", "/api/models/notes", limit=1000)
    found: list[Any] = page["records"]
    return found


async def filled(host: RunningHost, *names: str) -> None:
    for name in names:
        await host.request("POST", "/api/models/notes", body={"id": name, "name": name})


async def test_records_migrate_while_they_are_written_and_no_call_fails(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(old())
    async with fleet.host() as host:
        await host.live("notes", "1.0.0")
        await filled(host, *(f"n{number}" for number in range(40)))
        stopping = False
        created: list[str] = []

        async def keep_writing(writer: int) -> None:
            """Records that fit either form: the caller does not know which one holds."""
            while not stopping:
                name = f"w{writer}-{len(created)}"
                made = await host.request("POST", "/api/models/notes", body={"name": name, "names": [name]})
                created.append(made["id"])
                await host.request("PATCH", f"/api/models/notes/{made['id']}", body={"more": 1})
                await host.request("PATCH", f"/api/models/notes/n{writer}", body={"more": len(created)})
                await host.request("POST", f"/api/models/notes/n{writer}/commands/which", body={})

        async with asyncio.TaskGroup() as tasks:
            for writer in range(3):
                tasks.create_task(keep_writing(writer))
            await fleet.publish(new())
            await host.live("notes", "2.0.0")
            stopping = True
        found = {record["id"]: record["data"] for record in await records(host)}
        assert set(created) <= found.keys()
        assert len(found) == 40 + len(created)
        assert all(data["names"] for data in found.values())
        assert [found[f"n{number}"] for number in range(3, 40)] == [
            {"names": [f"n{number}"]} for number in range(3, 40)
        ]


@pytest.mark.parametrize("name", ["refused", "trapped"])
async def test_one_record_without_a_new_form_leaves_the_old_release_live_with_nothing_changed(
    tmp_path: Path, name: str
) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(old())
    async with fleet.host() as host:
        await host.live("notes", "1.0.0")
        await filled(host, "a", "b", name, "c")
        before = await records(host)
        await fleet.publish(new())
        ledger = host.host.control.manager.deployer.ledger

        def is_quarantined() -> bool:
            return any(each.stage is Stage.QUARANTINED for each in ledger.of("notes"))

        await host.until(is_quarantined)
        assert f"no form for the record '{name}'" in ledger.named("notes", "2.0.0").reason
        assert await records(host) == before
        assert host.live_version("notes") == "1.0.0"
        changed = await host.request("PATCH", "/api/models/notes/a", body={"name": "z"})
        assert changed["data"] == {"name": "z"}


async def test_a_rollback_brings_the_records_back_as_they_were(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(old())
    async with fleet.host() as host:
        await host.live("notes", "1.0.0")
        await filled(host, "a", "b")
        await fleet.publish(new())
        await host.live("notes", "2.0.0")
        await host.request("POST", "/api/models/notes", body={"id": "c", "names": ["c"]})
        await host.request("POST", "/api/host/rollback", body={"component": "notes"})
        assert host.live_version("notes") == "1.0.0"
        assert {each["id"]: each["data"] for each in await records(host)} == {
            "a": {"name": "a"},
            "b": {"name": "b"},
        }


@pytest.mark.slow
@pytest.mark.parametrize(
    "event", ["edgehost.migration.progressed", "edgehost.migration.done", "edgehost.release.moved"]
)
async def test_a_host_killed_in_the_middle_of_a_migration_has_all_records_in_one_form(
    tmp_path: Path, event: str
) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(old())
    config = fleet.config()
    assert config.path is not None
    host = DemoHost(config.path, config.unix_socket)
    await host.start()
    try:
        await until(host, "1.0.0")
        for number in range(60):
            body = {"id": f"n{number}", "name": f"n{number}"}
            await asyncio.to_thread(host.client.request, "POST", "/api/models/notes", body=body)
        heard = HeardEvents(host.client)
        with heard.listening():
            await fleet.publish(new())
            await heard.wait_for(event, lambda data: data["version"] == "2.0.0", timeout_s=20)
            await host.kill()
        await host.start("/api/models/notes")
        page = await host.get("/api/models/notes", limit=1000)
        forms = {tuple(record["data"]) for record in page["records"]}
        assert len(page["records"]) == 60
        assert forms in ({("name",)}, {("names",)})
        await until(host, "2.0.0")
        page = await host.get("/api/models/notes", limit=1000)
        assert [record["data"] for record in page["records"]] == [
            {"names": [f"n{number}"]} for number in range(60)
        ]
    finally:
        await host.stop()


async def until(host: DemoHost, version: str) -> None:
    async with asyncio.timeout(20):
        while True:
            status = await host.get("/api/host/status")
            if [each["version"] for each in status["components"] if each["component"] == "notes"] == [
                version
            ]:
                return
            await asyncio.sleep(0.02)
