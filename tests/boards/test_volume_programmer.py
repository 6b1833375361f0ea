"""Probes that show a drive, on folders that behave as one."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from edgehost.adapters.boards.volume_drives import read_note
from edgehost.adapters.boards.volume_programmer import VolumeProgrammer, hex_file
from edgehost.domain.board import FlashFacts
from edgehost.domain.errors import (
    ChipMismatchError,
    FlashFailedError,
    LineLostError,
    NoLineError,
    NoSyncError,
)
from edgehost.domain.flashing import BoardState, FlashJob
from tests.boards.programmer_bench import Reports, some_board, some_bytes, some_image

DETAILS = "# DAPLink Firmware - see https://mbed.com/daplink\nUnique ID: 9900000047834e45\nHIC ID: 97969900\n"
BOARD = some_board(FlashFacts("volume", chip="9900"))
IMAGE = some_image((0, some_bytes(5000)), (0x1_0000 - 8, some_bytes(40, seed=3)))


class Probe:
    """Takes what is copied, goes, and comes back; with FAIL.TXT when told to."""

    def __init__(self, root: Path, fail: str = "") -> None:
        self.folder, self._fail = root / "media" / "MICROBIT", fail
        self.taken = b""
        self._show()

    def _show(self) -> None:
        self.folder.mkdir(parents=True)
        (self.folder / "DETAILS.TXT").write_text(DETAILS)

    async def pause(self, _seconds: float) -> None:
        await asyncio.sleep(0)
        file = self.folder / "FIRMWARE.HEX"
        if file.exists():
            self.taken = file.read_bytes()
            self.folder.rename(self.folder.parent.parent / "gone")
        elif not self.folder.exists():
            self._show()
            if self._fail:
                (self.folder / "FAIL.TXT").write_text(self._fail)


async def test_a_probe_takes_intel_hex_that_others_can_read(tmp_path: Path) -> None:
    intelhex = pytest.importorskip("intelhex")
    probe = Probe(tmp_path)
    programmer = VolumeProgrammer((tmp_path,), probe.pause)
    outcome = await programmer.flash(FlashJob(BOARD, IMAGE, str(probe.folder)), Reports())
    assert outcome.chip == "9900000047834e45"
    assert not outcome.verified
    file = tmp_path / "taken.hex"
    file.write_bytes(probe.taken)
    read = intelhex.IntelHex(str(file))
    for part in IMAGE.segments:
        assert bytes(read.tobinarray(start=part.address, size=len(part.data))) == part.data


async def test_what_the_probe_says_of_a_failure_is_passed_on(tmp_path: Path) -> None:
    probe = Probe(
        tmp_path, fail="The interface firmware FAILED to reset/halt the target MCU\r\nerror type: target"
    )
    programmer = VolumeProgrammer((tmp_path,), probe.pause)
    with pytest.raises(FlashFailedError, match="FAILED to reset/halt the target MCU error type") as caught:
        await programmer.flash(FlashJob(BOARD, IMAGE, str(probe.folder)), Reports())
    assert caught.value.state == BoardState.PARTIAL


async def test_another_board_is_refused_before_anything_is_copied(tmp_path: Path) -> None:
    probe = Probe(tmp_path)
    other = replace(BOARD, flash=replace(BOARD.flash, chip="0240"))
    with pytest.raises(ChipMismatchError):
        await VolumeProgrammer((tmp_path,), probe.pause).flash(FlashJob(other, IMAGE, ""), Reports())
    assert sorted(path.name for path in probe.folder.iterdir()) == ["DETAILS.TXT"]


async def test_no_drive_is_no_sync(tmp_path: Path) -> None:
    with pytest.raises(NoSyncError, match="no drive of a probe"):
        await VolumeProgrammer((tmp_path,)).flash(FlashJob(BOARD, IMAGE, ""), Reports())


async def test_several_drives_are_named(tmp_path: Path) -> None:
    for name in ("A", "B"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "DETAILS.TXT").write_text(DETAILS)
    with pytest.raises(NoLineError, match="several such drives"):
        await VolumeProgrammer((tmp_path,)).flash(FlashJob(BOARD, IMAGE, ""), Reports())


async def test_links_on_a_drive_lead_to_no_file_of_this_machine(tmp_path: Path) -> None:
    mine = tmp_path / "secret"
    mine.write_text("what is mine\n")
    drive = tmp_path / "media" / "STICK"
    drive.mkdir(parents=True)
    (drive / "DETAILS.TXT").write_text(DETAILS)
    (drive / "FIRMWARE.HEX").symlink_to(mine)
    with pytest.raises(LineLostError):
        await VolumeProgrammer((tmp_path,)).flash(FlashJob(BOARD, IMAGE, str(drive)), Reports())
    assert mine.read_text() == "what is mine\n"
    (drive / "FAIL.TXT").symlink_to(mine)
    os.mkfifo(drive / "MBED.HTM")
    assert [read_note(drive / name) for name in ("FAIL.TXT", "MBED.HTM", "DETAILS.TXT")] == ["", "", DETAILS]


def test_hex_ends_as_it_should() -> None:
    assert (
        hex_file(some_image((0, b"\x01")).segments) == b":020000040000FA\r\n:0100000001FE\r\n:00000001FF\r\n"
    )
