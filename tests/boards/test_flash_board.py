"""Flashing as a use case: what else uses the line is held off, one flash at a time, and every board has a programmer."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from boards.catalog import load_catalog
from edgehost.adapters.boards.serial_lines import SerialLines
from edgehost.adapters.boards.swd_programmer import command_for
from edgehost.composition.boards import programmers
from edgehost.domain.board import TOOLS
from edgehost.domain.errors import LineBusyError, LineLostError, NotFoundError, RefusedError
from edgehost.domain.flashing import FirmwareImage, FlashJob, FlashOutcome, FlashProgress, Segment
from edgehost.ports.programmer import Programmer, Report
from edgehost.usecases.flash_board import FlashBoard, plan_document
from edgehost.usecases.flash_order import choose_firmware

CATALOG = load_catalog()
MAKERS = programmers(SerialLines())


class Bridge:
    """LineUsers that notes what it is asked."""

    def __init__(self) -> None:
        self.told: list[str] = []

    @asynccontextmanager
    async def pause(self, path: str) -> AsyncIterator[None]:
        self.told.append(f"paused {path}")
        try:
            yield
        finally:
            self.told.append(f"resumed {path}")


class Slow:
    """A programmer that waits to be let on, or fails."""

    protocol = "stk500v1"

    def __init__(self, bridge: Bridge, problem: Exception | None = None) -> None:
        self.bridge, self.problem = bridge, problem
        self.began, self.go_on = asyncio.Event(), asyncio.Event()

    async def flash(self, job: FlashJob, report: Report) -> FlashOutcome:
        self.bridge.told.append("flashing")
        self.began.set()
        await self.go_on.wait()
        if self.problem is not None:
            raise self.problem
        return FlashOutcome("chip", job.image.size_bytes, verified=True, seconds=1.0)


def job(line: str = "/dev/ttyX", board: str = "uno", data: bytes = b"\x0c\x94") -> FlashJob:
    image = FirmwareImage("a.bin", "bin", (Segment(0, data),), hashlib.sha256(data).hexdigest())
    return FlashJob(CATALOG.get(board), image, line)


def _the(programmer: Programmer) -> Programmer:
    return programmer


def ignore(_: FlashProgress) -> None:
    """Nobody looks."""


async def test_the_bridge_lets_go_of_the_line_and_takes_it_again_however_a_flash_ends() -> None:
    for problem in (None, LineLostError("gone")):
        bridge = Bridge()
        slow = Slow(bridge, problem)
        flasher = FlashBoard({"stk500v1": partial(_the, slow)}, bridge)
        slow.go_on.set()
        if problem is None:
            assert (await flasher.run(flasher.plan(job()), ignore)).verified
        else:
            with pytest.raises(LineLostError):
                await flasher.run(flasher.plan(job()), ignore)
        assert bridge.told == ["paused /dev/ttyX", "flashing", "resumed /dev/ttyX"]


async def test_one_line_is_flashed_by_one_at_a_time_and_another_beside_it() -> None:
    bridge = Bridge()
    slow = Slow(bridge)
    flasher = FlashBoard({"stk500v1": lambda: slow}, bridge)
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(flasher.run(flasher.plan(job()), ignore), name="first")
        await slow.began.wait()
        with pytest.raises(LineBusyError, match="is being flashed"):
            flasher.plan(job())
        second = tasks.create_task(flasher.run(flasher.plan(job("/dev/ttyY")), ignore), name="second")
        slow.go_on.set()
    assert first.result().verified
    assert second.result().verified
    flasher.plan(job())  # free again


def test_an_option_that_would_do_nothing_is_refused() -> None:
    flasher = FlashBoard(MAKERS)
    pico = replace(
        job(board="pico"), image=replace(job().image, segments=(Segment(0x1000_0000, b"\0" * 256),))
    )
    assert flasher.plan(pico).baud == 0
    with pytest.raises(RefusedError, match="no baud rate"):
        flasher.plan(replace(pico, baud=9600))
    with pytest.raises(RefusedError, match="only what is written"):
        flasher.plan(replace(pico, erase_all=True))


async def test_a_cancelled_flash_frees_line_and_bridge() -> None:
    bridge = Bridge()
    slow = Slow(bridge)
    flasher = FlashBoard({"stk500v1": lambda: slow}, bridge)
    task = asyncio.create_task(flasher.run(flasher.plan(job()), ignore), name="flash")
    await slow.began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bridge.told[-1] == "resumed /dev/ttyX"
    flasher.plan(job())


def test_a_protocol_that_nobody_speaks_is_refused_by_name() -> None:
    makers: dict[str, Callable[[], Programmer]] = {}
    with pytest.raises(RefusedError, match="'stk500v1' cannot be flashed"):
        FlashBoard(makers).plan(job())


@pytest.mark.parametrize("protocol", sorted({board.flash.protocol for board in CATALOG.all()}))
def test_every_board_has_a_programmer(protocol: str) -> None:
    assert MAKERS[protocol]().protocol == protocol


@pytest.mark.parametrize(
    ("protocol", "tool"), [(name, tool) for name, tools in TOOLS.items() for tool in tools]
)
def test_every_tool_has_a_programmer_and_no_other_goes(protocol: str, tool: str) -> None:
    board = next(board for board in CATALOG.all() if board.flash.protocol == protocol)
    image = replace(job().image, segments=(Segment(board.flash.base, bytes(256), role="data"),))
    flasher = FlashBoard(MAKERS)
    plan = flasher.plan(FlashJob(board, image, "x", tool=tool))
    assert plan_document(plan)["tool"] == tool
    own = replace(board, flash=replace(board.flash, tool=tool))
    assert plan_document(flasher.plan(FlashJob(own, image, "x")))["tool"] == tool
    assert MAKERS[protocol if tool == TOOLS[protocol][0] else f"{protocol}/{tool}"]().protocol == protocol
    with pytest.raises(RefusedError, match="writes no boards of the protocol"):
        flasher.plan(FlashJob(board, image, "x", tool="avrdude"))
    with pytest.raises(RefusedError, match="'stk500v1'"):
        flasher.plan(replace(job(), tool=tool))


@pytest.mark.parametrize("board", [each.id for each in CATALOG.all() if each.flash.protocol == "swd"])
def test_the_chips_of_boards_with_probes_are_known_to_the_tool(board: str) -> None:
    assert command_for("openocd", job(board=board), Path("a.hex"))


def test_where_no_firmware_is_on_offer_it_is_said_how_it_comes_there() -> None:
    with pytest.raises(NotFoundError, match="No remote offers firmware 'blinker'") as caught:
        choose_firmware((), "blinker", "", load_catalog().get("uno"))
    assert "edgehost firmware publish" in caught.value.hint
