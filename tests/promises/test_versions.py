"""Promises of AEGIS about versions, kept through a real host with guests in C: "evergreen deployment and semantic
versioning" and "dynamic A/B testing".
"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from edgehost.domain.errors import EdgehostError
from tests.journeys.fleet import Fleet, RunningHost
from tests.journeys.version_guests import NEW, OLD, guest


async def which(host: RunningHost, **headers: str) -> str:
    path = "/api/models/notes/a/commands/which"
    answer = await asyncio.to_thread(host.client.request, "POST", path, body={}, headers=headers)
    return str(answer.json()["result"]["version"])


async def made(host: RunningHost) -> None:
    await host.request("POST", "/api/models/notes", body={"id": "a", "name": "ada"})


async def order(host: RunningHost, **wanted: Any) -> Any:
    return await host.request("POST", "/api/host/traffic/notes", body=wanted)


async def test_evergreen_deployment_follows_semantic_versions_within_the_wanted_range(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    async with fleet.host(fleet.config(more='\n[components.notes]\nversion = "^1.0"\n')) as host:
        await fleet.publish(guest("1.0.0"))
        await host.live("notes", "1.0.0")
        await made(host)
        await fleet.publish(guest("2.0.0"))
        await fleet.publish(guest("1.1.0"))
        await host.live("notes", "1.1.0")
        await fleet.publish(guest("1.10.0"))
        await host.live("notes", "1.10.0")
        await fleet.publish(guest("1.9.0"))  # published later, and still the lower version
        await host.request("POST", "/api/host/refresh", body={})
        assert await which(host) == "1.10.0"


async def test_evergreen_deployment_takes_the_records_along_and_an_update_that_cannot_changes_nothing(
    tmp_path: Path,
) -> None:
    fleet = Fleet(tmp_path)
    async with fleet.host() as host:
        await fleet.publish(guest("1.0.0", schema=OLD))
        await host.live("notes", "1.0.0")
        await made(host)
        await fleet.publish(guest("2.0.0", "TRAP", schema=NEW, migrate="absent"))
        ledger = host.host.control.manager.deployer.ledger
        await host.until(lambda: any(each.stage == "quarantined" for each in ledger.of("notes")))
        assert await which(host) == "1.0.0"
        await fleet.publish(guest("2.0.1", schema=NEW, migrate="migrate"))
        await host.live("notes", "2.0.1")
        record = await host.request("GET", "/api/models/notes/a")
        assert record["data"] == {"names": ["ada"]}


async def test_dynamic_a_b_testing_divides_calls_between_live_versions_and_is_changed_while_they_run(
    tmp_path: Path,
) -> None:
    fleet = Fleet(tmp_path)
    async with fleet.host(fleet.config(more='\n[components.notes]\nversion = "1.0.0"\n')) as host:
        await fleet.publish(guest("1.0.0"))
        await host.live("notes", "1.0.0")
        await made(host)
        await fleet.publish(guest("1.1.0"))
        await order(host, shares={"1.1.0": 0.5}, sticky="header:edgehost-sticky")
        callers = {f"caller-{number}" for number in range(30)}
        first = {caller: await which(host, **{"Edgehost-Sticky": caller}) for caller in callers}
        assert set(first.values()) == {"1.0.0", "1.1.0"}
        again = {caller: await which(host, **{"Edgehost-Sticky": caller}) for caller in callers}
        assert again == first
        shown = await host.request("GET", "/api/host/traffic/notes")
        (candidate,) = shown["candidates"]
        assert candidate["figures"]["calls"] == 2 * Counter(first.values())["1.1.0"]
        assert candidate["figures"]["error_rate"] == 0
        await order(host, promote="1.1.0")
        assert {await which(host) for _ in range(5)} == {"1.1.0"}


async def test_dynamic_a_b_testing_ends_a_trial_that_does_worse_without_a_failed_call(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    rules = '\n[components.notes.traffic]\ncandidate = "^1.1"\nweight = 0.5\nmin_calls = 10\n'
    async with fleet.host(fleet.config(more=rules)) as host:
        await fleet.publish(guest("1.0.0"))
        await host.live("notes", "1.0.0")
        await made(host)
        await fleet.publish(guest("1.1.0", "TRAP"))
        ledger = host.host.control.manager.deployer.ledger
        await host.until(lambda: bool(ledger.candidates("notes")))
        while ledger.candidates("notes"):
            await host.request("POST", "/api/models/notes", body={"name": "ada"})
        assert ledger.named("notes", "1.1.0").stage == "quarantined"
        assert await which(host) == "1.0.0"


async def test_dynamic_a_b_testing_refuses_a_version_that_serves_other_records(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    async with fleet.host(fleet.config(more='\n[components.notes]\nversion = "1.0.0"\n')) as host:
        await fleet.publish(guest("1.0.0"))
        await host.live("notes", "1.0.0")
        await fleet.publish(guest("1.1.0", schema=OLD))
        with pytest.raises(EdgehostError, match=r"cannot run beside 1\.0\.0: its schema differs"):
            await order(host, shares={"1.1.0": 0.1})
