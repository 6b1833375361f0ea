"""Programmers that run dfu-util, OpenOCD and pyOCD: no hardware is here, so the genuine programs find none, and say so."""

from __future__ import annotations

import asyncio
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from edgehost.adapters.boards.dfu_programmer import DfuDevice, DfuProgrammer, devices, progress_of
from edgehost.adapters.boards.esptool_programmer import EsptoolProgrammer
from edgehost.adapters.boards.flash_run import FlashRun
from edgehost.adapters.boards.pyocd_programmer import Bars, PyocdProgrammer
from edgehost.adapters.boards.pyocd_programmer import failure_of as pyocd_failure_of
from edgehost.adapters.boards.serial_lines import SerialLines
from edgehost.adapters.boards.swd_programmer import TARGETS, SwdProgrammer, command_for, failure_of
from edgehost.adapters.boards.tool_process import ToolEnd, run_tool
from edgehost.domain.board import Board, FlashFacts, UsbId
from edgehost.domain.errors import (
    ChipMismatchError,
    DeviceError,
    EdgehostError,
    FlashFailedError,
    LineDeniedError,
    NoLineError,
    NoSyncError,
    UnavailableError,
    VerifyFailedError,
)
from edgehost.domain.flashing import BoardState, FlashJob, Phase
from edgehost.ports.programmer import Programmer
from tests.boards.programmer_bench import Reports, some_board, some_bytes, some_image
from tests.required_tools import require_tool

BASE = 0x0800_0000
DFU = replace(some_board(FlashFacts("dfu", base=BASE)), bootloader_ids=(UsbId(0x0483, 0xDF11),))
SWD = replace(
    some_board(FlashFacts("swd", base=BASE, chip="stm32f401retx")), usb_ids=(UsbId(0x0483, 0x374B),)
)
ESP = some_board(FlashFacts("esp", chip="ESP32"))
IMAGE = some_image((BASE, some_bytes(3000)))
#: A line as dfu-util 0.11 prints it for an STM32F411 (the format string of its binary, the name that the chip gives).
FOUND = (
    'Found DFU: [0483:df11] ver=2200, devnum=12, cfg=1, intf=0, path="1-1.4", alt=0, '
    'name="@Internal Flash  /0x08000000/04*016Kg,01*064Kg,03*128Kg", serial="357236543131"'
)


@pytest.mark.parametrize(
    ("tool", "programmer", "job"),
    [
        ("dfu-util", DfuProgrammer(), FlashJob(DFU, IMAGE, "")),
        ("openocd", SwdProgrammer(), FlashJob(SWD, IMAGE, "")),
        ("", PyocdProgrammer(), FlashJob(replace(SWD, flash=replace(SWD.flash, chip="nrf51")), IMAGE, "")),
        (
            "openocd",
            SwdProgrammer(),
            FlashJob(replace(SWD, usb_ids=(), flash=replace(SWD.flash, chip="nrf51")), IMAGE, ""),
        ),
    ],
)
async def test_the_genuine_program_without_a_device_is_no_sync(
    tool: str, programmer: Programmer, job: FlashJob
) -> None:
    if tool:
        require_tool(tool)
    with pytest.raises(NoSyncError) as caught:
        await programmer.flash(job, Reports())
    assert caught.value.hint
    assert caught.value.state == BoardState.UNTOUCHED


