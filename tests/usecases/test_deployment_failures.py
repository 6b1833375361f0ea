from __future__ import annotations

from typing import Any

from edgehost.domain.errors import (
    GuestTrapError,
    InvalidComponentError,
)
from edgehost.domain.release_life import Stage
from edgehost.domain.rollout_report import RolloutState
from tests.usecases.desired_scene import TWO, Desired, Held, World, stages, world_of_two


async def test_a_release_that_fails_its_probe_is_rolled_back_and_the_others_go_on() -> None:
    world = world_of_two()
    host = Desired(world)
    async with host.on():
        await host.settle()
        for component in ("pump", "valve"):
            world.offer(component, "1.1.0", 2)
        host.broken["pump 1.1.0"] = InvalidComponentError("no such export")
        world.deploy(1, components=TWO)
        await host.settle()
        assert (host.live("pump"), host.live("valve")) == ("1.0.0", "1.1.0")
        assert host.held().state is RolloutState.FAILED
        assert host.held().failed == {"pump": "1.1.0 is quarantined: no such export"}
        writes = world.writes
        await host.retry()
        assert world.writes == writes  # never tried again
        world.offer("pump", "1.2.0", 3)
        await host.retry()
        assert host.live("pump") == "1.0.0"  # nor anything else, until the next sequence
        world.deploy(2, components=TWO)
        await host.settle()
        assert host.live("pump") == "1.2.0"


async def test_a_release_that_is_rolled_back_by_its_probation_while_it_soaks_fails_the_deployment() -> None:
    world = world_of_two()
    host = Desired(world)
    async with host.on():
        await host.settle()
        world.offer("pump", "1.1.0", 2)
        world.deploy(1, components=TWO, rollout={"soak_s": 600})
        await host.settle()
        assert host.held().state is RolloutState.SOAKING
        await host.manager.roll_back("pump", "Too many faults.")
        await host.settle()
        assert host.held().state is RolloutState.FAILED
        assert "Too many faults." in host.held().reason


async def test_what_has_soaked_is_successful() -> None:
    world = world_of_two()
    world.deploy(1, components=TWO, rollout={"soak_s": 600})
    host = Desired(world)
    async with host.on():
        await host.settle()
        world.clock.pass_by(599)
        await host.settle()
        assert host.held().state is RolloutState.SOAKING
        world.clock.pass_by(1)
        await host.settle()
        assert host.held().state is RolloutState.SUCCESSFUL


async def test_keep_leaves_what_failed_as_it_is() -> None:
    world = world_of_two()
    host = Desired(world)
    async with host.on():
        await host.settle()
        world.offer("pump", "1.1.0", 2)
        world.deploy(
            1,
            on_failure="keep",
            components={"pump": {"version": "=1.1.0", "bindings": {"pump.turn": "gone"}}},
            deadline_s=30,
        )
        await host.settle()
        world.clock.pass_by(31)
        await host.settle()
        assert host.held().state is RolloutState.FAILED
        assert host.live("pump") == "1.1.0"


async def test_roll_back_takes_version_configuration_and_bindings_back() -> None:
    world = world_of_two()
    world.bindings["pump.turn"] = "mast"
    host = Desired(world)
    async with host.on():
        await host.settle()
        world.offer("pump", "1.1.0", 2)
        wanted = {
            "version": "=1.1.0",
            "merge": {"rate": "5"},
            "bindings": {"pump.turn": "mill", "pump.stop": "gone"},
        }
        world.deploy(1, deadline_s=30, components={"pump": wanted})
        await host.settle()
        assert (host.live("pump"), world.bindings) == ("1.1.0", {"pump.turn": "mill"})
        world.clock.pass_by(31)
        await host.settle()
        assert host.held().state is RolloutState.FAILED
        assert (host.live("pump"), world.bindings) == ("1.0.0", {"pump.turn": "mast"})
        assert host.configs.of("pump", "") == {}
        assert stages(host, "pump")["1.1.0"] in {Stage.DRAINING, Stage.RETIRED}  # it is not to blame


