from __future__ import annotations

import asyncio

from edgehost.domain.errors import (
    GuestTrapError,
)
from edgehost.domain.release_life import Stage
from edgehost.domain.rollout_report import RolloutState
from edgehost.usecases.rollout_turn import Turn
from edgehost.usecases.take_deployments import HostWords
from tests.usecases.desired_scene import TWO, Desired, Held, drained, stages, world_of_two


async def test_a_host_goes_where_a_deployment_wants_it_and_says_so() -> None:
    world = world_of_two()
    world.offer("pump", "1.1.0", 2)
    world.offer("pump", "2.0.0", 3)
    world.deploy(1, components={"pump": {"version": "^1"}})
    host = Desired(world)
    async with host.on():
        await host.settle()
        assert host.live("pump") == "1.1.0"  # the range wins over following whatever is newest
        assert host.live("valve") == "1.0.0"  # what no deployment names is followed as ever
        assert host.held().state is RolloutState.SUCCESSFUL
        assert host.told() == ["accepted", "moved:applying", "reached"]


async def test_a_second_look_writes_nothing() -> None:
    world = world_of_two()
    world.deploy(1, components=TWO)
    host = Desired(world)
    async with host.on():
        await host.settle()
        writes = world.writes
        for _ in range(3):
            await host.retry()
        assert world.writes == writes
    again = Desired(world)
    async with again.on():
        await again.settle()
        assert world.writes == writes
        assert again.told() == []


async def test_a_deployment_costs_three_writes_beside_what_its_releases_cost() -> None:
    world = world_of_two()
    followed = Desired(world)
    async with followed.on():
        await followed.settle()
    plain, world = world.writes, world_of_two()
    world.deploy(1, components=TWO)
    host = Desired(world)
    async with host.on():
        await host.settle()
    assert world.writes == plain + 3  # accepted, begun, reached


async def test_what_is_for_others_is_not_taken_up() -> None:
    world = world_of_two()
    world.deploy(1, hosts={"labels": {"site": "south"}}, components={"pump": {"present": False}})
    host = Desired(world)
    async with host.on():
        await host.settle()
        assert host.book.pages() == {}
        assert host.live("pump") == "1.0.0"


async def test_a_host_is_let_go_by_a_deployment_that_is_no_longer_for_it() -> None:
    world = world_of_two()
    world.deploy(1, hosts={"ids": ["host-1"]}, components={"pump": {"present": False}})
    host = Desired(world)
    async with host.on():
        await host.settle()
        assert host.live("pump") == ""
        world.deploy(2, hosts={"ids": ["host-2"]}, components={"pump": {"present": False}})
        await host.settle()
        assert host.live("pump") == "1.0.0"
        assert host.told()[-1].startswith("superseded")


async def test_a_host_that_is_labelled_otherwise_is_let_go_and_taken_up_again() -> None:
    world = world_of_two()
    world.deploy(1, hosts={"labels": {"site": "north"}}, components={"pump": {"present": False}})
    for site, live in (("north", ""), ("south", "1.0.0"), ("north", "")):
        host = Desired(world, words=HostWords("host-1", "generic", {"site": site}))
        async with host.on():
            await host.settle()
            assert host.live("pump") == live


async def test_a_smaller_sequence_is_not_taken_after_a_larger_one_was_withdrawn() -> None:
    world = world_of_two()
    world.offer("pump", "1.1.0", 2)
    world.deploy(1, components={"pump": {"version": "=1.0.0"}})
    world.deploy(2, components={"pump": {"version": "=1.1.0"}})
    host = Desired(world)
    async with host.on():
        await host.settle()
    world.documents_.pop()
    again = Desired(world)
    async with again.on():
        await again.settle()
        assert again.held().deployment.sequence == 2
        assert again.live("pump") == "1.1.0"


async def test_another_remote_cannot_take_a_name_over() -> None:
    world = world_of_two()
    world.deploy(1, components={"pump": {"version": "^1"}})
    host = Desired(world)
    async with host.on():
        await host.settle()
        world.deploy(9, components={"pump": {"present": False}})
        world.name = "stranger"
        await host.settle()
        assert host.held().deployment.sequence == 1
        assert host.told()[-1] == "refused"
        told = len(host.told())
        await host.settle()
        assert len(host.told()) == told


async def test_what_this_host_does_not_understand_is_refused_once_and_changes_nothing() -> None:
    world = world_of_two()
    world.deploy(1, components={"pump": {"version": "^1", "teleport": True}})
    host = Desired(world)
    async with host.on():
        await host.settle()
        await host.settle()
        assert host.told() == ["refused"]
        assert host.live("pump") == "1.0.0"


