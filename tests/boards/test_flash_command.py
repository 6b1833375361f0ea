"""``edgehost flash`` and ``edgehost boards`` as people and programs see them, on a genuine bootloader."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pty
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgehost.cli.command_table import (
    CHIP_MISMATCH,
    FAILED,
    INTERRUPTED,
    LINE_BUSY,
    NO_LINE,
    NO_SYNC,
    NOT_FOUND,
    OK,
    USAGE,
)
from edgehost.cli.flash_progress import FlashView, bar_line
from edgehost.cli.main import main
from edgehost.cli.output import Output
from edgehost.domain.flashing import FlashProgress, Phase
from tests.boards.avr_boards import KINDS, app, firmware, powered

KIND = KINDS["stk500v1"]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(tmp_path)

    def command(*words: object) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


async def test_a_board_is_flashed_with_a_line_for_each_step(run: Run, tmp_path: Path) -> None:
    elf = app(KIND.mcu, KIND.baud, "command")
    async with powered(KIND, tmp_path / "flash") as board:
        code, out, told = await asyncio.to_thread(
            run, "flash", KIND.board, "--image", elf, "--unsigned", "--line", board.line
        )
        assert code == OK, told
        assert board.holds(elf.with_suffix(".bin").read_bytes())
    assert "of elf for sim-m328p over /dev/pts/" in told
    assert "(stk500v1, 57600 baud)" in told
    for step in ("Connecting ...", "Connecting: signature 1e950f.", "Writing: ", "Verifying: "):
        assert step in told
    assert "\r" not in told, "no terminal, no moving bar"
    assert out.startswith("Wrote ")
    assert "verified" in out


async def test_programs_get_one_object_a_line(run: Run, tmp_path: Path) -> None:
    elf = app(KIND.mcu, KIND.baud, "command")
    async with powered(KIND, tmp_path / "flash") as board:
        words = ("flash", KIND.board, "--image", elf, "--unsigned", "--line", board.line, "--json")
        code, out, told = await asyncio.to_thread(run, *words)
    events: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    assert (code, told) == (OK, "")
    assert events[0]["event"] == "plan"
    assert events[0]["image"]["parts"][0]["address"] == 0
    assert events[-1]["event"] == "done"
    assert events[-1]["verified"] is True
    steps = [event for event in events if event["event"] == "progress"]
    assert {event["phase"] for event in steps} == {"connect", "write", "verify", "restart"}
    assert len(steps) < 100


async def test_a_dry_run_checks_all_and_touches_nothing(run: Run, tmp_path: Path) -> None:
    elf = app(KIND.mcu, KIND.baud, "command")
    async with powered(KIND, tmp_path / "flash") as board:
        before = board.flash.read_bytes()
        code, _, told = await asyncio.to_thread(
            run, "flash", KIND.board, "--image", elf, "--unsigned", "--line", board.line, "--dry-run"
        )
        assert board.flash.read_bytes() == before
    assert code == OK
    assert "Nothing was touched" in told


def test_each_kind_of_failure_has_its_exit_code_and_says_what_to_do(run: Run, tmp_path: Path) -> None:
    elf = app(KIND.mcu, KIND.baud, "command")
    image = ("--image", elf, "--unsigned")
    code, _, told = run("flash", "uno", "--image", elf)
    assert (code, "--unsigned" in told) == (USAGE, True)
    code, _, told = run("flash", "uno", *image, "--firmware", "x")
    assert code == USAGE
    code, _, told = run("flash", "leonrado", *image)
    assert (code, "Did you mean 'leonardo'" in told) == (NOT_FOUND, True)
    code, _, told = run("flash", "uno", "--image", "absent.hex", "--unsigned")
    assert (code, "absent.hex" in told) == (NOT_FOUND, True)
    code, _, told = run("flash", "pico", *image)
    assert (code, "cortex-m0plus" in told) == (CHIP_MISMATCH, True)
    code, _, told = run("flash", "sim-m328p", *image)
    assert (code, "--line" in told) == (NO_LINE, True)
    code, _, told = run("flash", "uno", *image, "--line", "/dev/ttyNOPE")
    assert (code, "boards detect" in told) == (NO_LINE, True)
    (tmp_path / "big.bin").write_bytes(bytes(40_000))
    code, _, told = run("flash", "uno", "--image", "big.bin", "--unsigned")
    assert (code, "bootloader" in told) == (FAILED, True)


async def test_a_bootloader_of_another_tongue_does_not_answer_and_what_to_press_is_said(
    run: Run, tmp_path: Path
) -> None:
    elf = app(KIND.mcu, KIND.baud, "command")
    image = ("--image", elf, "--unsigned")
    async with powered(KINDS["stk500v2"], tmp_path / "mega") as mega:
        words = ("flash", "sim-m2560", "--part", f"app={elf}", "--unsigned", "--line", mega.line)
        code, _, told = await asyncio.to_thread(run, *words)
        assert code == OK, told
        asked = ("flash", "uno", *image, "--line", mega.line)
        code, _, told = await asyncio.to_thread(run, *asked)
    assert code == NO_SYNC
    assert "No bootloader answers" in told
    assert "The firmware on the board is as it was" in told
    assert "press RESET" in told


def test_a_line_in_use_says_by_whom(run: Run) -> None:
    elf = app(KIND.mcu, KIND.baud, "command")
    master, slave = pty.openpty()
    try:
        import fcntl  # noqa: PLC0415 - only here

        fcntl.flock(slave, fcntl.LOCK_EX)
        code, _, told = run("flash", "uno", "--image", elf, "--unsigned", "--line", os.ttyname(slave))
    finally:
        os.close(master)
        os.close(slave)
    assert code == LINE_BUSY
    assert "is in use" in told


def test_boards_are_listed_and_shown_with_the_source_of_each_fact(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("boards", "ls")
    assert code == OK
    assert "leonardo" in out
    code, out, _ = run("boards", "show", "pico")
    assert "0xe48bff56" in out
    assert "uf2families.json" in out
    code, out, _ = run("boards", "show", "esp32-devkitc", "--json")
    assert json.loads(out)["flash"]["offsets"]["partitions"] == 0x8000
    code, out, _ = run("boards", "detect", "--json")
    assert code == OK
    assert isinstance(json.loads(out)["lines"], list)


def test_a_folder_of_ones_own_boards_by_option_and_by_configuration(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    _, shown, _ = run("boards", "show", "uno", "--json")
    board = json.loads(shown)
    text = (
        f'id = "mine"\nname = "Mine"\nvendor = "me"\nmcu = "{board["mcu"]}"\ncore = "avr"\n'
        "cpu_hz = 8000000\nflash_bytes = 32768\nram_bytes = 2048\n"
        '[flash]\nprotocol = "stk500v1"\nsize = 30720\npage = 128\n'
    )
    (tmp_path / "mine" / "mine.toml").write_text(text)
    assert run("boards", "show", "mine", "--boards", "mine")[0] == OK
    assert run("boards", "show", "mine")[0] == NOT_FOUND
    (tmp_path / "edgehost.toml").write_text('[boards]\nfolder = "mine"\n')
    assert run("boards", "show", "mine")[0] == OK
    (tmp_path / "mine" / "mine.toml").write_text(text.replace('"avr"', '"arv"'))
    code, _, told = run("boards", "ls")
    assert (code, "Board 'mine': core is 'arv'. Did you mean 'avr'?" in told) == (FAILED, True)


def test_the_bar_shows_rate_and_time_left() -> None:
    line = bar_line(FlashProgress(Phase.WRITE, 12_288, 24_576), 2.0)
    assert (
        line == "Writing   [###############---------------]  50%  12.0 KiB of 24.0 KiB  6.0 KiB/s  2 s left"
    )
    assert bar_line(FlashProgress(Phase.RESTART), 0) == "Starting the firmware ..."


def test_on_a_terminal_the_bar_moves_in_place() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen, times = Terminal(), iter(range(100))
    with FlashView(Output(), stream=screen, now=lambda: float(next(times))) as view:
        view.report(FlashProgress(Phase.CONNECT, detail="signature 1e950f\x1b[2J"))
        for done in range(0, 1025, 256):
            view.report(FlashProgress(Phase.WRITE, done, 1024))
    shown = screen.getvalue()
    assert shown.count("\n") == 2
    assert "100%" in shown
    assert "\x1b[2J" not in shown, "what a device says does not steer the terminal"


async def test_ctrl_c_says_what_it_leaves(tmp_path: Path) -> None:
    image = tmp_path / "large.bin"
    image.write_bytes(firmware(KIND, "large", 25_000))
    async with powered(KIND, tmp_path / "flash", speed=1) as board:
        command = [sys.executable, "-m", "edgehost", "flash", KIND.board, "--image", str(image), "--unsigned"]
        process = await asyncio.create_subprocess_exec(
            *command, "--line", board.line, "--json", stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        async for line in process.stdout:
            told = json.loads(line)
            if told.get("phase") == "write" and told["done"]:
                break
        process.send_signal(signal.SIGINT)
        last = json.loads((await process.stdout.read()).splitlines()[-1])
        assert last == {"event": "interrupted", "phase": "write"}
        assert await process.wait() == INTERRUPTED
        again = await asyncio.create_subprocess_exec(*command, "--line", board.line, "--dry-run")
        assert await again.wait() == OK
