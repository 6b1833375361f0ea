"""The 1200-baud touch: the board goes, comes back as its bootloader on another line, and is flashed there."""

from __future__ import annotations

import os
import pty
import tty
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from boards.catalog import load_catalog
from edgehost.adapters.boards.avr109 import Avr109Programmer
from edgehost.adapters.boards.serial_lines import SerialLines
from edgehost.adapters.boards.touch_1200 import touch_1200
from edgehost.domain.errors import NotFoundError
from edgehost.domain.flashing import FlashProgress
from edgehost.ports.device_line import DeviceLine, FoundLine, LineSettings
from tests.boards.avr_boards import KINDS, firmware, job, powered

LEONARDO = load_catalog().get("leonardo")
KIND = KINDS["avr109"]
APPLICATION, BOOTLOADER = "2341:8036", "2341:0036"


class UsbLines:
    """The lines of this machine, but for which of them are USB devices and when: that is told by the test."""

    def __init__(self, *turns: Sequence[FoundLine]) -> None:
        self._lines, self._turns = SerialLines(), list(turns)
        self.opened: list[tuple[str, int]] = []

    def open(self, path: str, settings: LineSettings) -> AbstractAsyncContextManager[DeviceLine]:
        self.opened.append((path, settings.baud))
        return self._lines.open(path, settings)

    async def found(self) -> Sequence[FoundLine]:
        return self._turns.pop(0) if len(self._turns) > 1 else self._turns[0]


async def at_once(_: float) -> None:
    """A test does not wait for USB."""


@asynccontextmanager
async def a_line() -> AsyncIterator[str]:
    master, slave = pty.openpty()
    tty.setraw(slave)
    try:
        yield os.ttyname(slave)
    finally:
        os.close(slave)
        os.close(master)


async def test_the_bootloader_is_followed_to_its_line_and_flashed(tmp_path: Path) -> None:
    content = firmware(KIND, "touched", 3000)
    told: list[FlashProgress] = []
    async with a_line() as path, powered(KIND, tmp_path / "flash") as board:
        old = FoundLine(path, "Leonardo", APPLICATION, "", "1-1:1.0")
        other = FoundLine(
            "/dev/other", "Leonardo", BOOTLOADER, "", "1-7:1.0"
        )  # another board, there all the time
        new = FoundLine(board.line, "", BOOTLOADER, "", "1-1:1.0")
        lines = UsbLines([old, other], [old, other], [other], [other, new])
        outcome = await Avr109Programmer(lines, at_once).flash(job(LEONARDO, content, path), told.append)
        assert board.holds(content)
    assert outcome.verified
    assert lines.opened == [(path, 1200), (board.line, 57_600)]
    assert any(report.detail == f"bootloader on {board.line}" for report in told)


@pytest.mark.parametrize(
    ("before", "after", "where"),
    [
        ("", "", "same"),  # no USB device: a person resets it
        (BOOTLOADER, BOOTLOADER, "same"),  # it waits for us already
        (APPLICATION, APPLICATION, "same"),  # it took no notice; the bootloader's answer decides
    ],
)
async def test_a_line_that_does_not_move_is_used_as_it_is(before: str, after: str, where: str) -> None:
    async with a_line() as path:
        lines = UsbLines([FoundLine(path, usb=before)], [FoundLine(path, usb=after)])
        assert await touch_1200(lines, path, LEONARDO, at_once) == path
        assert bool(lines.opened) == (before == APPLICATION)


async def test_a_board_that_comes_back_under_its_old_name_is_used_there() -> None:
    async with a_line() as path:
        there = FoundLine(path, usb=APPLICATION)
        lines = UsbLines([there], [], [replace(there, usb=BOOTLOADER)])
        assert await touch_1200(lines, path, LEONARDO, at_once) == path


async def test_a_board_that_never_comes_back_is_told() -> None:
    async with a_line() as path:
        lines = UsbLines([FoundLine(path, usb=APPLICATION)], [])
        with pytest.raises(NotFoundError, match="no bootloader of 'leonardo'") as gone:
            await touch_1200(lines, path, LEONARDO, at_once)
    assert "RESET twice" in gone.value.hint