async def test_an_operator_takes_back_what_was_successful() -> None:
    world = world_of_two()
    host = Desired(world)
    async with host.on() as reconciler:
        await host.settle()
        world.offer("pump", "1.1.0", 2)
        world.deploy(1, components={**TWO, "extra": {}})
        world.offer("extra", "1.0.0")
        await host.settle()
        assert host.live("extra") == "1.0.0"
        await reconciler.take_back("site", 1, "Others failed.")
        await host.settle()
        assert (host.live("pump"), host.live("extra")) == ("1.0.0", "")
        assert host.held().state is RolloutState.FAILED
        assert host.held().reason == "Others failed."


async def test_what_is_halted_does_not_begin_until_it_is_resumed() -> None:
    world = world_of_two()
    turn = Held()
    turn.go = False
    world.deploy(1, components=TWO)
    host = Desired(world, turn)
    async with host.on() as reconciler:
        await host.settle()
        await reconciler.halt("site", 1, "Two hosts failed.")
        turn.go = True
        await host.settle()
        assert host.live("pump") == ""
        await reconciler.resume("site", 1)
        await host.settle()
        assert host.live("pump") == "1.0.0"


async def test_a_full_disk_is_waited_for() -> None:
    world = world_of_two()
    world.deploy(1, components=TWO)
    host = Desired(world)
    async with host.on():
        await host.follow.catch_up()
        world.full = True
        await host.reconciler.settled(host.tasks)
        assert host.live("pump") == ""
        world.full = False
        await host.retry()
        assert host.held().state is RolloutState.SUCCESSFUL


# All or none


def all_or_none(world: World, **components: Any) -> None:
    world.deploy(1, on_failure="all-or-none", components=components or TWO)


async def test_nothing_changes_before_everything_is_prepared() -> None:
    world = world_of_two()
    host = Desired(world)
    async with host.on():
        await host.settle()
        for component in ("pump", "valve"):
            world.offer(component, "1.1.0", 2)
        world.away.add("valve")
        all_or_none(world)
        await host.settle()
        assert (host.live("pump"), host.live("valve")) == ("1.0.0", "1.0.0")
        assert host.held().state is RolloutState.WAITING
        world.away.clear()
        await host.retry()
        assert (host.live("pump"), host.live("valve")) == ("1.1.0", "1.1.0")
        assert host.told() == ["accepted", "moved:prepared", "moved:applying", "reached"]


async def test_one_that_fails_its_rehearsal_keeps_all_as_they_are() -> None:
    world = world_of_two()
    host = Desired(world)
    async with host.on():
        await host.settle()
        for component in ("pump", "valve"):
            world.offer(component, "1.1.0", 2)
        host.broken["valve 1.1.0"] = GuestTrapError("unreachable")
        all_or_none(world)
        await host.settle()
        assert (host.live("pump"), host.live("valve")) == ("1.0.0", "1.0.0")
        assert host.held().state is RolloutState.FAILED
        assert host.held().reason == "valve: unreachable"


async def test_all_are_taken_back_when_one_cannot_be_switched() -> None:
    world = world_of_two()
    turn = Held()
    turn.go = False
    host = Desired(world, turn)
    async with host.on():
        await host.settle()
        for component in ("pump", "valve"):
            world.offer(component, "1.1.0", 2)
        all_or_none(world)
        await host.settle()
        assert host.held().state is RolloutState.PREPARED
        host.broken["valve 1.1.0"] = GuestTrapError("unreachable")
        turn.go = True
        await host.settle()
        assert (host.live("pump"), host.live("valve")) == ("1.0.0", "1.0.0")
        assert host.held().state is RolloutState.FAILED
        assert "valve: 1.1.0 is quarantined" in host.held().reason


# Boards


async def test_firmware_waits_on_a_host_that_flashes_nothing_and_holds_no_component_up() -> None:
    world = world_of_two()
    world.deploy(1, deadline_s=60, components=TWO, firmware={"valve-1": "valve@^2"})
    host = Desired(world)
    async with host.on() as reconciler:
        await host.settle()
        assert host.live("pump") == "1.0.0"
        assert host.held().state is RolloutState.APPLYING
        assert "flashes no boards" in reconciler.standing["site"][-1].reason
        world.clock.pass_by(61)
        await host.settle()
        assert host.held().state is RolloutState.FAILED
        assert list(host.held().failed) == ["device valve-1"]
