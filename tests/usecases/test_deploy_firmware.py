"""A deployment brings a firmware image to a device: prepared, flashed, seen to come back, and otherwise taken back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest

from edgehost.domain.deployment_plan import Standing
from edgehost.domain.device_firmware import ALLOWED_MOVES, FirmwarePage, FlashStage, KnownImage
from edgehost.domain.errors import (
    ConflictError,
    GuestTrapError,
    LineLostError,
    NoSyncError,
)
from edgehost.domain.flash_events import FlashEnded
from edgehost.domain.flashing import BoardState
from edgehost.domain.rollout_report import RolloutState
from edgehost.ports.device_control import DeviceControl
from edgehost.usecases.fleet_device_operations import devices_twin
from edgehost.usecases.view_deployments import DeploymentsView
from edgehost.usecases.view_firmware import FirmwareView
from tests.usecases.desired_scene import Held
from tests.usecases.firmware_scene import (
    RECOVERY,
    LampHost,
    LampWorld,
    fault,
    lamp_deployment,
    with_one,
)


@dataclass
class Shown:
    """DeviceControl, as far as the twin asks it."""

    document: dict[str, Any]

    def devices(self) -> list[dict[str, Any]]:
        return [self.document]


async def test_the_best_image_that_fits_is_flashed_and_kept() -> None:
    world = LampWorld()
    for version in ("1.0.0", "1.1.0", "2.0.0"):
        world.firmware(version)
    world.firmware("1.9.0", board="another-board")
    world.deploy(1, **lamp_deployment("^1"))
    host = LampHost(world)
    async with host.on():
        await host.settle()
        assert host.held().state is RolloutState.SUCCESSFUL
        assert world.flash == b"1.1.0"
        running = host.page().running
        assert running is not None
        assert running.label == "lamp-firmware 1.1.0"
        assert host.firmware_book.shelved() == {running.digest}
        assert await host.shelf.has(running.digest)
        assert (await host.plan()).standing is Standing.REACHED
        world.firmware("1.2.0")
        await host.settle()
        assert world.flash == b"1.2.0"
        assert host.page().earlier == (running,)
    assert [(each.version, each.problem) for each in host.events if isinstance(each, FlashEnded)] == [
        ("1.1.0", ""),
        ("1.2.0", ""),
    ]


async def test_a_version_that_is_there_already_is_not_flashed_again() -> None:
    world = LampWorld(b"1.1.0")
    world.firmware("1.1.0")
    world.deploy(1, **lamp_deployment("^1"))
    host = LampHost(world)
    async with host.on():
        await host.settle()
        assert host.held().state is RolloutState.SUCCESSFUL
    assert world.written == []


async def test_the_plan_says_from_what_to_what_and_what_happens_when_it_fails() -> None:
    world = LampWorld()
    world.firmware("1.1.0")
    world.deploy(1, **lamp_deployment("^1"))
    turn = Held()
    turn.go = False
    host = LampHost(world)
    host.turn = turn
    async with host.on():
        await host.settle()
        plan = await host.plan()
        assert plan.steps[0].what == "lamp-firmware 1.0.0 to 1.1.0"
        assert "does not have the image that is there" in plan.reason
        assert RECOVERY in plan.reason
        assert world.written == []
    known = await with_one(LampWorld())
    known.firmware("1.1.0")
    known.deploy(2, **lamp_deployment("^1"))
    host = LampHost(known)
    host.turn = turn
    async with host.on():
        await host.settle()
        plan = await host.plan()
        assert plan.steps[0].what == "lamp-firmware 1.0.0 to 1.1.0"
        assert "does not have" not in plan.reason


async def test_a_device_that_is_not_here_is_said_beforehand_and_never_counts_as_reached() -> None:
    world = LampWorld()
    world.firmware("1.1.0")
    firmware = {"lmap": "lamp-firmware@^1"}
    told = "There is no device 'lmap' here; there is lamp."
    host = LampHost(world)
    async with host.on():
        view = DeploymentsView(host.reconciler, host.words)
        (planned,) = (await view.plan({"name": "site", "firmware": firmware}))["deployments"]
        assert [(each["standing"], each["reason"]) for each in planned["components"]] == [("blocked", told)]
        world.deploy(1, firmware=firmware, deadline_s=60)
        await host.settle()
        assert view.rows()["site"]["state"] == RolloutState.APPLYING
        assert view.rows()["site"]["reason"] == f"device lmap: {told}"
        world.clock.pass_by(61)
        await host.settle()
        assert host.held().state is RolloutState.FAILED
        assert told in host.held().reason
    assert world.written == []


async def test_all_or_none_holds_for_a_component_and_an_image() -> None:
    world = await with_one(LampWorld())
    world.offer("pump", "1.0.0")
    world.deploy(2, **lamp_deployment("=1.0.0", components={"pump": {"version": "=1.0.0"}}))
    host = LampHost(world)
    async with host.on():
        await host.settle()
    world.firmware("1.1.0")
    world.offer("pump", "1.1.0", 2)
    wanted = {"on_failure": "all-or-none", "components": {"pump": {"version": "=1.1.0"}}}
    world.says[b"1.1.0"] = None
    world.deploy(3, **lamp_deployment("^1", **wanted))
    host = LampHost(world)
    async with host.on():
        for _ in range(3):
            await host.retry()
        assert (host.held().state, world.flash, host.live("pump")) == (
            RolloutState.FAILED,
            b"1.0.0",
            "1.0.0",
        )
        world.firmware("1.2.0")
        world.away.add("lamp-firmware")  # prepared is prepared: nothing begins before
        world.away.add("firmware")
        world.deploy(4, **lamp_deployment("^1", **wanted))
        await host.retry()
        assert (host.held().state, host.live("pump")) == (RolloutState.WAITING, "1.0.0")
        world.away.clear()
        for _ in range(3):
            await host.retry()
        assert (host.held().state, world.flash, host.live("pump")) == (
            RolloutState.SUCCESSFUL,
            b"1.2.0",
            "1.1.0",
        )
        await host.reconciler.take_back("site", 4, "An operator took it back.")
        for _ in range(3):
            await host.retry()
        assert (host.held().state, world.flash, host.live("pump")) == (
            RolloutState.FAILED,
            b"1.0.0",
            "1.0.0",
        )


async def test_a_component_that_fails_takes_the_image_back() -> None:
    world = await with_one(LampWorld())
    for version in ("1.0.0", "1.1.0"):
        world.offer("pump", version, int(version[2]) + 1)
    world.firmware("1.1.0")
    pump = {"pump": {"version": "=1.1.0"}}
    world.deploy(
        2, **lamp_deployment("^1", on_failure="all-or-none", components=pump, rollout={"soak_s": 60})
    )
    host = LampHost(world)
    async with host.on() as reconciler:
        for _ in range(2):
            await host.retry()
        assert (host.held().state, world.flash) == (RolloutState.SOAKING, b"1.1.0")
        await reconciler.condemn("site", 2, "pump", "It misbehaves.")
        for _ in range(3):
            await host.retry()
        assert (host.held().state, world.flash) == (RolloutState.FAILED, b"1.0.0")
        assert host.page().failed == {}  # the image did no wrong


@pytest.mark.parametrize("what", ["faults", "restarts", "silence"])
async def test_an_image_that_misbehaves_while_it_soaks_is_taken_back_and_noted(what: str) -> None:
    world = await with_one(LampWorld())
    document = world.firmware("1.1.0")
    gates = {"calls_min": 5, "error_rate": 0.1, "restarts": 2}
    world.deploy(2, **lamp_deployment("^1", rollout={"soak_s": 600, "gates": gates}))
    host = LampHost(world)
    async with host.on():
        await host.settle()
        assert (host.held().state, world.flash) == (RolloutState.SOAKING, b"1.1.0")
        if what == "faults":
            host.lamp.telemetry = {"calls": 10, "faults": 9}
        elif what == "restarts":
            host.lamp.restarts = 3
        else:
            world.says[b"1.1.0"] = None
            host.lamp.since = host.clock.now()
        for _ in range(3):
            await host.retry()
        assert (host.held().state, world.flash) == (RolloutState.FAILED, b"1.0.0")
        assert document.digest in host.page().failed


async def test_of_two_deployments_that_want_firmware_on_a_device_one_has_it() -> None:
    world = LampWorld()
    world.firmware("1.0.0")
    world.firmware("1.1.0")
    world.deploy(1, "plain", **lamp_deployment("=1.0.0"))
    world.deploy(1, "first", priority=5, **lamp_deployment("=1.1.0"))
    host = LampHost(world)
    async with host.on():
        for _ in range(4):
            await host.retry()
        assert world.written == [b"1.1.0"]
        plans = await host.reconciler.plans.of(host.held("plain"))
        assert plans[0].standing is Standing.TAKEN
        assert {host.held(name).state for name in ("plain", "first")} == {RolloutState.SUCCESSFUL}


async def test_a_deployment_that_followed_some_versions_goes_back_to_where_it_began() -> None:
    world = await with_one(LampWorld())
    world.deploy(2, **lamp_deployment("^1.1"))
    host = LampHost(world)
    async with host.on() as reconciler:
        for version in ("1.1.0", "1.2.0", "1.3.0"):
            world.firmware(version)
            await host.retry()
            assert world.flash == version.encode()
        world.documents_ = [each for each in world.documents_ if each.version != "1.0.0"]
        await reconciler.take_back("site", 2, "An operator took it back.")
        for _ in range(2):
            await host.retry()
        assert (host.held().state, world.flash) == (RolloutState.FAILED, b"1.0.0")


async def test_a_device_that_is_away_is_waited_for() -> None:
    world = await with_one(LampWorld())
    world.firmware("1.1.0")
    world.plugged = False
    world.deploy(2, **lamp_deployment("^1"))
    host = LampHost(world)
    async with host.on():
        await host.settle()
        assert (await host.plan()).standing is Standing.BLOCKED
        world.plugged = True
        await host.retry()
        assert (host.held().state, world.flash) == (RolloutState.SUCCESSFUL, b"1.1.0")


async def test_what_somebody_flashed_by_hand_can_be_brought_back() -> None:
    world = LampWorld(b"0.9.0")
    document = world.firmware("1.0.0")
    host = LampHost(world)
    async with host.on():
        world.flash = b"1.0.0"
        await host.flash.by_hand.done(["lamp"], document, b"1.0.0")
        world.firmware("1.1.0")
        world.says[b"1.1.0"] = None
        world.deploy(1, **lamp_deployment("=1.1.0"))
        await host.retry()
        assert (host.held().state, world.flash) == (RolloutState.FAILED, b"1.0.0")
        world.says[b"1.1.0"] = "1.1.0"
        world.flash = b"1.1.0"  # somebody is sure of it
        await host.flash.by_hand.done(["lamp"], world.documents_[1], b"1.1.0")
        assert host.page().failed == {}
        world.deploy(2, **lamp_deployment("^1"))
        await host.retry()
        assert host.held().state is RolloutState.SUCCESSFUL


async def test_the_twin_shows_what_runs_what_is_wanted_and_a_flash_under_way() -> None:
    world = await with_one(LampWorld())
    world.firmware("1.1.0")
    world.faults = [fault(LineLostError, BoardState.PARTIAL), fault(NoSyncError, BoardState.UNTOUCHED)]
    world.deploy(2, **lamp_deployment("^1"))
    host = LampHost(world)

    def twin() -> Any:
        plans = [plan for each in host.reconciler.standing.values() for plan in each]
        shown = FirmwareView(host.flash, lambda: plans).of("lamp")
        return devices_twin(cast("DeviceControl", Shown(host.lamp.state.document() | {"firmware": shown})))[
            "lamp"
        ]

    async with host.on():
        await host.settle()
        shown = twin()
        assert (shown["firmware_wanted"], shown["firmware_flash"]) == ("1.1.0", "writing")
        await host.retry()
        shown = twin()
        assert (shown["firmware"], shown["firmware_image"], shown["firmware_wanted"]) == (
            "1.1.0",
            "lamp-firmware",
            "1.1.0",
        )
        assert "firmware_flash" not in shown


async def test_a_component_that_does_not_start_leaves_the_image_where_each_goes_its_own_way() -> None:
    world = await with_one(LampWorld())
    world.firmware("1.1.0")
    world.offer("pump", "1.0.0")
    world.deploy(2, **lamp_deployment("^1", components={"pump": {"version": "^1"}}))
    host = LampHost(world)
    host.broken["pump 1.0.0"] = GuestTrapError("It does not start.")
    async with host.on():
        for _ in range(2):
            await host.retry()
        assert (host.held().state, world.flash) == (RolloutState.FAILED, b"1.1.0")


def test_a_flash_takes_no_move_that_the_table_does_not_have() -> None:
    image = KnownImage("lamp-firmware", "1.0.0", "0" * 64, 1, 10)
    page = FirmwarePage().begun(image, "", running=None)
    with pytest.raises(ConflictError):
        page.moved_to(FlashStage.RETURNING)
    with pytest.raises(ConflictError):
        page.begun(image, "", running=None)
    with pytest.raises(ConflictError):
        FirmwarePage().ended()
    assert set(ALLOWED_MOVES) == {None, *FlashStage}
    restoring = page.moved_to(FlashStage.TRYING).moved_to(FlashStage.RESTORING, why="It is silent.")
    assert FirmwarePage.from_document(restoring.as_document()) == restoring
