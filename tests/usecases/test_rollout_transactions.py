"""All hosts or none: prepared everywhere, then switched, and taken back everywhere when one fails."""

from __future__ import annotations

from typing import Any

import pytest

from edgehost.domain.deployment_reader import read_deployment
from edgehost.domain.errors import GuestTrapError, InvalidSpecificationError
from edgehost.domain.release_life import Stage
from edgehost.domain.rollout_report import RolloutOrder, RolloutState
from tests.adapters.storage.faulty_disk import PowerCutError
from tests.usecases.desired_scene import stages
from tests.usecases.rollout_scene import Fleet

THREE = ("one", "two", "three")
OLD, NEW = ("1.0.0", "1.0.0"), ("1.1.0", "1.1.0")
SUCCESSFUL, FAILED, PREPARED = RolloutState.SUCCESSFUL, RolloutState.FAILED, RolloutState.PREPARED


def both(fleet: Fleet) -> dict[str, tuple[str, str]]:
    return {name: (host.live("pump"), host.live("valve")) for name, host in fleet.hosts.items()}


async def with_old(fleet: Fleet) -> None:
    for component in ("pump", "valve"):
        fleet.offer(component, "1.0.0", 1)
    old = {"version": "=1.0.0"}
    fleet.deploy(1, components={"pump": old, "valve": old})
    await fleet.settle()
    for component in ("pump", "valve"):
        fleet.offer(component, "1.1.0", 2)


def transaction(fleet: Fleet, *, failing: str = "", **rollout: Any) -> None:
    """``failing``: the valve's configuration lets nobody prepare, or nobody can bind it once it is switched."""
    valve: dict[str, Any] = {"version": "=1.1.0", "after": ["pump"]}
    if failing == "start":
        valve["merge"] = {"poison": "1"}
    if failing == "binding":
        valve["bindings"] = {"valve.turn": "gone"}
    fleet.deploy(
        2,
        on_failure="all-or-none",
        deadline_s=30,
        components={"pump": {"version": "=1.1.0", "merge": {"rate": "5"}}, "valve": valve},
        rollout={"all_hosts": True, **rollout},
    )


async def test_nobody_switches_before_everybody_has_prepared() -> None:
    fleet = Fleet(*THREE)
    async with fleet.on():
        await with_old(fleet)
        fleet.worlds["three"].away.add("valve")  # its line is down
        transaction(fleet)
        await fleet.settle()
        assert both(fleet) == dict.fromkeys(THREE, OLD)
        assert fleet.states(2) == {"one": PREPARED, "two": PREPARED, "three": RolloutState.WAITING}
        assert fleet.hosts["one"].report().reason == "It is for all hosts or none, and three is not prepared."
        fleet.worlds["three"].away.clear()
        await fleet.pass_by(20)
        assert both(fleet) == dict.fromkeys(THREE, NEW)
        assert fleet.states(2) == dict.fromkeys(THREE, SUCCESSFUL)


async def test_a_host_that_is_away_is_waited_for() -> None:
    fleet = Fleet(*THREE)
    async with fleet.on() as hosts:
        await with_old(fleet)
        fleet.board.away.add("three")
        transaction(fleet)
        for _ in range(3):
            await hosts["one"].step()
            await hosts["two"].step()
        assert both(fleet) == dict.fromkeys(THREE, OLD)
        fleet.board.away.clear()
        await fleet.settle()
        assert both(fleet) == dict.fromkeys(THREE, NEW)


async def test_when_one_cannot_prepare_nobody_changes_anything() -> None:
    fleet = Fleet(*THREE)
    async with fleet.on() as hosts:
        await with_old(fleet)
        hosts["two"].broken["valve 1.1.0"] = GuestTrapError("unreachable")
        transaction(fleet)
        await fleet.settle()
        assert both(fleet) == dict.fromkeys(THREE, OLD)
        assert fleet.states(2)["two"] is FAILED
        assert fleet.states(2)["one"] is RolloutState.HALTED


async def test_when_one_fails_after_the_switch_everybody_goes_back_and_only_it_blames_the_release() -> None:
    fleet = Fleet(*THREE)
    async with fleet.on() as hosts:
        await with_old(fleet)
        transaction(fleet, soak_s=60)
        await fleet.settle()
        assert both(fleet) == dict.fromkeys(THREE, NEW)
        await hosts["two"].manager.roll_back("valve", "Too many faults.")
        await fleet.settle()
        assert both(fleet) == dict.fromkeys(THREE, OLD)
        assert fleet.states(2) == dict.fromkeys(THREE, FAILED)
        assert hosts["one"].report().reason.startswith("It is for all hosts or none, and two failed: valve:")
        assert stages(hosts["two"], "valve")["1.1.0"] is Stage.QUARANTINED
        assert stages(hosts["one"], "valve")["1.1.0"] in {Stage.DRAINING, Stage.RETIRED}


async def test_a_halt_in_its_midst_takes_it_back_from_those_that_had_switched() -> None:
    fleet = Fleet(*THREE)
    async with fleet.on() as hosts:
        await with_old(fleet)
        transaction(fleet, soak_s=60)
        for _ in range(2):  # all are prepared, and the first goes
            for host in hosts.values():
                await host.settle()
                await host.rollout.look()
                if NEW in both(fleet).values():
                    break
        assert NEW in both(fleet).values()
        assert OLD in both(fleet).values()
        fleet.order(RolloutOrder.HALT, 2)
        await fleet.settle()
        assert both(fleet) == dict.fromkeys(THREE, OLD)


def test_a_transaction_of_all_hosts_is_one_of_all_components() -> None:
    with pytest.raises(InvalidSpecificationError, match="all_hosts is a transaction of all hosts"):
        read_deployment({"name": "site", "rollout": {"all_hosts": True}}, sequence=1, digest="")


async def end_of(fleet: Fleet) -> Any:
    async with fleet.on() as hosts:
        for host in hosts.values():
            host.broken["poison"] = GuestTrapError("bad config")
        for _ in range(5):
            await fleet.pass_by(20)
        return both(fleet), fleet.states(2)


async def prepared_fleet(failing: str) -> Fleet:
    fleet = Fleet("one", "two")
    async with fleet.on():
        await with_old(fleet)
    transaction(fleet, failing=failing)
    return fleet


@pytest.mark.parametrize("failing", ["", "start", "binding"])
async def test_a_power_cut_at_any_write_of_one_host_leaves_all_at_the_same_end(failing: str) -> None:
    clean = await prepared_fleet(failing)
    world = clean.worlds["one"]
    begin = world.writes
    expected = await end_of(clean)
    assert expected[0] == dict.fromkeys(("one", "two"), OLD if failing else NEW)
    for cut_at in range(begin + 1, world.writes + 1):
        for after in (False, True):
            fleet = await prepared_fleet(failing)
            cut = fleet.worlds["one"]
            cut.cut_at, cut.cut_after = cut_at, after
            try:
                await end_of(fleet)
            except* PowerCutError:
                pass
            cut.cut_at = None
            assert await end_of(fleet) == expected, (cut_at, after)
