"""UF2: a genuine reader takes what we write, and drives that go at the wrong moment are told apart."""

from __future__ import annotations

import asyncio
import errno
import os
import random
from dataclasses import replace
from pathlib import Path

import pytest
from adafruit_uf2 import uf2conv
from hypothesis import given
from hypothesis import strategies as some

from edgehost.adapters.boards import volume_drives
from edgehost.adapters.boards.aligned_blocks import aligned_blocks
from edgehost.adapters.boards.serial_lines import SerialLines
from edgehost.adapters.boards.uf2_image import uf2_segments
from edgehost.adapters.boards.uf2_programmer import Uf2Programmer
from edgehost.adapters.boards.uf2_writer import uf2_file
from edgehost.domain.errors import (
    ChipMismatchError,
    FlashFailedError,
    LineDeniedError,
    LineLostError,
    NoLineError,
    NoSyncError,
)
from edgehost.domain.flashing import BoardState, FlashJob, FlashProgress, Phase, Segment
from tests.boards.programmer_bench import Reports, job_for, some_bytes, some_image
from tests.boards.uf2_bench import BASE, RP2040, FolderDrive, Uf2Bench


def test_a_genuine_reader_gives_back_what_we_wrote() -> None:
    firmware = some_bytes(10_000)
    written = uf2_file((Segment(BASE, firmware),), RP2040)
    assert uf2conv.is_uf2(written)
    assert uf2conv.convert_from_uf2(written)[: len(firmware)] == firmware


def test_our_file_is_byte_for_byte_that_of_a_genuine_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    firmware = some_bytes(256 * 30)
    monkeypatch.setattr(uf2conv, "appstartaddr", BASE)
    monkeypatch.setattr(uf2conv, "familyid", RP2040)
    assert uf2_file((Segment(BASE, firmware),), RP2040) == uf2conv.convert_to_uf2(firmware)


@given(some.lists(some.tuples(some.integers(0, 60), some.integers(1, 900)), min_size=1, max_size=6))
def test_what_is_written_is_read_whatever_the_parts_are(parts: list[tuple[int, int]]) -> None:
    memory = bytearray(b"\xff" * 70_000)
    segments, end = [], 0
    for number, (gap, size) in enumerate(parts):
        start = end + gap * 37
        data = random.Random(number).randbytes(size)  # noqa: S311 - the same in every run
        memory[start : start + size] = data
        segments.append(Segment(BASE + start, data))
        end = start + size
    read, family = uf2_segments("it", uf2_file(segments, RP2040), RP2040)
    assert family == RP2040
    for address, data in read:
        assert memory[address - BASE : address - BASE + len(data)] == data
    covered = {address + at for address, data in read for at in range(len(data))}
    assert all(segment.address in covered and segment.end - 1 in covered for segment in segments)


def test_blocks_keep_gaps_and_share_words() -> None:
    parts = (Segment(6, b"ab"), Segment(8, b"cdefg"), Segment(100, b"z"))
    assert aligned_blocks(parts, block_bytes=8, word_bytes=4) == [
        (4, b"\xff\xffab"),
        (8, b"cdefg\xff\xff\xff"),
        (100, b"z\xff\xff\xff"),
    ]


@pytest.fixture
def bench(tmp_path: Path) -> Uf2Bench:
    (tmp_path / "media").mkdir()
    return Uf2Bench(FolderDrive(tmp_path / "media"))


async def test_a_drive_that_is_pulled_while_it_is_written_is_a_lost_line(bench: Uf2Bench) -> None:
    def pull(progress: FlashProgress) -> None:
        if progress.phase is Phase.WRITE and 0 < progress.done < progress.total:
            bench.cut_power()

    with pytest.raises(LineLostError, match="neither the old") as caught:
        await bench.programmer.flash(job_for(bench), Reports(pull))
    assert caught.value.state == BoardState.PARTIAL


async def test_a_board_that_does_not_restart_is_said_so(bench: Uf2Bench) -> None:
    async def pause(_seconds: float) -> None:
        await asyncio.sleep(0)

    programmer = Uf2Programmer(SerialLines(), (bench.drive.root,), pause)
    with pytest.raises(FlashFailedError, match="did not restart") as caught:
        await programmer.flash(job_for(bench), Reports())
    assert caught.value.state == BoardState.WRITTEN


async def test_a_full_drive_is_a_lost_line(bench: Uf2Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int, _piece: bytes) -> None:
        with Path("/dev/full").open("wb", buffering=0) as device:
            device.write(b"x")

    monkeypatch.setattr(volume_drives, "_write", full)
    with pytest.raises(LineLostError, match="No space left") as caught:
        await bench.programmer.flash(job_for(bench), Reports())
    assert caught.value.state == BoardState.PARTIAL
    assert "nothing else on it" in caught.value.hint


@pytest.mark.parametrize(
    ("number", "said", "hint"),
    [
        (errno.EROFS, "mounted read-only", "remount,rw"),
        (errno.EACCES, "This user may not write", "mount -o uid="),
    ],
)
async def test_a_drive_that_may_not_be_written_says_how_it_may(
    bench: Uf2Bench, monkeypatch: pytest.MonkeyPatch, number: int, said: str, hint: str
) -> None:
    def refused(_: Path) -> int:  # whoever runs this may be root, to whom no drive is closed
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(volume_drives, "_opened", refused)
    with pytest.raises(LineDeniedError, match=said) as caught:
        await bench.programmer.flash(job_for(bench), Reports())
    assert caught.value.state == BoardState.UNTOUCHED
    assert hint in caught.value.hint


async def test_without_a_drive_the_hint_says_what_to_press(bench: Uf2Bench) -> None:
    bench.cut_power()
    with pytest.raises(NoSyncError) as caught:
        await bench.programmer.flash(job_for(bench), Reports())
    assert "BOOTSEL" in caught.value.hint
    assert "lsblk" in caught.value.hint, "a host without a desktop mounts no drive by itself"


async def test_two_drives_are_named_and_neither_is_written(bench: Uf2Bench) -> None:
    other = bench.drive.root / "someone" / "OTHER"
    other.mkdir()
    (other / "INFO_UF2.TXT").write_text("UF2 Bootloader v3.0\nBoard-ID: SAMD21G18A-Feather-v0\n")
    with pytest.raises(NoLineError, match="several such drives"):
        await bench.programmer.flash(job_for(bench), Reports())
    await bench.programmer.flash(job_for(bench, line=str(bench.drive.folder)), Reports())
    assert bench.drive.restarts == 1


async def test_an_image_of_another_family_is_refused(bench: Uf2Bench) -> None:
    image = replace(bench.image, family=0xADA52840)
    with pytest.raises(ChipMismatchError, match="0xada52840"):
        await bench.programmer.flash(FlashJob(bench.board, image, bench.line), Reports())
    assert not (bench.drive.folder / "NEW.UF2").exists()


def test_no_image_is_no_block() -> None:
    assert uf2_file(some_image().segments, RP2040) == b""
