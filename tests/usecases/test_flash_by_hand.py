"""A flash that a person orders is in the device's book before its board is touched, so that one that is cut is known."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from edgehost.domain.device_firmware import FirmwarePage
from edgehost.domain.errors import FlashFailedError, LineBusyError, NoSyncError
from edgehost.domain.flashing import BoardState
from edgehost.domain.signed_document import SignedDocument
from edgehost.ports.board_catalog import BoardCatalog
from edgehost.usecases.bridge_device import Devices
from edgehost.usecases.flash_firmware import FlashFirmware
from edgehost.usecases.flash_site import FlashSite, known_image
from edgehost.usecases.view_firmware import FirmwareView
from tests.adapters.storage.faulty_disk import PowerCutError
from tests.usecases.firmware_scene import (
    BOARD,
    RECOVERY,
    LampHost,
    LampWorld,
    Lines,
    fault,
    parsed,
    with_one,
)

ORDER = {"board": BOARD.id, "firmware": "lamp-firmware", "version": "2.0.0", "line": "/dev/lamp"}


class OneBoard:
    def get(self, _board: str) -> Any:
        return BOARD


class ByHand:
    """What a person does with a host's line."""

    def __init__(self, host: LampHost, world: LampWorld) -> None:
        self.host = host
        self.tasks: list[asyncio.Task[None]] = []
        self.control = FlashFirmware(
            catalog=cast("BoardCatalog", OneBoard()),
            device_lines=Lines(),
            flasher=host.flash.writer.images.flasher,
            remotes=[world],
            parse=parsed,
            show_board=lambda _board: {},
            bus=host.bus,
            clock=host.clock,
            spawn=self._spawn,
            by_hand=host.flash.by_hand,
        )

    async def flash(self) -> dict[str, Any]:
        flash = await self.control.flash(ORDER)
        await self.tasks[-1]
        return dict(await self.control.flash_state(flash["flash"]))

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self.tasks.append(asyncio.create_task(work, name=name))


async def with_newer() -> LampWorld:
    """A lamp on 1.0.0, which its host brought there, and a version that nobody has deployed."""
    world = await with_one(LampWorld())
    world.firmware("2.0.0")
    return world


def findings(host: LampHost) -> list[dict[str, Any]]:
    return [dict(each) for each in FirmwareView(host.flash, list).findings()]


@asynccontextmanager
async def watching(host: LampHost) -> AsyncIterator[None]:
    """It has looked once; what it finds at its start is in the log."""
    watch = asyncio.create_task(host.flash.by_hand.watch())
    await asyncio.sleep(0)
    try:
        yield
    finally:
        watch.cancel()
        await asyncio.wait([watch])


async def until(host: LampHost, is_so: Callable[[FirmwarePage], bool]) -> None:
    while not is_so(host.page()):
        await asyncio.sleep(0)


async def test_power_lost_before_any_write_of_a_flash_by_hand_is_told_as_what_it_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clean = await with_newer()
    begin, host = clean.writes, LampHost(clean)
    async with host.on():
        assert (await ByHand(host, clean).flash())["state"] == "done"
        assert (host.page().by_hand, host.page().running) == (None, host.firmware_book.image(_digest(clean)))
    silent = 0
    for cut_at in range(begin + 1, clean.writes + 1):
        world = await with_newer()
        world.cut_at, world.cut_after = cut_at, True
        host = LampHost(world)
        try:
            async with host.on():
                await ByHand(host, world).flash()
        except* PowerCutError:
            pass
        world.cut_at = None
        host = LampHost(world)
        caplog.clear()
        async with host.on(), watching(host):
            if host.lamp.state.online:  # it was cut before the board was touched, or when all was done
                await until(host, lambda page: page.by_hand is None)
                assert findings(host) == []
            else:
                silent += 1
                _is_told(host, caplog.text)
    assert silent >= 1


def _digest(world: LampWorld) -> str:
    return world.documents_[-1].digest


def _is_told(host: LampHost, logged: str) -> None:
    (finding,) = findings(host)
    assert (finding["check"], finding["state"]) == ("firmware of lamp", "failed")
    assert "The flash of lamp-firmware 2.0.0 by hand, begun at " in finding["detail"]
    again = "edgehost flash lamp-board --firmware lamp-firmware@2.0.0 --line /dev/lamp"
    assert again in finding["hint"]
    assert RECOVERY in finding["hint"]
    assert finding["detail"] in logged
    assert again in logged
    shown = FirmwareView(host.flash, list).of("lamp")
    assert (shown["running"], shown["image"]) == ("", "")
    assert shown["by_hand"]["version"] == "2.0.0"
    assert again in shown["by_hand"]["problem"]


async def test_what_was_cut_is_over_when_the_same_is_flashed_again_or_a_deployment_flashes() -> None:
    world = await with_newer()
    world.cut_at = world.writes + 3  # the whole image
    host = LampHost(world)
    with pytest.raises(BaseExceptionGroup):
        async with host.on():
            await ByHand(host, world).flash()
    world.cut_at = None
    host = LampHost(world)
    async with host.on():
        assert host.flash.by_hand.cut("lamp") is not None
        await host.retry()  # the deployment that brought 1.0.0 leaves the board to whoever flashed it
        plan = await host.plan()
        assert "by hand" in plan.reason
        assert (await ByHand(host, world).flash())["state"] == "done"
        assert (findings(host), host.page().by_hand, world.runs) == ([], None, "2.0.0")


