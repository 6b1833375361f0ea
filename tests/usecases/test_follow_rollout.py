"""Hosts that take a deployment in waves, watch themselves, and give back what must not stay."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from edgehost.domain.errors import GuestTrapError, NotFoundError
from edgehost.domain.release_life import Stage
from edgehost.domain.rollout_report import RolloutOrder, RolloutState
from edgehost.usecases.pool_statistics import PoolStatistics
from tests.usecases.deploy_scene import raising
from tests.usecases.desired_scene import World, stages
from tests.usecases.rollout_scene import Fleet, RolloutHost

FIVE = ("one", "two", "three", "four", "five")
PUMP = {"pump": {"version": "=1.1.0"}}
WAVES = {"waves": [0.2, 1], "within": "site", "soak_s": 60}
SOAKING, SUCCESSFUL, FAILED = RolloutState.SOAKING, RolloutState.SUCCESSFUL, RolloutState.FAILED
WAITING, HALTED = RolloutState.WAITING, RolloutState.HALTED


async def with_old(fleet: Fleet) -> None:
    """All hosts have 1.0.0 by a deployment; 1.1.0 is offered."""
    fleet.offer("pump", "1.0.0", 1)
    fleet.deploy(1, components={"pump": {"version": "=1.0.0"}})
    await fleet.settle()
    fleet.offer("pump", "1.1.0", 2)


async def canary_of(fleet: Fleet, **document: Any) -> RolloutHost:
    """1.1.0 is deployed in waves; its canary soaks."""
    fleet.deploy(2, components=PUMP, rollout={**WAVES, **document.pop("rollout", {})}, **document)
    await fleet.settle()
    (canary,) = [host for host, state in fleet.states(2).items() if state in {SOAKING, FAILED}]
    return fleet.hosts[canary]


async def test_one_goes_first_and_the_others_say_for_whom_they_wait() -> None:
    fleet = Fleet(*FIVE)
    async with fleet.on():
        await with_old(fleet)
        canary = await canary_of(fleet)
        name = canary.words.name
        assert fleet.live() == {**dict.fromkeys(FIVE, "1.0.0"), name: "1.1.0"}
        for host in fleet.hosts.values():
            if host is not canary:
                assert host.report().reason == f"Wave 1 waits for the one before: {name} is not done."
        await fleet.pass_by(59)
        assert list(fleet.live().values()).count("1.1.0") == 1
        await fleet.pass_by(1)
        assert fleet.live() == dict.fromkeys(FIVE, "1.1.0")
        await fleet.pass_by(60)
        assert fleet.states(2) == dict.fromkeys(FIVE, SUCCESSFUL)


def slow(host: RolloutHost) -> None:
    statistics_of(host).latencies_s.extend([0.3] * 20)


def dying(host: RolloutHost) -> None:
    statistics_of(host).deaths += 4


def statistics_of(host: RolloutHost) -> PoolStatistics:
    running = host.running.get("pump")
    assert running is not None
    statistics: PoolStatistics = running.pool.statistics  # type: ignore[attr-defined]
    return statistics


def refusing(host: RolloutHost) -> None:
    statistics_of(host).refusals += 30


def quiet(_host: RolloutHost) -> None:
    """Its calls or its check say enough."""


CHECK = b'{"ok": false, "reason": "its filter is clogged"}'
GATES: list[tuple[dict[str, Any], Callable[[str, bytes], bytes], Callable[[RolloutHost], None], str]] = [
    (
        {"calls_min": 10},
        raising(GuestTrapError("unreachable")),
        quiet,
        "10 of 10 calls failed; 5.0% is the most.",
    ),
    (
        {"calls_min": 10, "latency_ms": 250},
        lambda _function, _payload: b"{}",
        slow,
        "95 % of its calls take up to 300 ms; 250 ms is the most.",
    ),
    (
        {"calls_min": 10, "refusal_rate": 0.5},
        lambda _function, _payload: b"{}",
        refusing,
        "it refused 30 of 40 calls; 50.0% is the most.",
    ),
    (
        {"restarts": 3},
        lambda _function, _payload: b"{}",
        dying,
        "4 of its sandboxes died; 3 is the most.",
    ),
    (
        {"check": "health"},
        lambda function, _payload: CHECK if function == "health" else b"{}",
        quiet,
        "its check 'health' says no: its filter is clogged",
    ),
    (
        {"check": "health"},
        lambda _function, _payload: b"yes",
        quiet,
        "its check 'health' says no: its answer is no JSON.",
    ),
]


@pytest.mark.parametrize(("gates", "behaviour", "what", "reason"), GATES)
async def test_a_canary_that_holds_a_gate_not_goes_back_and_nobody_follows(
    gates: dict[str, Any],
    behaviour: Callable[[str, bytes], bytes],
    what: Callable[[RolloutHost], None],
    reason: str,
) -> None:
    fleet = Fleet(*FIVE)
    async with fleet.on():
        await with_old(fleet)
        for host in fleet.hosts.values():
            host.behaviour["1.1.0"] = behaviour
        canary = await canary_of(fleet, rollout={"gates": gates})
        for _ in range(10):
            with suppress(GuestTrapError):
                await canary.running.call("pump", "spin", b"{}")
        what(canary)
        await fleet.settle()
        name = canary.words.name
        assert fleet.states(2) == {**dict.fromkeys(FIVE, HALTED), name: FAILED}
        assert canary.report().reason == f"pump: 1.1.0 is quarantined: {reason}"
        assert stages(canary, "pump")["1.1.0"] is Stage.QUARANTINED
        assert fleet.live() == dict.fromkeys(FIVE, "1.0.0")
        for host in fleet.hosts.values():
            if host is not canary:
                assert host.report().reason == f"It failed on {name}: {canary.report().reason}"
                assert "1.1.0" not in stages(host, "pump")
        await fleet.pass_by(600)
        assert fleet.live() == dict.fromkeys(FIVE, "1.0.0")  # it is never begun again


async def test_a_check_that_no_component_has_is_told_and_blames_no_release() -> None:
    fleet = Fleet(*FIVE)
    async with fleet.on():
        await with_old(fleet)
        for host in fleet.hosts.values():
            host.behaviour["1.1.0"] = raising(NotFoundError("no export"))
        canary = await canary_of(fleet, rollout={"gates": {"check": "helth"}})
        assert canary.report().reason == "pump: no component of the deployment has the check 'helth'."
        assert stages(canary, "pump")["1.1.0"] in {Stage.DRAINING, Stage.RETIRED}


async def test_few_calls_that_fail_say_little() -> None:
    fleet = Fleet(*FIVE)
    async with fleet.on():
        await with_old(fleet)
        for host in fleet.hosts.values():
            host.behaviour["1.1.0"] = raising(GuestTrapError("unreachable"))
        canary = await canary_of(fleet)
        with pytest.raises(GuestTrapError):
            await canary.running.call("pump", "spin", b"{}")
        await fleet.pass_by(60)
        assert canary.report().state is SUCCESSFUL


async def test_a_configuration_that_fails_a_gate_goes_back_and_the_release_is_not_to_blame() -> None:
    fleet = Fleet("one")
    async with fleet.on() as hosts:
        host = hosts["one"]
        host.behaviour["1.0.0"] = lambda _function, _payload: (
            CHECK if "rate" in host.started["pump 1.0.0"] else b'{"ok": true}'
        )
        await with_old(fleet)
        wanted = {"pump": {"version": "=1.0.0", "merge": {"rate": "9"}}}
        fleet.deploy(2, components=wanted, rollout={"soak_s": 60, "gates": {"check": "health"}})
        await fleet.settle()
        assert host.started["pump 1.0.0"] == {}
        assert fleet.states(2) == {"one": FAILED}
        assert stages(host, "pump")["1.0.0"] is Stage.LIVE


async def test_keep_leaves_what_failed_a_gate_for_somebody_to_look_at() -> None:
    fleet = Fleet(*FIVE)
    async with fleet.on():
        await with_old(fleet)
        for host in fleet.hosts.values():
            host.behaviour["1.1.0"] = lambda _function, _payload: CHECK
        fleet.deploy(2, components=PUMP, on_failure="keep", rollout={**WAVES, "gates": {"check": "health"}})
        await fleet.settle()
        (canary,) = [host for host, state in fleet.states(2).items() if state is FAILED]
        assert fleet.live() == {**dict.fromkeys(FIVE, "1.0.0"), canary: "1.1.0"}


async def test_an_operator_lets_a_halted_rollout_go_on_in_spite_of_the_canary() -> None:
    fleet = Fleet(*FIVE)
    async with fleet.on():
        await with_old(fleet)
        canary = await canary_of(fleet)
        await canary.manager.roll_back("pump", "Too many faults.")
        await fleet.settle()
        assert sorted(fleet.states(2).values()) == [FAILED, *[HALTED] * 4]
        fleet.order(RolloutOrder.RESUME, 2)
        await fleet.settle()
        assert list(fleet.live().values()).count("1.1.0") == 4
        assert fleet.live()[canary.words.name] == "1.0.0"


async def test_who_is_halted_stays_so_when_the_order_is_lost_with_its_broker() -> None:
    fleet = Fleet(*FIVE)
    async with fleet.on():
        await with_old(fleet)
        fleet.order(RolloutOrder.HALT, 2)
        fleet.deploy(2, components=PUMP, rollout=WAVES)
        await fleet.settle()
        assert fleet.states(2) == dict.fromkeys(FIVE, HALTED)
        assert fleet.hosts["one"].report().reason == "Operator ada said halt."
        fleet.board.orders.clear()
    async with fleet.on():
        await fleet.settle()
        assert fleet.states(2) == dict.fromkeys(FIVE, HALTED)
        fleet.order(RolloutOrder.RESUME, 2)
        await fleet.settle()
        assert list(fleet.live().values()).count("1.1.0") == 1


async def test_an_abort_takes_it_back_from_whoever_has_it_and_blames_nobody() -> None:
    fleet = Fleet(*FIVE)
    async with fleet.on():
        await with_old(fleet)
        canary = await canary_of(fleet)
        await fleet.pass_by(60)
        assert list(fleet.live().values()).count("1.1.0") == 5
        fleet.order(RolloutOrder.ABORT, 2)
        await fleet.settle()
        assert fleet.live() == dict.fromkeys(FIVE, "1.0.0")
        assert fleet.states(2) == dict.fromkeys(FIVE, FAILED)
        assert canary.report().reason == "Operator ada aborted the rollout."
        assert stages(canary, "pump")["1.1.0"] in {Stage.DRAINING, Stage.RETIRED}


async def test_a_wave_waits_for_its_approval() -> None:
    fleet = Fleet(*FIVE)
    async with fleet.on():
        await with_old(fleet)
        canary = await canary_of(fleet, rollout={"approve": [1]})
        await fleet.pass_by(60)
        other = next(host for host in fleet.hosts.values() if host is not canary)
        assert other.report().reason == "Wave 1 waits for an approval: 'edgehost fleet approve site'."
        assert other.report().waves == 2
        fleet.order(RolloutOrder.APPROVE, 2, wave=2)  # ahead, and not one of its two waves
        await fleet.settle()
        assert list(fleet.live().values()).count("1.1.0") == 1
        fleet.order(RolloutOrder.APPROVE, 2, wave=1)
        await fleet.settle()
        assert fleet.live() == dict.fromkeys(FIVE, "1.1.0")


async def test_nobody_begins_outside_the_window_and_without_a_fleet_either() -> None:
    world = World()
    world.offer("pump", "1.0.0", 1)
    window = {"days": ["wed"], "begin": "12:30", "end": "13:00"}
    world.deploy(1, components={"pump": {}}, rollout={"windows": [window]})
    host = RolloutHost("alone", world, None)
    async with host.followed():
        await host.step()
        assert (host.live("pump"), host.held().state) == ("", WAITING)
        assert host.reconciler.reasons["site"] == "No maintenance window is open at Wed 12:00."
        host.local += timedelta(minutes=30)
        await host.step()
        assert host.live("pump") == "1.0.0"


async def test_who_sees_nobody_begins_with_nothing_that_has_waves_but_after_the_time_that_it_says() -> None:
    fleet = Fleet(*FIVE)
    async with fleet.on() as hosts:
        await with_old(fleet)
        for host in hosts.values():
            assert host.view is not None
            host.view.connected = False
        fleet.deploy(2, components=PUMP, rollout={**WAVES, "blind_after_s": 3600})
        await fleet.settle()
        assert fleet.live() == dict.fromkeys(FIVE, "1.0.0")
        assert hosts["two"].report().reason.startswith("It does not see the other hosts")
        await fleet.pass_by(3600)
        assert fleet.live() == dict.fromkeys(FIVE, "1.1.0")


async def test_who_has_waited_for_long_does_not_begin_because_the_link_goes() -> None:
    fleet = Fleet(*FIVE)
    async with fleet.on() as hosts:
        await with_old(fleet)
        fleet.deploy(2, components=PUMP, rollout={**WAVES, "approve": [0], "blind_after_s": 600})
        await fleet.settle()
        await fleet.pass_by(3600)
        for host in hosts.values():
            assert host.view is not None
            host.view.connected = False
        await fleet.pass_by(30)
        assert hosts["two"].report().reason.endswith("It begins by itself in about 10 minutes.")
        await fleet.pass_by(300)
        for host in hosts.values():
            assert host.view is not None
            host.view.connected = True
        await fleet.pass_by(30)
        for host in hosts.values():
            assert host.view is not None
            host.view.connected = False
        await fleet.settle()
        await fleet.pass_by(400)
        assert hosts["two"].report().reason.endswith("It begins by itself in about 4 minutes.")


async def test_who_belongs_to_no_fleet_counts_its_wait_over_restarts_and_says_what_can_be_done() -> None:
    world = World()
    world.offer("pump", "1.0.0", 1)
    world.deploy(1, components={"pump": {}}, rollout={**WAVES, "blind_after_s": 7200})
    for _ in range(2):
        host = RolloutHost("alone", world, None)
        async with host.followed() as rollout:
            await host.step()
            assert (host.live("pump"), host.held().state) == ("", WAITING)
            assert "this host has no [fleet]" in host.reconciler.reasons["site"]
            assert "or wait: it begins by itself" in rollout.advice(host.held().deployment)
        world.clock.pass_by(3600)
    host = RolloutHost("alone", world, None)
    async with host.followed():
        await host.step()
        assert host.live("pump") == "1.0.0"


async def test_what_needs_an_approval_or_all_hosts_says_that_no_fleet_means_never() -> None:
    for what, rollout in (
        ("an approval of wave 0", {"approve": [0], "blind_after_s": 1}),
        ("all_hosts", {"all_hosts": True, "blind_after_s": 1}),
    ):
        world = World()
        world.offer("pump", "1.0.0", 1)
        world.deploy(1, components={"pump": {}}, on_failure="all-or-none", rollout=rollout)
        host = RolloutHost("alone", world, None)
        async with host.followed() as follows:
            await host.step()
            world.clock.pass_by(3600)
            await host.step()
            assert host.live("pump") == ""
            assert "this host has no [fleet]" in host.reconciler.reasons["site"]
            assert f"publish for it without {what}" in follows.advice(host.held().deployment)


@pytest.mark.parametrize("answer", [b'{"ok": false, "reason": "a cycle runs"}', b"?"])
async def test_a_component_puts_its_change_off_but_not_for_ever(answer: bytes) -> None:
    fleet = Fleet("one")
    async with fleet.on() as hosts:
        host = hosts["one"]
        host.behaviour["1.0.0"] = lambda function, _payload: answer if function == "may_update" else b"{}"
        await with_old(fleet)
        fleet.deploy(2, components=PUMP, rollout={"defer_most_s": 300})
        await fleet.settle()
        assert host.live("pump") == "1.0.0"
        assert host.report().reason.startswith("pump puts it off: ")
        await fleet.pass_by(299)
        assert host.live("pump") == "1.0.0"
        await fleet.pass_by(1)
        assert host.live("pump") == "1.1.0"


async def test_a_report_goes_when_its_deployment_does_though_an_earlier_run_made_it() -> None:
    fleet = Fleet("one")
    async with fleet.on():
        await with_old(fleet)
        assert ("site", "one") in fleet.board.reports
    fleet.deploy(2, hosts={"ids": ["two"]}, components=PUMP)
    host = RolloutHost("one", fleet.worlds["one"], fleet.board)
    async with host.followed():
        await host.step()
        assert fleet.board.reports == {}
