"""AVR programmers against the bootloaders that boards are sold with, in simavr; avrdude is the second opinion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from boards.catalog import load_catalog
from edgehost.adapters.boards.avr109 import Avr109Programmer
from edgehost.adapters.boards.serial_lines import SerialLines
from edgehost.adapters.boards.stk500v1 import Stk500v1Programmer
from edgehost.adapters.boards.stk500v2 import Stk500v2Programmer
from edgehost.domain.errors import ChipMismatchError, LineLostError, VerifyFailedError
from edgehost.domain.flashing import BoardState, FlashProgress, Phase
from edgehost.ports.device_line import LineSettings
from edgehost.ports.programmer import Programmer
from tests.boards.avr_boards import KINDS, EmulatedBoard, avrdude, firmware, job, powered

LINES = SerialLines()


async def at_once(_: float) -> None:
    """Pauses are for capacitors; an emulator has none."""


def programmer(protocol: str) -> Programmer:
    makers: dict[str, Callable[[], Programmer]] = {
        "stk500v1": lambda: Stk500v1Programmer(LINES, at_once),
        "stk500v2": lambda: Stk500v2Programmer(LINES, at_once),
        "avr109": lambda: Avr109Programmer(LINES, at_once),
    }
    return makers[protocol]()


def ignore(_: FlashProgress) -> None:
    """Reports that nobody wants."""


async def says(board: EmulatedBoard, mark: str) -> bool:
    """Whether the application runs: opening the line resets the chip, and its bootloader waits a while first."""
    heard = b""
    async with LINES.open(board.line, LineSettings(baud=board.kind.baud)) as line:
        while len(heard) < 4096 and mark.encode() not in heard:
            got = await line.read(4096, 10)
            if not got:
                break
            heard += got
    return mark.encode() in heard


EACH = pytest.mark.parametrize("protocol", ["stk500v1", "stk500v2", "avr109"])


@EACH
async def test_a_genuine_bootloader_is_written_verified_and_started(protocol: str, tmp_path: Path) -> None:
    kind = KINDS[protocol]
    content = firmware(kind, "alpha", 6000)
    told: list[FlashProgress] = []
    async with powered(kind, tmp_path / "flash") as board:
        outcome = await programmer(protocol).flash(job(board.board, content, board.line), told.append)
        assert board.holds(content)
        assert await says(board, "alpha")
    assert outcome.verified
    assert outcome.chip == board.board.flash.signature
    assert outcome.written_bytes >= 6000
    phases = list(dict.fromkeys(report.phase for report in told))
    assert phases == [Phase.CONNECT, Phase.WRITE, Phase.VERIFY, Phase.RESTART]
    for phase in (Phase.WRITE, Phase.VERIFY):
        done = [report.done for report in told if report.phase is phase]
        assert done == sorted(done)
        assert done[-1] == outcome.written_bytes


@EACH
async def test_avrdude_reads_back_what_we_wrote_and_we_overwrite_what_it_wrote(
    protocol: str, tmp_path: Path
) -> None:
    kind = KINDS[protocol]
    ours, theirs = firmware(kind, "ours", 1000), firmware(kind, "theirs", 1000)
    (tmp_path / "theirs.bin").write_bytes(theirs)
    async with powered(kind, tmp_path / "flash", speed=1) as board:  # avrdude takes its time to begin
        await avrdude(board, "-U", f"flash:w:{tmp_path / 'theirs.bin'}:r")
        assert board.holds(theirs)
        await programmer(protocol).flash(job(board.board, ours, board.line), ignore)
        (tmp_path / "ours.bin").write_bytes(ours)
        await avrdude(board, "-U", f"flash:v:{tmp_path / 'ours.bin'}:r")


@EACH
@pytest.mark.parametrize("cut_at", [0, 1, 5, 9, 10, 14])
async def test_after_a_power_cut_at_any_block_the_board_is_flashed_again(
    protocol: str, cut_at: int, tmp_path: Path
) -> None:
    kind = KINDS[protocol]
    page = 256 if protocol == "stk500v2" else 128
    old, new = firmware(kind, "old", page * 10), firmware(kind, "new", page * 10)
    steps = 0

    def cut(report: FlashProgress) -> None:
        nonlocal steps
        if report.phase in (Phase.WRITE, Phase.VERIFY) and report.done:
            steps += 1
        if steps == cut_at and report.phase in (Phase.WRITE, Phase.VERIFY):
            board.cut_power()

    async with powered(kind, tmp_path / "flash") as board:
        await programmer(protocol).flash(job(board.board, old, board.line), ignore)
    async with powered(kind, tmp_path / "flash") as board:
        with pytest.raises(LineLostError) as lost:
            await programmer(protocol).flash(job(board.board, new, board.line), cut)
    expected = BoardState.PARTIAL if cut_at < 10 else BoardState.WRITTEN
    assert lost.value.state in (expected, BoardState.UNTOUCHED if cut_at == 0 else expected)
    async with powered(kind, tmp_path / "flash") as board:
        guard = {"stk500v1": b"\xff\xcf", "avr109": b"\xff\xff"}.get(protocol)
        if guard and 0 < cut_at < 10:
            assert board.flash.read_bytes()[:page] == guard * (page // 2), "half a program never runs"
        await programmer(protocol).flash(job(board.board, new, board.line), ignore)
        assert board.holds(new)


@EACH
async def test_another_chip_than_the_boards_is_left_alone(protocol: str, tmp_path: Path) -> None:
    other = {"stk500v1": "avr109", "stk500v2": "stk500v1", "avr109": "stk500v1"}[protocol]
    async with powered(KINDS[protocol], tmp_path / "flash") as board:
        before = board.flash.read_bytes()
        wanted = job(load_catalog().get(KINDS[other].board), b"\0" * 512, board.line)
        with pytest.raises(ChipMismatchError, match="1e9") as refused:
            await programmer(protocol).flash(replace(wanted, baud=board.kind.baud), ignore)
        assert board.flash.read_bytes() == before
    assert refused.value.state == BoardState.UNTOUCHED


@EACH
async def test_what_is_read_back_wrong_is_told_with_its_place(protocol: str, tmp_path: Path) -> None:
    kind = KINDS[protocol]
    content = firmware(kind, "alpha", 2048)

    def spoil(report: FlashProgress) -> None:
        if report.phase is Phase.VERIFY and not report.done:
            with (tmp_path / "flash").open("r+b") as flash:
                flash.seek(0x234)
                flash.write(bytes((content[0x234] ^ 0x10,)))

    async with powered(kind, tmp_path / "flash") as board:
        with pytest.raises(VerifyFailedError, match="0x234") as failed:
            await programmer(protocol).flash(job(board.board, content, board.line), spoil)
    assert failed.value.state == BoardState.WRITTEN
    assert "--baud" in failed.value.hint
