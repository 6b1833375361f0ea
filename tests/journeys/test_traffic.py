"""Versions of a model live at once, with real guests: shares, stickiness, promotion, stop, shadows, restarts."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from edgehost.cli.main import main
from edgehost.domain.errors import EdgehostError, NotFoundError
from edgehost.domain.events import ComponentNotified, Event
from edgehost.domain.release_life import Stage
from edgehost.domain.traffic_events import CandidateDecided
from tests.journeys.fleet import Fleet, RunningHost
from tests.journeys.version_guests import guest

RULES = """
[components.notes.traffic]
candidate = "^1.1"
weight = {weight}
min_calls = 20
promote_after_s = 0
max_latency_ratio = {ratio}
"""
#: A busy machine makes some calls slow whatever the version.
PATIENT = 1000


async def ask(host: RunningHost, record: str, **headers: str) -> str:
    path = f"/api/models/notes/{record}/commands/which"
    answer = await asyncio.to_thread(host.client.request, "POST", path, body={}, headers=headers)
    return str(answer.json()["result"]["version"])


async def asked(host: RunningHost, calls: int, record: str = "a", **headers: str) -> Counter[str]:
    """So many calls, four at a time; each of them must be answered."""
    answers: Counter[str] = Counter()

    async def some(count: int) -> None:
        for _ in range(count):
            answers[await ask(host, record, **headers)] += 1

    async with asyncio.TaskGroup() as tasks:
        for part in range(4):
            tasks.create_task(some((calls + part) // 4))
    return answers


async def with_main(fleet: Fleet, host: RunningHost, version: str = "1.0.0") -> None:
    await fleet.publish(guest(version))
    await host.live("notes", version)
    await host.request("POST", "/api/models/notes", body={"id": "a", "name": "ada"})


async def traffic(host: RunningHost, **order: Any) -> Any:
    """Divide the calls as an operator does, once the follower has fetched what is published."""
    if order:
        return await host.request("POST", "/api/host/traffic/notes", body=order)
    return await host.request("GET", "/api/host/traffic/notes")


async def on_trial(host: RunningHost, version: str) -> None:
    ledger = host.host.control.manager.deployer.ledger
    await host.until(lambda: version in [each.version for each in ledger.candidates("notes")])


def pinned(more: str = "") -> str:
    """Nothing goes live by itself; operators decide."""
    return f'\n[components.notes]\nversion = "1.0.0"\n{more}'


async def test_a_tenth_of_the_calls_goes_to_the_candidate_and_a_key_stays_with_its_version(
    tmp_path: Path,
) -> None:
    fleet = Fleet(tmp_path)
    async with fleet.host(fleet.config(more=pinned())) as host:
        await with_main(fleet, host)
        await fleet.publish(guest("1.1.0"))
        await traffic(host, shares={"1.1.0": 0.1})
        answers = await asked(host, 300)
        assert 10 <= answers["1.1.0"] <= 60
        assert answers.total() == 300
        shown = await traffic(host, shares={"1.1.0": 0.5}, sticky="header:x-caller")
        assert shown["sticky"] == "header:x-caller"
        by_caller = {
            caller: await asked(host, 8, **{"X-Caller": caller})
            for caller in map("caller-{}".format, range(12))
        }
        assert all(len(versions) == 1 for versions in by_caller.values())
        assert {next(iter(versions)) for versions in by_caller.values()} == {"1.0.0", "1.1.0"}
        await traffic(host, shares={"1.1.0": 0.9}, sticky="header:x-caller")
        for caller, versions in by_caller.items():
            if "1.1.0" in versions:
                assert await ask(host, "a", **{"X-Caller": caller}) == "1.1.0"


async def test_calls_about_one_record_stay_with_one_version(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    async with fleet.host(fleet.config(more=pinned())) as host:
        await with_main(fleet, host)
        for record in range(12):
            body = {"id": f"r{record}", "name": f"owner-{record % 3}"}
            await host.request("POST", "/api/models/notes", body=body)
        await fleet.publish(guest("1.1.0"))
        await traffic(host, shares={"1.1.0": 0.5}, sticky="id")
        by_record = [await asked(host, 4, f"r{record}") for record in range(12)]
        assert all(len(versions) == 1 for versions in by_record)
        assert len({next(iter(versions)) for versions in by_record}) == 2
        await traffic(host, shares={"1.1.0": 0.5}, sticky="member:name")
        by_owner: dict[int, Counter[str]] = {}
        for record in range(12):
            by_owner.setdefault(record % 3, Counter()).update(await asked(host, 2, f"r{record}"))
        assert all(len(versions) == 1 for versions in by_owner.values())


async def test_a_candidate_that_does_as_well_takes_over_by_itself_and_no_call_fails(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    config = fleet.config(more=RULES.format(weight=0.5, ratio=PATIENT))
    async with fleet.host(config) as host:
        await with_main(fleet, host)
        decided = await heard(host, CandidateDecided)
        await fleet.publish(guest("1.1.0"))
        await on_trial(host, "1.1.0")
        answers: Counter[str] = Counter()
        while host.live_version("notes") != "1.1.0":
            answers += await asked(host, 40)
        assert answers["1.0.0"] >= 20
        assert await asked(host, 8) == {"1.1.0": 8}
        (event,) = decided()
        assert (event.version, event.decision, event.by) == ("1.1.0", "promote", "rule")
        assert event.figures["candidate"]["calls"] >= 20
        assert event.figures["candidate"]["error_rate"] == 0


async def test_a_slower_candidate_is_stopped_by_rule_and_quarantined(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    async with fleet.host(fleet.config(more=RULES.format(weight=0.5, ratio=2.0))) as host:
        await with_main(fleet, host)
        await fleet.publish(guest("1.1.0", "SLOW=3000000"))
        await on_trial(host, "1.1.0")
        ledger = host.host.control.manager.deployer.ledger
        while ledger.candidates("notes"):
            await asked(host, 20)
        slow = ledger.named("notes", "1.1.0")
        assert slow.stage is Stage.QUARANTINED
        assert "times as long" in slow.reason
        await host.request("POST", "/api/host/refresh", body={})
        assert await asked(host, 8) == {"1.0.0": 8}


async def test_a_candidate_that_traps_costs_no_caller_its_answer(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    async with fleet.host(fleet.config(more=pinned())) as host:
        await with_main(fleet, host)
        await fleet.publish(guest("1.1.0", "TRAP"))
        await traffic(host, shares={"1.1.0": 0.5})
        ledger = host.host.control.manager.deployer.ledger
        created = 0
        while ledger.candidates("notes"):
            await host.request("POST", "/api/models/notes", body={"name": "ada"})
            created += 1
        assert created >= 5
        assert "calls failed" in ledger.named("notes", "1.1.0").reason
        assert (await traffic(host))["candidates"] == []


async def test_a_shadow_is_compared_and_changes_nothing(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    async with fleet.host(fleet.config(more=pinned())) as host:
        await with_main(fleet, host)
        notified = await heard(host, ComponentNotified)
        await fleet.publish(guest("1.1.0"))
        await traffic(host, shares={"1.1.0": 1.0}, shadow=True)
        assert await asked(host, 20) == {"1.0.0": 20}
        (shadow,) = (await compared(host, 1))["candidates"]
        assert shadow["comparison"]["mismatches"] == shadow["comparison"]["compared"]
        assert shadow["samples"][0] == {"function": "which", "paths": ["result.version"]}
        await traffic(host, shares={"1.1.0": 1.0}, shadow=True, ignore=["result.version"])
        await asked(host, 20)
        (shadow,) = (await compared(host, 1))["candidates"]
        assert shadow["comparison"]["mismatches"] == 0
        await traffic(host, stop="1.1.0")
        await fleet.publish(guest("1.2.0", "EFFECT"))
        await traffic(host, shares={"1.2.0": 1.0}, shadow=True)
        assert await asked(host, 20) == {"1.0.0": 20}
        (shadow,) = (await compared(host, 1, of="uncompared"))["candidates"]
        assert shadow["comparison"]["mismatches"] == 0
        assert notified() == []
        assert await asked(host, 1) == {"1.0.0": 1}


async def test_after_a_restart_the_same_versions_run_with_the_same_shares(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    config = fleet.config(more=pinned())
    async with fleet.host(config) as host:
        await with_main(fleet, host)
        await fleet.publish(guest("1.1.0"))
        await fleet.publish(guest("1.2.0"))
        await traffic(host, shares={"1.1.0": 0.3, "1.2.0": 0.3}, sticky="header:x-caller")
        before = {str(caller): await ask(host, "a", **{"X-Caller": str(caller)}) for caller in range(20)}
        assert set(before.values()) == {"1.0.0", "1.1.0", "1.2.0"}
    async with fleet.host(config) as host:
        after = {str(caller): await ask(host, "a", **{"X-Caller": str(caller)}) for caller in range(20)}
        assert after == before
        shown = await traffic(host)
        assert shown["main"]["weight"] == pytest.approx(0.4)
        assert [each["version"] for each in shown["candidates"]] in (["1.1.0", "1.2.0"], ["1.2.0", "1.1.0"])
        await traffic(host, promote="1.2.0")
        assert host.live_version("notes") == "1.2.0"
        assert await asked(host, 8) == {"1.2.0": 8}
        ledger = host.host.control.manager.deployer.ledger
        await host.until(lambda: ledger.named("notes", "1.1.0").stage is Stage.RETIRED)


async def test_what_cannot_be_tried_is_refused_with_the_reason_and_nothing_changes(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    async with fleet.host(fleet.config(more=pinned())) as host:
        await with_main(fleet, host)
        await fleet.publish(guest("1.1.0", schema={"type": "object", "required": ["name"]}))
        with pytest.raises(EdgehostError, match=r"its schema differs: '/required' differs"):
            await traffic(host, shares={"1.1.0": 0.1})
        await fleet.publish(guest("1.2.0", migrate="migrate"))
        with pytest.raises(EdgehostError, match="migrates records"):
            await traffic(host, shares={"1.2.0": 0.1})
        with pytest.raises(EdgehostError, match="live release already"):
            await traffic(host, shares={"1.0.0": 0.1})
        with pytest.raises(NotFoundError):
            await traffic(host, shares={"9.9.9": 0.1})
        with pytest.raises(NotFoundError, match="no candidate"):
            await traffic(host, promote="1.1.0")
        with pytest.raises(EdgehostError, match="An order has"):
            await traffic(host, promote="1.1.0", stop="1.2.0")
        assert (await traffic(host))["candidates"] == []
        assert await asked(host, 4) == {"1.0.0": 4}


async def test_when_the_live_release_is_replaced_the_trial_ends(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    async with fleet.host(fleet.config(more=pinned())) as host:
        await with_main(fleet, host)
        await fleet.publish(guest("1.1.0"))
        await fleet.publish(guest("1.2.0"))
        await traffic(host, shares={"1.1.0": 0.5})
        await host.request("POST", "/api/host/deploy", body={"component": "notes", "version": "1.2.0"})
        assert await asked(host, 8) == {"1.2.0": 8}
        ledger = host.host.control.manager.deployer.ledger
        await host.until(lambda: ledger.named("notes", "1.1.0").stage is Stage.RETIRED)


async def compared(host: RunningHost, least: int, of: str = "compared") -> Any:
    """The traffic once so many copies were dealt with."""
    async with asyncio.timeout(20):
        while True:
            shown = await traffic(host)
            if shown["candidates"][0]["comparison"][of] >= least:
                return shown
            await asyncio.sleep(0.02)


async def heard(host: RunningHost, kind: type[Event]) -> Any:
    """What the host publishes of this kind from now on."""
    bus = host.host.control.manager.bus
    events: list[Event] = []
    publish = bus.publish

    def noted(event: Event) -> None:
        if isinstance(event, kind):
            events.append(event)
        publish(event)

    bus.publish = noted  # type: ignore[method-assign]
    return lambda: events


async def test_the_command_line_divides_shows_and_decides(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet = Fleet(tmp_path)
    config = fleet.config(more=pinned())
    async with fleet.host(config) as host:
        await with_main(fleet, host)
        await fleet.publish(guest("1.1.0"))

        async def run(*words: str) -> tuple[int, str, str]:
            code = await asyncio.to_thread(main, ["-c", str(config.path), "traffic", "notes", *words])
            said = capsys.readouterr()
            return code, said.out, said.err

        assert (await run())[0] == 0
        code, out, _ = await run("1.1.0=0.5", "--sticky", "id", "--auto")
        assert code == 0
        assert "candidate" in out
        assert "Calls stay with one version by id." in out
        assert "1.1.0: wait:" in out
        code, out, _ = await run("1.1.0=1", "--shadow", "--ignore", "result.version")
        assert "shadow" in out
        assert "0 of 0 answers differ" in out
        for words in (("1.1.0",), ("x=y",), ("--auto",), ("1.1.0=0.1", "--stop", "1.1.0")):
            assert (await run(*words))[0] == 2
        code, _, err = await run("1.1.0=2")
        assert code == 1
        assert "weight" in err or "1.1.0" in err
        assert (await run("--promote", "1.1.0"))[0] == 0
        assert host.live_version("notes") == "1.1.0"
        assert (await run("--stop", "1.1.0"))[0] == 5


async def test_deploying_a_candidate_makes_it_the_live_release(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    async with fleet.host(fleet.config(more=pinned())) as host:
        await with_main(fleet, host)
        await fleet.publish(guest("1.1.0"))
        await traffic(host, shares={"1.1.0": 0.5})
        status = await host.request("GET", "/api/host/status")
        assert status["components"][0]["candidates"] == ["1.1.0"]
        await host.request("POST", "/api/host/deploy", body={"component": "notes", "version": "1.1.0"})
        assert host.live_version("notes") == "1.1.0"
        assert (await traffic(host))["candidates"] == []
