from __future__ import annotations

import asyncio
from typing import Any

import pytest

from edgehost.domain.errors import (
    GuestTrapError,
    StorageFullError,
    UnavailableError,
)
from edgehost.domain.rollout_report import RolloutState
from tests.adapters.storage.faulty_disk import PowerCutError
from tests.usecases.desired_scene import TWO, Desired, World, world_of_two


async def two_with_news(kind: str, failing: str) -> World:
    """A host on two old releases that is about to take two new ones with everything that goes with them."""
    world = world_of_two()
    old = {"version": "=1.0.0"}
    world.deploy(1, components={"pump": old, "valve": old})
    host = Desired(world)
    async with host.on():
        await host.settle()
    for component in ("pump", "valve"):
        world.offer(component, "1.1.0", 2)
    wanted: dict[str, Any] = {
        "pump": {"version": "=1.1.0", "merge": {"rate": "5"}, "bindings": {"pump.turn": "mill"}},
        "valve": {"version": "=1.1.0", "after": ["pump"]},
    }
    if failing == "start":
        wanted["valve"]["merge"] = {"poison": "1"}
    if failing == "binding":
        wanted["valve"]["bindings"] = {"valve.turn": "gone"}
    world.deploy(2, on_failure=kind, components=wanted, deadline_s=30)
    return world


async def end_of(world: World) -> tuple[Any, ...]:
    """Where a host ends that is given time."""
    host = Desired(world)
    host.broken["poison"] = GuestTrapError("bad config")
    async with host.on():
        for _ in range(5):
            await host.retry()
        held, pump = host.held(), host.ledger.live("pump")
        assert pump is not None
        overrides = dict(host.configs.of("pump", pump.digest))
        return (
            held.deployment.sequence,
            held.state,
            pump.version,
            host.live("valve"),
            overrides,
            world.bindings,
        )


@pytest.mark.parametrize("kind", ["roll-back", "all-or-none"])
@pytest.mark.parametrize("failing", ["", "start", "binding"])
async def test_a_power_cut_at_any_write_leads_to_the_same_end(kind: str, failing: str) -> None:
    clean = await two_with_news(kind, failing)
    begin = clean.writes
    expected = await end_of(clean)
    assert expected[1] is (RolloutState.FAILED if failing else RolloutState.SUCCESSFUL)
    if failing and kind == "all-or-none":
        assert expected[2:] == ("1.0.0", "1.0.0", {}, {})
    assert clean.writes > begin + 10 * (not failing)
    for cut_at in range(begin + 1, clean.writes + 1):
        for after in (False, True):
            world = await two_with_news(kind, failing)
            world.cut_at, world.cut_after = cut_at, after
            try:
                await end_of(world)
            except* PowerCutError:
                pass
            world.cut_at = None
            assert await end_of(world) == expected, (cut_at, after)


async def test_what_cannot_be_kept_is_not_begun() -> None:
    world = world_of_two()
    world.deploy(1, components=TWO)
    host = Desired(world)
    async with host.on():
        world.full = True
        await host.follow.catch_up()
        assert host.book.pages() == {}
        assert host.follow.unfinished >= 1
    assert issubclass(StorageFullError, UnavailableError)


async def test_configurations_that_change_at_once_are_all_kept() -> None:
    world = world_of_two()
    host = Desired(world)
    async with host.on():
        await host.settle()
        merged = {name: {"merge": {"rate": name}} for name in ("pump", "valve")}
        world.deploy(1, components=merged)
        await host.settle()
    again = Desired(world)
    async with again.on():
        for name in ("pump", "valve"):
            assert again.started[f"{name} 1.0.0"] == {"rate": name}


async def test_what_is_accepted_while_another_changes_its_state_is_not_lost() -> None:
    world = world_of_two()
    world.deploy(1, components=TWO, rollout={"soak_s": 60})
    host = Desired(world)
    async with host.on() as reconciler:
        await host.settle()
        world.deploy(2, components=TWO)
        world.clock.pass_by(61)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(reconciler.look(host.tasks))  # the first has soaked
            tasks.create_task(host.follow.catch_up())
        assert host.book.page("site").floor == 2
        await host.settle()
        assert (host.held().deployment.sequence, host.held().state) == (2, RolloutState.SUCCESSFUL)