@pytest.mark.parametrize("state", [BoardState.UNTOUCHED, BoardState.PARTIAL])
async def test_one_that_broke_off_is_told_where_the_board_was_touched(state: BoardState) -> None:
    world = await with_newer()
    kind = NoSyncError if state is BoardState.UNTOUCHED else FlashFailedError
    world.faults = [fault(kind, state)]
    host = LampHost(world)
    async with host.on():
        assert (await ByHand(host, world).flash())["state"] == "failed"
        told = [finding["detail"] for finding in findings(host)]
        assert [f"It broke off: {state}." in detail for detail in told] == (
            [True] if host.page().by_hand else []
        )
        assert bool(told) == (state is BoardState.PARTIAL)
    again = LampHost(world)
    async with again.on():
        assert bool(findings(again)) == (state is BoardState.PARTIAL)


async def test_another_flash_of_the_device_leaves_what_is_kept_of_the_one_that_goes_on() -> None:
    world = await with_newer()
    host = LampHost(world)
    newer = known_image(world.documents_[-1])
    async with host.on():
        devices = await host.flash.by_hand.begun("/dev/lamp", BOARD.id, world.documents_[-1])
        kept = host.page()
        assert kept.by_hand is not None
        second = await ByHand(host, world).flash()  # as over another name of the line
        assert (second["state"], second["problem"]["code"]) == ("failed", LineBusyError.code)
        with pytest.raises(LineBusyError):
            await host.flash.run("lamp", newer, "deployment")
        assert (host.page(), world.flash) == (kept, b"1.0.0")
        await host.flash.by_hand.failed(devices, "It broke off.", untouched=True)
        await host.flash.run("lamp", newer, "deployment")
        assert (host.page().running, host.page().by_hand) == (newer, None)


async def test_one_is_said_to_have_ended_once_it_is_noted_how() -> None:
    world = await with_newer()
    host = LampHost(world)
    async with host.on():
        hand = ByHand(host, world)
        flash = await hand.control.flash(ORDER)
        while flash["ended_at"] is None:
            flash = await hand.control.flash_state(flash["flash"], seen=flash["turn"], wait_s=30)
        host.flash.by_hand.require_none("lamp")  # so that it can be flashed again at once
        assert (flash["state"], host.page().running) == ("done", known_image(world.documents_[-1]))
        await asyncio.wait(hand.tasks)


async def test_one_that_has_ended_and_is_not_noted_yet_was_not_cut() -> None:
    world = await with_newer()
    host = LampHost(world)
    async with host.on():
        devices = await host.flash.by_hand.begun("/dev/lamp", BOARD.id, world.documents_[-1])
        world.plugged = False
        async with host.flash.by_hand.turns.held("lamp"):  # somebody else writes on the page
            ending = asyncio.create_task(host.flash.by_hand.failed(devices, "It fell.", untouched=False))
            await asyncio.sleep(0)
            assert findings(host) == []
        await ending
        (finding,) = findings(host)
        assert finding["detail"].endswith("broke off: It fell.")


async def test_while_it_goes_on_it_is_no_fault_and_a_device_that_answers_is_over_it() -> None:
    world = await with_newer()
    host = LampHost(world)
    document: SignedDocument = world.documents_[-1]
    async with host.on():
        await host.flash.by_hand.begun("/dev/lamp", BOARD.id, document)
        world.plugged = False
        assert findings(host) == []
    host = LampHost(world)
    async with host.on(), watching(host):
        assert len(findings(host)) == 1
        world.plugged = True
        host.lamp.moved()
        await until(host, lambda page: page.by_hand is None)
        world.plugged = False
        assert findings(host) == []


async def test_a_silent_device_is_not_said_to_have_a_bad_cable_when_its_flash_was_cut() -> None:
    world = await with_newer()
    host = LampHost(world)
    async with host.on():
        devices: Devices = host.flash.writer.devices
        world.plugged = False
        (finding,) = devices.findings()
        assert "cable" in finding["hint"]
        devices.ailing = lambda name: name == "lamp"
        (finding,) = devices.findings()
        assert finding["hint"] == "See what is said of the firmware of lamp."


async def test_a_page_of_an_earlier_version_is_read_and_this_one_gives_back_what_it_kept() -> None:
    world = await with_newer()
    host = LampHost(world)
    async with host.on():
        await host.flash.by_hand.begun("/dev/lamp", BOARD.id, world.documents_[-1])
        page = host.page()
        document = page.as_document()
        assert FirmwarePage.from_document(document) == page
        del document["by_hand"]
        assert FirmwarePage.from_document(document).by_hand is None


async def test_a_flash_without_a_line_is_kept_for_the_only_device_that_is_such_a_board() -> None:
    world = await with_newer()
    host = LampHost(world)
    async with host.on():
        writer = host.flash.writer
        assert writer.on_line("", BOARD.id) == []  # it has a line of its own
        assert writer.on_line("/dev/lamp", "another-board") == ["lamp"]
        writer.sites = lambda _device: FlashSite(BOARD, "", 1.0)
        assert (writer.on_line("", BOARD.id), writer.on_line("", "another-board")) == (["lamp"], [])
        writer.devices.known["lantern"] = writer.devices.get("lamp")
        assert writer.on_line("", BOARD.id) == []
