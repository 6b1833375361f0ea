"""Deployments through a real host: signed, fetched, followed, superseded, taken back, and after a kill."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from edgehost.cli.demo_fleet import as_version, demo_component
from edgehost.domain.deployment_reader import signed_bytes
from edgehost.domain.signed_document import DocumentKind
from edgehost.usecases.collect_shelf import collect_shelf
from remotes.document_publisher import publish_document
from remotes.folder_transport import open_folder_transport
from remotes.mirror import mirror_repository
from remotes.repository import Repository
from tests.journeys.fleet import Fleet, RunningHost, telemetry


async def deploy(fleet: Fleet, document: dict[str, Any]) -> None:
    """Sign a deployment and let hosts see it."""
    published = await asyncio.to_thread(
        publish_document,
        fleet.folder / "repository",
        DocumentKind.DEPLOYMENT,
        document["name"],
        lambda sequence: signed_bytes(document, sequence),
        signers=[fleet.signer],
        now=time.time(),  # noqa: TID251 - the publisher's wall clock
    )
    async with open_folder_transport(fleet.folder / "mirror") as transport:
        await mirror_repository(
            Repository(fleet.folder / "repository"),
            transport,
            fresh=published.fresh,
            before=published.before,
        )


def state(host: RunningHost, name: str = "site") -> str:
    rows = host.host.control.more_status["deployments"]()
    row = rows.get(name, {})
    return f"{row.get('state', '')} {row.get('sequence', 0)}"


async def test_a_host_goes_where_a_deployment_wants_it_and_shows_it(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    for version in ("1.0.0", "1.0.1"):
        await fleet.publish(telemetry(version))
    async with fleet.host() as host:
        await host.live("telemetry", "1.0.1")
        document = {
            "name": "site",
            "components": {
                "telemetry": {"version": "=1.0.0", "merge": {"unit": "percent"}},
                "ghost": {"version": "^1"},
            },
        }
        plan = await host.request("POST", "/api/host/deployment-plan", body=document)
        steps = {each["component"]: each for each in plan["deployments"][0]["components"]}
        assert [step["action"] for step in steps["telemetry"]["steps"]] == ["fetch", "deploy"]
        assert "No remote offers a component 'ghost'" in steps["ghost"]["reason"]
        assert host.live_version("telemetry") == "1.0.1"  # a plan changes nothing

        await deploy(fleet, document)
        await host.live("telemetry", "1.0.0")
        status = await host.request("GET", "/api/host/status")
        assert status["deployments"]["site"]["state"] == "applying"
        assert "ghost" in status["deployments"]["site"]["reason"]
        await fleet.publish(as_version(demo_component("sensors-1.0.0"), "1.0.0"))
        del document["components"]["ghost"]  # type: ignore[attr-defined]
        await deploy(fleet, document)
        await host.until(lambda: state(host) == "successful 2")
        await host.live("sensors", "1.0.0")  # what no deployment names is followed as ever
        shown = await host.request("GET", "/api/host/deployments")
        (component,) = shown["deployments"][0]["components"]
        assert (component["standing"], component["version"]) == ("reached", "1.0.0")
        again = await host.request("GET", "/api/host/deployment-plan")
        assert again["deployments"][0]["changes"] == 0


async def test_a_host_keeps_to_its_deployment_without_its_remote_and_without_a_write(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    for version in ("1.0.0", "1.0.1"):
        await fleet.publish(telemetry(version))
    await deploy(fleet, {"name": "site", "components": {"telemetry": {"version": "=1.0.0"}}})
    async with fleet.host() as host:
        await host.until(lambda: state(host) == "successful 1")
    files = sorted((tmp_path / "data" / "deployments").iterdir())
    before = [(file.name, file.stat().st_mtime_ns) for file in files]
    (tmp_path / "mirror").rename(tmp_path / "gone")
    async with fleet.host() as host:
        assert host.live_version("telemetry") == "1.0.0"
        await host.until(lambda: state(host) == "successful 1")
        host.host.control.manager.changed()
        await asyncio.sleep(0.1)  # nothing can be waited for that must not happen
        assert [(file.name, file.stat().st_mtime_ns) for file in files] == before


async def test_no_call_fails_while_configuration_changes_and_the_component_stops_when_it_should(
    tmp_path: Path,
) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    async with fleet.host() as host:
        await host.live("telemetry", "1.0.0")
        stop, calls = asyncio.Event(), 0

        async def load() -> None:
            nonlocal calls
            while not stop.is_set():
                await host.request("GET", "/api/models/telemetry")
                calls += 1

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(load())
            for sequence in (1, 2, 3):
                wanted = {"telemetry": {"merge": {"round": str(sequence)}}}
                await deploy(fleet, {"name": "site", "components": wanted})
                await host.until(lambda done=sequence: state(host) == f"successful {done}")
            stop.set()
        assert calls > 3
        await deploy(fleet, {"name": "site", "components": {"telemetry": {"present": False}}})
        await host.until(lambda: state(host) == "successful 4")
        models = await host.request("GET", "/api/host/config", details="models")
        assert "telemetry" not in str(models)
    async with fleet.host() as host:
        assert host.host.control.manager.deployer.running.all() == ()


async def test_all_or_none_with_one_that_cannot_run_changes_nothing(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    await fleet.publish(demo_component("sensors-1.0.0"))
    async with fleet.host() as host:
        await host.live("telemetry", "1.0.0")
        await host.live("sensors", "1.0.0")
        held = {"telemetry": {"version": "=1.0.0"}, "sensors": {"version": "=1.0.0"}}
        await deploy(fleet, {"name": "site", "components": held})
        await host.until(lambda: state(host) == "successful 1")
        await fleet.publish(telemetry("1.0.1"))
        bad = bytearray(as_version(demo_component("sensors-1.0.0"), "1.0.1"))
        bad[40] ^= 0xFF  # the signature holds; the code does not
        await fleet.publish(bytes(bad))
        news = {"telemetry": {"version": "=1.0.1"}, "sensors": {"version": "=1.0.1"}}
        await deploy(fleet, {"name": "site", "on_failure": "all-or-none", "components": news})
        await host.until(lambda: state(host) == "failed 2")
        assert (host.live_version("telemetry"), host.live_version("sensors")) == ("1.0.0", "1.0.0")


async def test_a_host_has_the_documents_on_its_shelf_for_its_neighbours_whomever_they_are_for(
    tmp_path: Path,
) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    await deploy(fleet, {"name": "others", "hosts": {"ids": ["neighbour"]}, "components": {}})
    await deploy(fleet, {"name": "site", "components": {"telemetry": {"version": "^1"}}})
    async with fleet.host() as host:
        await host.until(lambda: state(host) == "successful 1")
        ledger = host.host.control.manager.deployer.ledger
        shelf = host.host.control.manager.deployer.shelf
        digests = set(ledger.beside())
        assert len(digests) == 2
        await collect_shelf(shelf, ledger, keep_good=1)
        assert all([await shelf.has(digest) for digest in digests])