async def test_one_component_that_is_stuck_blocks_no_other() -> None:
    world = world_of_two()
    world.deploy(1, components=TWO)
    world.stuck.add("pump")
    host = Desired(world)
    async with host.on() as reconciler:
        await host.follow.catch_up()
        async with asyncio.timeout(30):
            while not (world.begun.is_set() and host.live("valve")):
                await reconciler.look(host.tasks)
                await asyncio.sleep(0)
        assert host.held().state is RolloutState.APPLYING
        world.stuck.clear()
        world.offer("pump", "1.1.0", 2)
        world.deploy(2, components={"pump": {"version": "=1.1.0"}})  # ends the fetch that never ends
        async with asyncio.timeout(30):
            await host.settle()
        assert host.live("pump") == "1.1.0"
        assert host.held().state is RolloutState.SUCCESSFUL
        assert "superseded:applying" in host.told()


async def test_a_turn_that_takes_its_time_holds_no_other_deployment_up() -> None:
    class Slow(Held):
        async def may_begin(self, deployment: object) -> Turn:
            if getattr(deployment, "name", "") == "slow":
                await asyncio.Event().wait()
            return await super().may_begin(deployment)

    world = world_of_two()
    world.deploy(1, "slow", components={"pump": {}})
    world.deploy(1, "swift", components={"valve": {}})
    host = Desired(world, Slow())
    async with host.on() as reconciler:
        await host.follow.catch_up()
        async with asyncio.timeout(30):
            while host.held("swift").state is not RolloutState.SUCCESSFUL:
                await reconciler.look(host.tasks)
                await asyncio.sleep(0)
        assert host.held("slow").state is RolloutState.WAITING
        world.deploy(2, "slow", hosts={"ids": ["other"]}, components={})
        await host.settle()  # what is no longer held is no longer asked about


async def test_the_newest_takes_the_place_of_what_waits() -> None:
    world = world_of_two()
    turn = Held()
    turn.go = False
    host = Desired(world, turn)
    async with host.on() as reconciler:
        for sequence in (1, 2, 3):
            world.deploy(sequence, components={"pump": {"version": "^1"}})
            await host.settle()
        assert host.held().deployment.sequence == 3
        assert host.live("pump") == ""  # named, so not followed while it waits
        assert reconciler.reasons == {"site": "Its wave has not come."}
        turn.go = True
        await host.settle()
        assert host.live("pump") == "1.0.0"
        assert host.told()[-3:] == ["accepted", "moved:applying", "reached"]


async def test_what_does_not_exist_is_said_and_tried_again_without_end() -> None:
    world = world_of_two()
    world.deploy(1, components={**TWO, "ghost": {}, "pump": {"version": "^7"}})
    host = Desired(world)
    async with host.on() as reconciler:
        await host.settle()
        reasons = {plan.component: plan.reason for plan in reconciler.standing["site"]}
        assert "No remote offers a component 'ghost'" in reasons["ghost"]
        assert "Nothing that is offered fits ^7; there is 1.0.0." in reasons["pump"]
        assert host.live("valve") == "1.0.0"
        assert host.held().state is RolloutState.APPLYING
        world.offer("ghost", "1.0.0")
        world.offer("pump", "7.0.0", 2)
        await host.settle()
        assert host.held().state is RolloutState.SUCCESSFUL


async def test_a_deadline_makes_of_what_is_not_there_a_failure() -> None:
    world = world_of_two()
    world.deploy(1, deadline_s=60, components={**TWO, "ghost": {}})
    host = Desired(world)
    async with host.on():
        await host.settle()
        world.clock.wall += 1e9  # a clock that jumps decides nothing
        await host.settle()
        assert host.held().state is RolloutState.APPLYING
        world.clock.pass_by(61)
        await host.settle()
        assert host.held().state is RolloutState.FAILED
        assert "ghost: It was not there after 60 s" in host.held().reason
        assert host.live("pump") == "1.0.0"  # roll-back is of the component that failed


async def test_components_come_after_those_that_they_need() -> None:
    world = world_of_two()
    world.deploy(1, components={"pump": {"after": ["valve"]}, "valve": {}})
    world.away.add("valve")
    host = Desired(world)
    async with host.on():
        await host.settle()
        assert (host.live("pump"), host.live("valve")) == ("", "")
        world.away.clear()
        await host.retry()
        assert (host.live("pump"), host.live("valve")) == ("1.0.0", "1.0.0")


async def test_what_comes_after_a_failure_fails_with_it() -> None:
    world = world_of_two()
    world.deploy(1, components={"pump": {"after": ["valve"]}, "valve": {}})
    host = Desired(world)
    host.broken["valve 1.0.0"] = GuestTrapError("unreachable")
    async with host.on():
        await host.settle()
        assert host.held().state is RolloutState.FAILED
        assert "pump: It comes after valve, which failed." in host.held().reason


