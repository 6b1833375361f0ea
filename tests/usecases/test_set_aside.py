"""A host on which one deployment after another fails: rollouts set it aside, and count on it again when they may."""

from __future__ import annotations

from collections.abc import Callable

from edgehost.domain.rollout_report import RolloutOrder, RolloutState
from tests.usecases.rollout_scene import Fleet, RolloutHost
from tests.usecases.test_follow_rollout import CHECK, FIVE, PUMP, WAVES, with_old

FAILED, SUCCESSFUL = RolloutState.FAILED, RolloutState.SUCCESSFUL


async def fails_here(fleet: Fleet, sequence: int, version: str, host: RolloutHost) -> None:
    """A deployment for this host alone, whose release fails its check."""
    fleet.offer("pump", version, sequence)
    for each in fleet.hosts.values():
        each.behaviour[version] = answering(CHECK)
    fleet.deploy(
        sequence,
        hosts={"ids": [host.words.name]},
        components={"pump": {"version": f"={version}"}},
        rollout={"soak_s": 60, "gates": {"check": "health"}},
    )
    await fleet.settle()
    assert host.report().state is FAILED


def answering(answer: bytes) -> Callable[[str, bytes], bytes]:
    return lambda _function, _payload: answer


async def with_a_bad_host(fleet: Fleet, name: str) -> RolloutHost:
    """Three deployments failed on one host, over restarts."""
    await with_old(fleet)
    for sequence in (2, 3, 4):
        assert not fleet.board.failures[name].is_set_aside
        await fleet.pass_by(60)
        await fails_here(fleet, sequence, f"1.0.{sequence}", fleet.hosts[name])
    return fleet.hosts[name]


async def test_a_host_on_which_three_deployments_failed_goes_last_and_halts_nobody_any_more() -> None:
    fleet = Fleet(*FIVE)
    async with fleet.on():
        await with_a_bad_host(fleet, "one")
    async with fleet.on() as hosts:  # and it is known after a restart
        assert fleet.board.failures["one"].is_set_aside
        bad = hosts["one"]
        for name, host in hosts.items():
            host.behaviour["1.1.0"] = answering(CHECK if name == "one" else b'{"ok": true}')
        fleet.deploy(5, components={"pump": {"version": "=1.0.0"}}, rollout={"soak_s": 36_000})
        await fleet.settle()
        fleet.offer("pump", "1.1.0", 5)
        for sequence in range(6, 12):  # whatever the lot says
            fleet.deploy(sequence, components=PUMP, rollout={**WAVES, "gates": {"check": "health"}})
            await fleet.settle()
            assert fleet.in_order(sequence)[0] != "one"
        sound = [name for name in FIVE if name != "one"]
        await fleet.pass_by(60)
        await fleet.pass_by(60)
        assert bad.report().state is FAILED
        assert bad.report().reason.startswith("pump: 1.1.0 is quarantined")
        assert {name: fleet.states(11)[name] for name in sound} == dict.fromkeys(sound, SUCCESSFUL)


async def test_a_host_that_is_set_aside_is_readmitted_by_a_success_by_an_operator_and_by_time() -> None:
    fleet = Fleet("one", "two")
    async with fleet.on() as hosts:
        await with_a_bad_host(fleet, "one")
        failures = fleet.board.failures["one"]
        (finding,) = failures.findings()
        assert finding["state"] == "failed"
        assert "site 2, site 3, site 4" in finding["detail"]
        assert [each["sequence"] for each in failures.shown()["failures"]] == [2, 3, 4]
        await fleet.pass_by(60)
        fleet.offer("pump", "1.1.0", 5)
        fleet.deploy(5, components=PUMP)
        await fleet.settle()
        assert hosts["one"].report().state is SUCCESSFUL
        assert failures.shown() == {}
        for sequence in (6, 7, 8):
            await fleet.pass_by(60)
            await fails_here(fleet, sequence, f"1.1.{sequence}", hosts["one"])
        assert failures.shown()
        assert await failures.clear() == 3
        await hosts["one"].step()
        assert not failures.shown()  # what is still held as failed is not counted again
        for sequence in (9, 10, 11):
            await fleet.pass_by(60)
            await fails_here(fleet, sequence, f"1.1.{sequence}", hosts["one"])
        assert failures.shown()
        await fleet.pass_by(8 * 86_400)
        assert not failures.shown()


async def test_what_others_or_an_operator_took_back_is_no_failure_of_a_host() -> None:
    fleet = Fleet("one", "two")
    async with fleet.on():
        await with_old(fleet)
        fleet.deploy(2, components=PUMP)
        await fleet.settle()
        fleet.order(RolloutOrder.ABORT, 2)
        await fleet.settle()
        assert fleet.states(2) == dict.fromkeys(("one", "two"), FAILED)
        assert all(not list(each.findings()) for each in fleet.board.failures.values())
