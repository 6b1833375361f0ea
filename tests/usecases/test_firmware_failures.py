"""A firmware image that does not come back, a write that breaks off, a board without power: what was good stays, or is told."""

from __future__ import annotations

import pytest

from edgehost.domain.device_firmware import FlashStage
from edgehost.domain.errors import (
    FlashFailedError,
    LineLostError,
    NoSyncError,
    VerifyFailedError,
)
from edgehost.domain.flashing import BoardState
from edgehost.domain.rollout_report import RolloutState
from edgehost.usecases.view_firmware import FirmwareView
from tests.usecases.firmware_scene import RECOVERY, LampHost, LampWorld, fault, lamp_deployment, with_one


@pytest.mark.parametrize("says", [None, "1.0.7"])
async def test_an_image_that_does_not_come_back_makes_way_for_the_last_good_one(says: str | None) -> None:
    world = await with_one(LampWorld())
    document = world.firmware("1.1.0")
    world.says[b"1.1.0"] = says
    world.deploy(2, **lamp_deployment("^1"))
    host = LampHost(world)
    async with host.on():
        await host.retry()
        held = host.held()
        assert held.state is RolloutState.FAILED
        assert ("did not come back" if says is None else "says that it runs 1.0.7") in held.reason
        assert "lamp-firmware 1.0.0 runs again" in held.reason
        assert world.flash == b"1.0.0"
        assert document.digest in host.page().failed
        await host.retry()
        world.deploy(3, **lamp_deployment("^1"))
        await host.retry()
        assert host.held().state is RolloutState.FAILED
        assert "runs again" in host.held().reason
        assert world.written == [b"1.0.0", b"1.1.0", b"1.0.0"]
        world.firmware("1.1.1")
        world.deploy(4, **lamp_deployment("^1"))
        await host.retry()
        assert host.held().state is RolloutState.SUCCESSFUL
        assert world.flash == b"1.1.1"


async def test_without_an_image_to_go_back_to_a_silent_board_needs_a_person() -> None:
    world = LampWorld()
    world.firmware("1.1.0")
    world.says[b"1.1.0"] = None
    world.deploy(1, **lamp_deployment("^1"))
    host = LampHost(world)
    async with host.on():
        await host.retry()
        assert host.held().state is RolloutState.FAILED
        assert RECOVERY in host.held().reason
        assert RECOVERY in host.page().lost
        (finding,) = FirmwareView(host.flash, list).findings()
        assert (finding["check"], finding["state"]) == ("firmware of lamp", "failed")
        world.firmware("1.1.1")  # what is lost may be flashed anew
        world.deploy(2, **lamp_deployment("^1"))
        await host.retry()
        assert host.held().state is RolloutState.SUCCESSFUL
        assert (world.flash, host.page().lost) == (b"1.1.1", "")


async def test_without_an_image_to_go_back_to_one_that_answers_stays() -> None:
    world = LampWorld()
    world.firmware("1.1.0")
    world.says[b"1.1.0"] = "1.0.9"
    world.deploy(1, **lamp_deployment("^1"))
    host = LampHost(world)
    async with host.on():
        await host.retry()
        assert host.held().state is RolloutState.FAILED
        assert "stays as it is" in host.held().reason
        assert (world.flash, host.page().lost, host.page().running) == (b"1.1.0", "", None)


async def test_a_board_that_does_not_answer_its_programmer_is_tried_again_and_nothing_is_noted() -> None:
    world = await with_one(LampWorld())
    world.firmware("1.1.0")
    world.faults = [fault(NoSyncError, BoardState.UNTOUCHED)] * 2
    world.deploy(2, **lamp_deployment("^1"))
    host = LampHost(world)
    async with host.on():
        await host.settle()
        assert host.held().state is RolloutState.APPLYING
        assert (host.page().under_way, world.flash) == (None, b"1.0.0")
        for _ in range(3):
            await host.retry()
        assert (host.held().state, world.flash) == (RolloutState.SUCCESSFUL, b"1.1.0")


async def test_a_write_that_breaks_off_is_begun_anew_and_given_up_after_three() -> None:
    world = await with_one(LampWorld())
    world.firmware("1.1.0")
    world.faults = [fault(VerifyFailedError, BoardState.PARTIAL)]
    world.deploy(2, **lamp_deployment("=1.1.0"))
    host = LampHost(world)
    async with host.on():
        await host.retry()
        assert (host.held().state, world.flash) == (RolloutState.SUCCESSFUL, b"1.1.0")
        world.firmware("1.2.0")
        world.faults = [fault(FlashFailedError, BoardState.PARTIAL)] * 3
        world.deploy(3, **lamp_deployment("=1.2.0"))
        await host.retry()
        assert (host.held().state, world.flash) == (RolloutState.FAILED, b"1.1.0")
        assert "could not be written" in host.held().reason
        world.deploy(4, **lamp_deployment("^1"))  # it was the board, not the image
        await host.retry()
        assert (host.held().state, world.flash) == (RolloutState.SUCCESSFUL, b"1.2.0")


async def test_a_board_that_takes_neither_is_told_to_a_person() -> None:
    world = await with_one(LampWorld())
    world.firmware("1.1.0")
    world.faults = [fault(FlashFailedError, BoardState.PARTIAL)] * 9
    world.deploy(2, **lamp_deployment("^1"))
    host = LampHost(world)
    async with host.on():
        for _ in range(4):
            await host.retry()
        assert host.held().state is RolloutState.FAILED
        assert RECOVERY in host.page().lost
        assert "Check the cable." in host.page().lost
        assert host.page().under_way is None


async def test_what_does_not_fit_the_board_is_refused_before_anything_changes() -> None:
    world = await with_one(LampWorld())
    world.offer("pump", "1.0.0")
    world.firmware("1.1.0", b"x" * 2000)
    whole = {"on_failure": "all-or-none", "components": {"pump": {"version": "^1"}}}
    world.deploy(2, **lamp_deployment("^1", **whole))
    host = LampHost(world)
    async with host.on():
        await host.retry()
        assert host.held().state is RolloutState.FAILED
        assert "bytes too many" in host.held().reason
        assert (world.flash, host.live("pump")) == (b"1.0.0", "")
        world.firmware("3.0.0", board="another-board")
        world.deploy(3, **lamp_deployment("^3", **whole))
        await host.retry()
        assert "not signed for 'lamp-board'" in host.held().reason


async def test_a_board_that_loses_its_power_on_the_way_is_flashed_when_it_is_back() -> None:
    world = await with_one(LampWorld())
    world.firmware("1.1.0")
    world.faults = [
        fault(LineLostError, BoardState.PARTIAL),
        *[fault(NoSyncError, BoardState.UNTOUCHED)] * 5,  # it has no power
    ]
    world.deploy(2, **lamp_deployment("^1"))
    host = LampHost(world)
    async with host.on():
        for _ in range(5):
            await host.retry()
            flash = host.page().under_way
            assert flash is not None
            assert (flash.stage, flash.attempts) == (FlashStage.WRITING, 1)
            assert "is being written" in (await host.plan()).reason
        await host.retry()
        assert (host.held().state, world.flash) == (RolloutState.SUCCESSFUL, b"1.1.0")


async def test_what_is_kept_of_a_device_and_cannot_be_read_is_as_if_nothing_was_known() -> None:
    world = await with_one(LampWorld())
    world.kept = {
        "lamp": {"format": 9, "page": world.kept["lamp"]["page"]},
        "other": {"format": 1, "page": 7},
    }
    host = LampHost(world)
    async with host.on():
        await host.settle()
        assert host.page().running is None
        assert host.held().state is RolloutState.SUCCESSFUL