@pytest.mark.parametrize(
    ("programmer", "board", "package"),
    [(DfuProgrammer(), DFU, "dfu-util"), (SwdProgrammer(), SWD, "openocd")],
)
async def test_a_missing_program_is_said_with_its_package(
    programmer: Programmer, board: object, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    job = FlashJob(DFU if board is DFU else SWD, IMAGE, "")
    with pytest.raises(UnavailableError, match=package) as caught:
        await programmer.flash(job, Reports())
    assert f"apt install {package}" in caught.value.hint


@pytest.mark.parametrize(
    ("programmer", "board", "extra"),
    [(PyocdProgrammer(), SWD, "pyocd"), (EsptoolProgrammer(SerialLines()), ESP, "esptool")],
)
async def test_a_missing_package_is_said_with_its_extra(
    programmer: Programmer, board: Board, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(UnavailableError, match=f"'{extra}' was asked for, and is not installed") as caught:
        await programmer.flash(FlashJob(board, IMAGE, "/dev/ttyNOPE"), Reports())
    assert caught.value.hint == f"pip install 'edgehost[{extra}]'"


def test_a_dfu_device_tells_where_its_flash_is() -> None:
    (device,) = devices(("dfu-util 0.11", FOUND))
    assert device == DfuDevice(
        "0483:DF11", "1-1.4", 0, "@Internal Flash  /0x08000000/04*016Kg,01*064Kg,03*128Kg", "357236543131"
    )
    assert device.memory == (BASE, 512 * 1024)


def test_progress_bars_are_read() -> None:
    assert progress_of("Download\t[=========                ]  36%        11264 bytes") == (
        "Download",
        36,
        11264,
    )
    assert progress_of("Erase   \t[=========================] 100%        30000 bytes") == (
        "Erase",
        100,
        30000,
    )
    assert progress_of("Download done.") is None


def fake_dfu_util(folder: Path, *, bad: bool = False) -> None:
    """Speaks as dfu-util does, and keeps what it is given: a stand-in, since there is no device."""
    script = folder / "dfu-util"
    script.write_text(
        f"""#!/bin/sh
echo "$@" >> {folder}/calls
case "$*" in
  -l) echo '{FOUND}' ;;
  *-D*) eval file=\\${{$#}}; cp "$file" {folder}/kept
     printf 'Erase   \\t[====     ]  50%%  1500 bytes\\rDownload\\t[====     ]  50%%  1500 bytes\\rDownload done.\\n' ;;
  *-U*) eval file=\\${{$#}}; {"echo no" if bad else f"cat {folder}/kept"} > "$file" ;;
esac
"""
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)


async def test_dfu_writes_reads_back_and_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_dfu_util(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    reports = Reports()
    outcome = await DfuProgrammer().flash(FlashJob(DFU, IMAGE, ""), reports)
    assert outcome.verified
    assert (tmp_path / "kept").read_bytes() == IMAGE.segments[0].data
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[1].startswith("-d 0483:df11 -p 1-1.4 -a 0 -s 0x08000000 -D")
    assert calls[2].startswith("-d 0483:df11 -p 1-1.4 -a 0 -s 0x08000000:3000:leave -U")
    assert [report.done for report in reports if report.phase is Phase.WRITE] == [0, 1500, 3000]


@pytest.mark.parametrize(
    ("listed", "kind"),
    [
        ((FOUND, FOUND.replace("357236543131", "357236543132")), NoLineError),
        (
            ("dfu-util: Cannot open DFU device 0483:df11 found on devnum 12 (LIBUSB_ERROR_ACCESS)",),
            LineDeniedError,
        ),
    ],
)
async def test_of_several_dfu_devices_or_a_closed_one_none_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: tuple[str, ...], kind: type[EdgehostError]
) -> None:
    script = tmp_path / "dfu-util"
    script.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in listed))
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(kind) as caught:
        await DfuProgrammer().flash(FlashJob(DFU, IMAGE, ""), Reports())
    assert caught.value.hint


