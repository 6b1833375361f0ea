"""The power goes at every write of a deployment that brings firmware, to the book and to the board: one end."""

from __future__ import annotations

from typing import Any

import pytest

from edgehost.domain.errors import FlashFailedError
from edgehost.domain.flashing import BoardState
from edgehost.domain.rollout_report import RolloutState
from tests.adapters.storage.faulty_disk import PowerCutError
from tests.usecases.firmware_scene import LampHost, LampWorld, fault, lamp_deployment


async def with_news(kind: str, failing: str) -> LampWorld:
    """A host and its lamp on old versions, about to take new ones."""
    world = LampWorld(b"0.9.0")
    world.back_within_s = 0.02
    world.firmware("1.0.0")
    world.offer("pump", "1.0.0", 1)
    old = {"components": {"pump": {"version": "=1.0.0"}}}
    world.deploy(1, **lamp_deployment("=1.0.0", **old))
    host = LampHost(world)
    async with host.on():
        await host.settle()
    world.firmware("1.1.0")
    world.offer("pump", "1.1.0", 2)
    if failing == "silent":
        world.says[b"1.1.0"] = None
    new = {"on_failure": kind, "components": {"pump": {"version": "=1.1.0"}}}
    world.deploy(2, **lamp_deployment("=1.1.0", **new))
    return world


def broken_board(world: LampWorld, failing: str) -> None:
    """The board takes 1.1.0 at no try, and 1.0.0 at once; what is tried again after a cut fails as well."""
    if failing == "unwritable":
        world.unwritable = {b"1.1.0": fault(FlashFailedError, BoardState.PARTIAL)}


async def end_of(world: LampWorld) -> tuple[Any, ...]:
    """Where a host ends that is given time."""
    host = LampHost(world)
    async with host.on():
        for _ in range(6):
            await host.retry()
        running, held = host.page().running, host.held()
        assert host.page().under_way is None
        return (
            held.deployment.sequence,
            held.state,
            host.live("pump"),
            world.flash,
            None if running is None else running.version,
            sorted(host.page().failed),
        )


@pytest.mark.parametrize("kind", ["roll-back", "all-or-none"])
@pytest.mark.parametrize("failing", ["", "silent", "unwritable"])
async def test_a_power_cut_at_any_write_leads_to_the_same_end(kind: str, failing: str) -> None:
    clean = await with_news(kind, failing)
    broken_board(clean, failing)
    begin = clean.writes
    expected = await end_of(clean)
    assert expected[1] is (RolloutState.FAILED if failing else RolloutState.SUCCESSFUL)
    assert expected[3] == (b"1.0.0" if failing else b"1.1.0")
    assert len(expected[5]) == bool(failing)
    if failing and kind == "all-or-none":
        assert expected[2] == "1.0.0"
    for cut_at in range(begin + 1, clean.writes + 1):
        for after in (False, True):
            world = await with_news(kind, failing)
            broken_board(world, failing)
            world.cut_at, world.cut_after = cut_at, after
            try:
                await end_of(world)
            except* PowerCutError:
                pass
            world.cut_at = None
            assert await end_of(world) == expected, (cut_at, after)


async def test_a_flash_that_no_deployment_wants_any_more_is_finished_all_the_same() -> None:
    clean = await with_news("roll-back", "")
    begin = clean.writes
    await end_of(clean)
    finished = 0
    for cut_at in range(begin + 1, clean.writes + 1):
        world = await with_news("roll-back", "")
        world.cut_at, world.cut_after = cut_at, True
        try:
            await end_of(world)
        except* PowerCutError:
            pass
        world.cut_at = None
        if world.kept["lamp"]["page"]["under_way"] is None:
            continue
        world.deploy(3, hosts={"ids": ["another-host"]}, components={})
        host = LampHost(world)
        async with host.on():
            await host.follow.catch_up()
            assert not host.book.current()
            await host.settled_flashes()
            assert (world.runs, host.page().under_way) == ("1.1.0", None)
        finished += 1
    assert finished > 4
