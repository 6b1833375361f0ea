"""AVR programmers against the bootloaders that boards are sold with, in simavr; avrdude is the second opinion."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from boards.catalog import load_catalog
from edgehost.adapters.boards import stk500v1
from edgehost.adapters.boards.avr109 import Avr109Programmer
from edgehost.adapters.boards.avr_flash import no_sync
from edgehost.adapters.boards.serial_lines import SerialLines
from edgehost.adapters.boards.stk500v1 import Stk500v1Programmer
from edgehost.adapters.boards.stk500v2 import Stk500v2Programmer
from edgehost.domain.errors import ChipMismatchError, LineLostError, VerifyFailedError
from edgehost.domain.flashing import BoardState, FlashJob, FlashProgress, Phase
from edgehost.ports.device_line import DeviceLine, LineSettings
from edgehost.ports.programmer import Programmer
from tests.boards.avr_boards import KINDS, EmulatedBoard, avrdude, firmware, job, optiboot, powered
from tests.boards.programmer_bench import some_image

LINES = SerialLines()


async def at_once(_: float) -> None:
    """Pauses are for capacitors; the emulator only has to see that the line was closed."""
    await asyncio.sleep(0.01)


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
    assert outcome.chip == f"{kind.mcu} ({board.board.flash.signature})"
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
async def test_what_is_read_back_wrong_is_written_again_or_told_with_its_place(
    protocol: str, tmp_path: Path
) -> None:
    kind = KINDS[protocol]
    content = firmware(kind, "alpha", 2048)

    def spoil(report: FlashProgress) -> None:
        if report.phase is Phase.VERIFY and not report.done:
            with (tmp_path / "flash").open("r+b") as flash:
                flash.seek(0x234)
                flash.write(bytes((content[0x234] ^ 0x10,)))

    async with powered(kind, tmp_path / "flash") as board:
        flash = programmer(protocol).flash(job(board.board, content, board.line), spoil)
        if protocol != "stk500v2":
            assert (await flash).verified
            assert board.holds(content)
            return
        with pytest.raises(VerifyFailedError, match="0x234") as failed:
            await flash
    assert failed.value.state == BoardState.WRITTEN
    assert "--baud" in failed.value.hint


@asynccontextmanager
async def bad_cable(board: EmulatedBoard, every: int) -> AsyncIterator[str]:
    """A line to the board on which one in about ``every`` bytes is lost or becomes another, both ways."""
    dice = random.Random(every)  # noqa: S311 - the same in every run
    tcp_port = int(board.line.rpartition(":")[2])

    async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await source.read(256):
                kept = bytearray()
                for byte in data:
                    fate = dice.randrange(2 * every)
                    kept += bytes((byte ^ 0x40,)) if fate == 0 else b"" if fate == 1 else bytes((byte,))
                sink.write(kept)
        sink.close()

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", tcp_port)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(carry(reader, far_writer), name="to the board")
            tasks.create_task(carry(far_reader, writer), name="to the host")

    server = await asyncio.start_server(join, "127.0.0.1", 0)
    async with server:
        yield f"socket://127.0.0.1:{server.sockets[0].getsockname()[1]}"


class WiredLines(SerialLines):
    """Lines whose DTR goes to the reset pin of a board, as on boards with a USB-serial chip."""

    def __init__(self, board: EmulatedBoard) -> None:
        self._board = board
        self.resets = 0

    @asynccontextmanager
    async def _wired(self, path: str, settings: LineSettings) -> AsyncIterator[DeviceLine]:
        async with super().open(path, settings) as line:

            async def set_signals(*, dtr: bool | None = None, rts: bool | None = None) -> bool:
                if dtr:
                    self.resets += 1
                    self._board.process.send_signal(signal.SIGUSR1)
                return True

            line.set_signals = set_signals  # type: ignore[method-assign]
            yield line

    def open(self, path: str, settings: LineSettings) -> AbstractAsyncContextManager[DeviceLine]:
        return self._wired(path, settings)


async def test_lost_and_garbled_bytes_cost_time_and_no_byte_of_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A chip answers at once; an emulator that shares its processor with others may be late.
    monkeypatch.setattr(stk500v1, "_SYNC_S", 0.4)
    monkeypatch.setattr(stk500v1, "_ANSWER_S", 1.5)
    kind = KINDS["stk500v1"]
    content = firmware(kind, "alpha", 700)
    async with powered(kind, tmp_path / "flash", end="tcp", speed=2) as board, bad_cable(board, 500) as line:
        lines = WiredLines(board)
        outcome = await Stk500v1Programmer(lines, at_once).flash(job(board.board, content, line), ignore)
        assert board.holds(content)
    assert outcome.verified
    assert lines.resets > 1, "a bootloader that lost a byte starts the application, and is fetched back"


async def test_an_optiboot_of_todays_unos_is_flashed_too(tmp_path: Path) -> None:
    kind = replace(KINDS["stk500v1"], board="uno", baud=115_200)
    content = firmware(kind, "optiboot", 3000)
    async with powered(kind, tmp_path / "flash", bootloader=optiboot()) as board:
        outcome = await programmer("stk500v1").flash(job(board.board, content, board.line), ignore)
        assert board.holds(content)
        assert await says(board, "optiboot")
    assert outcome.verified


@pytest.mark.parametrize(("board", "has_pins"), [("uno", True), ("mega2560", True), ("leonardo", False)])
def test_only_who_shares_the_bootloaders_pins_is_asked_about_them(board: str, *, has_pins: bool) -> None:
    wanted = FlashJob(load_catalog().get(board), some_image((0, b"\x01")), "/dev/ttyACM0")
    told = no_sync(wanted, pulsed=True)
    assert ("pins 0 and 1" in told.hint) == has_pins
    assert "/dev/ttyACM0" in told.message