def fake_pyocd(folder: Path, *, bad: bool = False) -> None:
    """Speaks as pyOCD 0.46 does into a pipe, and keeps what it is given: a stand-in, since there is no probe."""
    script = folder / "pyocd"
    bar = "[---|---|---|---|---|---|---|---|---|----]\\n[====================" + "====================]\\n"
    script.write_text(
        f"""#!/bin/sh
echo "$@" >> {folder}/calls
case "$1" in
  load) eval file=\\${{$#}}; cp "$file" {folder}/kept
     printf '0000812 I Erasing... [loader]\\n{bar}0001012 I Programming... [loader]\\n{bar}' ;;
  commander) {"exit 0" if bad else f"cp {folder}/wanted $(echo $* | sed -E 's/.*savemem [0-9a-fx]+ [0-9]+ ([^ ]+) .*/{chr(92)}1/')"} ;;
esac
"""
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def path_pyocd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program on the PATH is taken where the package is not beside this one."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


@pytest.mark.usefixtures("path_pyocd")
async def test_pyocd_writes_reads_back_and_compares(tmp_path: Path) -> None:
    fake_pyocd(tmp_path)
    (tmp_path / "wanted").write_bytes(IMAGE.segments[0].data)
    reports = Reports()
    outcome = await PyocdProgrammer().flash(FlashJob(SWD, IMAGE, "id:0669FF38"), reports)
    assert outcome.verified
    load, back = (tmp_path / "calls").read_text().splitlines()
    assert "--no-wait --no-config --target stm32f401retx --probe=0669FF38 --erase sector --no-reset" in load
    assert back.endswith("-c reset")
    for phase in (Phase.ERASE, Phase.WRITE, Phase.VERIFY):
        counted = [report.done for report in reports if report.phase is phase]
        assert (counted[0], counted[-1]) == (0, 3000)
        assert counted == sorted(counted)
    (tmp_path / "wanted").write_bytes(b"worn")
    with pytest.raises(VerifyFailedError) as caught:
        await PyocdProgrammer().flash(FlashJob(SWD, IMAGE, ""), Reports())
    assert caught.value.state == BoardState.PARTIAL


def test_pyocds_bar_is_read_while_it_grows() -> None:
    reports = Reports()
    run = FlashRun(FlashJob(SWD, IMAGE, ""), reports)
    bars = Bars(run)
    bars.grow("[====")
    bars.take("0001012 I Programming... [loader]")
    bars.grow("[====")
    bars.grow("[" + "=" * 20)
    assert [report.done for report in reports] == [0, 300, 1500]


def test_pyocds_mistakes_are_told_apart() -> None:
    def failure(line: str) -> DeviceError:
        return pyocd_failure_of(ToolEnd(1, (line,)), SWD)

    assert "pyocd pack install stm32f401retx" in failure("0000326 C Target type x not recognized. Use").hint
    assert isinstance(
        failure("0000812 C SWD/JTAG communication failure (No ACK) [__main__]"), ChipMismatchError
    )
    told = failure("0000900 E Error 6 programming page: flash program page failure [builder]")
    assert told.message == "pyOCD ended with 1: Error 6 programming page: flash program page failure"


async def test_dfu_compares_what_it_reads_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_dfu_util(tmp_path, bad=True)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(VerifyFailedError) as caught:
        await DfuProgrammer().flash(FlashJob(DFU, IMAGE, ""), Reports())
    assert caught.value.state == BoardState.PARTIAL


async def test_dfu_refuses_an_image_that_the_flash_cannot_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_dfu_util(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(ChipMismatchError) as caught:
        await DfuProgrammer().flash(FlashJob(DFU, some_image((BASE + 512 * 1024, b"abcd")), ""), Reports())
    assert caught.value.state == BoardState.UNTOUCHED
    assert (tmp_path / "calls").read_text() == "-l\n"


def test_openocd_is_told_probe_chip_and_serial_number() -> None:
    command = command_for("openocd", FlashJob(SWD, IMAGE, "id:0669FF38"), Path("/f.hex"))
    assert command == [
        *(
            "openocd",
            "-f",
            "interface/stlink.cfg",
            "-c",
            "adapter serial 0669FF38",
            "-f",
            "target/stm32f4x.cfg",
        ),
        *("-c", "program /f.hex verify reset exit"),
    ]


def test_every_target_is_one_of_openocds() -> None:
    require_tool("openocd")
    scripts = Path("/usr/share/openocd/scripts/target")
    assert [name for name in TARGETS.values() if not (scripts / f"{name}.cfg").exists()] == []


def test_openocds_mistakes_are_told_apart() -> None:
    def failure(line: str) -> Exception:
        return failure_of(ToolEnd(1, ("Open On-Chip Debugger 0.12.0", line)), SWD)

    assert isinstance(failure("Warn : UNEXPECTED idcode: 0x2ba01477"), ChipMismatchError)
    assert isinstance(failure("** Verify Failed **"), VerifyFailedError)
    assert "flash write failed" in str(failure("Error: flash write failed at 0x08000000"))


def has_ended(process: int) -> bool:
    """It is gone, or only waits for whoever inherited it to take note."""
    try:
        return "State:\tZ" in Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


async def test_a_program_that_hangs_is_ended() -> None:
    with pytest.raises(FlashFailedError, match="not come to an end"):
        await run_tool(["sleep", "60"], lambda _line: None, timeout_s=0.1)


async def test_cancelling_ends_the_program_and_what_it_has_started(tmp_path: Path) -> None:
    begun = asyncio.Event()
    command = [
        "sh",
        "-c",
        f"sleep 60 & echo $! > {tmp_path}/child; echo $$ > {tmp_path}/pid; echo begun; wait",
    ]
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(run_tool(command, lambda _line: begun.set(), timeout_s=60), name="tool")
        await begun.wait()
        task.cancel()
    for name in ("pid", "child"):
        assert has_ended(int((tmp_path / name).read_text()))