async def test_a_component_that_is_not_wanted_stops_and_stays_away_after_a_restart() -> None:
    world = world_of_two()
    host = Desired(world)
    async with host.on():
        await host.settle()
        world.deploy(1, components={"pump": {"present": False}})
        await host.settle()
        assert host.live("pump") == ""
        assert host.running.get("pump") is None
        assert "pump" not in host.routes.served.values()
        assert host.held().state is RolloutState.SUCCESSFUL
        await drained(host, "pump", "1.0.0")
    again = Desired(world)
    async with again.on():
        await again.settle()
        assert again.running.get("pump") is None
        world.deploy(2, components={"pump": {}})
        await again.settle()
        assert again.live("pump") == "1.0.0"


async def test_configuration_is_reset_then_merged_and_a_component_starts_anew_with_it() -> None:
    world = world_of_two()
    host = Desired(world)
    async with host.on():
        await host.settle()
        first = host.running.get("pump")
        world.deploy(1, components={"pump": {"merge": {"rate": "5", "unit": "bar"}}})
        await host.settle()
        assert host.started["pump 1.0.0"] == {"rate": "5", "unit": "bar"}
        second = host.running.get("pump")
        assert first is not second
        assert first is not None
        world.deploy(2, components={"pump": {"reset": ["unit"], "merge": {"depth": "2"}}})
        await host.settle()
        assert host.started["pump 1.0.0"] == {"rate": "5", "depth": "2"}
    again = Desired(world)
    async with again.on():
        assert again.started["pump 1.0.0"] == {"rate": "5", "depth": "2"}
        world.deploy(3, components={"pump": {"reset": ["*"]}})
        await again.settle()
        assert again.started["pump 1.0.0"] == {}


async def test_a_configuration_that_a_component_does_not_start_with_leaves_it_as_it_is() -> None:
    world = world_of_two()
    host = Desired(world)
    host.broken["poison"] = GuestTrapError("bad config")
    async with host.on():
        await host.settle()
        running = host.running.get("pump")
        world.deploy(1, components={"pump": {"merge": {"poison": "1"}}})
        await host.settle()
        assert host.held().state is RolloutState.FAILED
        assert host.running.get("pump") is running
        assert stages(host, "pump") == {"1.0.0": Stage.LIVE}  # the release is not to blame
        assert host.configs.of("pump", "") == {}


async def test_a_release_that_is_brought_back_has_the_configuration_that_it_had() -> None:
    world = world_of_two()
    host = Desired(world)
    async with host.on():
        await host.settle()
        world.offer("pump", "1.1.0", 2)
        world.deploy(1, components={"pump": {"version": "^1", "merge": {"rate": "5"}}})
        await host.settle()
        assert host.started["pump 1.1.0"] == {"rate": "5"}
        await host.manager.roll_back("pump", "It misbehaves.")
        assert host.live("pump") == "1.0.0"
        assert host.started["pump 1.0.0"] == {}


async def test_a_share_is_tried_beside_the_live_release_and_the_next_sequence_makes_it_live() -> None:
    world = world_of_two()
    host = Desired(world)
    async with host.on():
        await host.settle()
        world.offer("pump", "1.1.0", 2)
        world.deploy(1, components={"pump": {"version": "=1.1.0", "share": 0.25}})
        await host.settle()
        assert host.live("pump") == "1.0.0"
        assert [each.share.weight for each in host.ledger.candidates("pump") if each.share] == [0.25]
        assert host.held().state is RolloutState.SUCCESSFUL
        world.deploy(2, components={"pump": {"version": "=1.1.0"}})
        await host.settle()
        assert host.live("pump") == "1.1.0"


async def test_a_version_that_an_operator_chose_stays_and_is_reported() -> None:
    world = world_of_two()
    world.offer("pump", "1.1.0", 2)
    host = Desired(world)
    async with host.on() as reconciler:
        await host.settle()
        await host.manager.deploy_named("pump", "1.0.0")
        await drained(host, "pump", "1.1.0")
        world.deploy(1, components={"pump": {"version": "=1.1.0"}, "valve": {}})
        await host.settle()
        assert host.live("pump") == "1.0.0"
        assert "An operator chose 1.0.0" in reconciler.standing["site"][0].reason
        await host.manager.deploy_named("pump", None)  # unpinned
        await host.settle()
        assert host.live("pump") == "1.1.0"


async def test_a_component_belongs_to_the_deployment_with_the_higher_priority() -> None:
    world = world_of_two()
    world.offer("pump", "1.1.0", 2)
    world.deploy(1, "base", components={"pump": {"version": "=1.0.0"}, "valve": {}})
    world.deploy(1, "special", priority=10, components={"pump": {"version": "=1.1.0"}})
    host = Desired(world)
    async with host.on():
        await host.settle()
        assert host.live("pump") == "1.1.0"
        assert host.held("base").state is RolloutState.SUCCESSFUL
        assert host.held("base").reason == "pump belongs to deployment 'special' (priority 10)."
        world.deploy(2, "special", priority=10, components={})
        await host.settle()
        assert host.live("pump") == "1.0.0"
