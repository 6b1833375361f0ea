"""Programmer for chips behind a debug probe, by OpenOCD (GPL, a program of its own)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from edgehost.adapters.boards.flash_run import FlashRun
from edgehost.adapters.boards.probe_errors import no_probe, probe_denied
from edgehost.adapters.boards.tool_process import ToolEnd, require_tool, run_tool
from edgehost.adapters.boards.volume_programmer import hex_file
from edgehost.domain.board import Board
from edgehost.domain.errors import (
    ChipMismatchError,
    DeviceError,
    FlashFailedError,
    VerifyFailedError,
)
from edgehost.domain.flashing import BoardState, FlashJob, FlashOutcome, Phase
from edgehost.ports.programmer import Report

_MOST_S: Final = 600.0
_ST: Final = 0x0483
_SEGGER: Final = 0x1366
#: The beginning of a chip's name to OpenOCD's file for it.
TARGETS: Final = {
    "nrf51": "nrf51",
    "nrf52": "nrf52",
    "rp2040": "rp2040",
    "atsamd21": "at91samdXX",
    "atsamd51": "atsame5x",
    "stm32f0": "stm32f0x",
    "stm32f1": "stm32f1x",
    "stm32f2": "stm32f2x",
    "stm32f3": "stm32f3x",
    "stm32f4": "stm32f4x",
    "stm32f7": "stm32f7x",
    "stm32g0": "stm32g0x",
    "stm32g4": "stm32g4x",
    "stm32h7": "stm32h7x",
    "stm32l0": "stm32l0",
    "stm32l1": "stm32l1",
    "stm32l4": "stm32l4x",
}


class SwdProgrammer:
    """``flash.chip`` names the chip (stm32f401retx, nrf51); the line is ``id:SERIAL`` of the probe, or empty."""

    protocol: Final = "swd"

    async def flash(self, job: FlashJob, report: Report) -> FlashOutcome:
        """Let OpenOCD program, verify and reset."""
        run = FlashRun(job, report)
        with run.stating():
            tool = require_tool("openocd", "openocd")
            run.tell(Phase.CONNECT)
            with tempfile.TemporaryDirectory(prefix="edgehost-swd-") as folder:
                file = Path(folder) / "firmware.hex"
                file.write_bytes(hex_file(job.image.segments))
                end = await run_tool(command_for(tool, job, file), Steps(run).take, timeout_s=_MOST_S)
            if end.status:
                raise failure_of(end, job.board)
            return run.outcome(job.board.flash.chip, written=job.image.size_bytes, verified=job.verify)


class Steps:
    """OpenOCD counts no bytes while it programs; its steps are told as they begin and end."""

    def __init__(self, run: FlashRun) -> None:
        self._run = run

    def take(self, line: str) -> None:
        """One line of its output (its ``program`` procedure prints them)."""
        total = self._run.job.image.size_bytes
        if "** Programming Started **" in line:
            self._run.state = BoardState.PARTIAL
            self._run.tell(Phase.WRITE, 0, total)
        elif "** Programming Finished **" in line:
            self._run.tell(Phase.WRITE, total, total)
            self._run.state = BoardState.WRITTEN
        elif "** Verify Started **" in line:
            self._run.tell(Phase.VERIFY, 0, total)
        elif "** Verified OK **" in line:
            self._run.tell(Phase.VERIFY, total, total)
        elif "** Verify Failed **" in line:
            self._run.state = BoardState.PARTIAL
        elif "** Resetting Target **" in line:
            self._run.tell(Phase.RESTART)


def command_for(tool: str, job: FlashJob, file: Path) -> list[str]:
    """The command line.

    Raises:
        FlashFailedError: OpenOCD's file for this chip is not known here.
    """
    chip = job.board.flash.chip.lower()
    target = next((name for start, name in TARGETS.items() if chip.startswith(start)), None)
    if target is None:
        raise FlashFailedError(
            f"How OpenOCD calls the chip '{chip}' is not known here.", hint=f"Known are {', '.join(TARGETS)}."
        )
    serial = job.line.removeprefix("id:") if job.line.startswith("id:") else ""
    chosen = ["-c", f"adapter serial {serial}"] if serial.isalnum() else []
    erase = ["-c", "init", "-c", "reset init", "-c", "flash erase_sector 0 0 last"] if job.erase_all else []
    verify = " verify" if job.verify else ""
    return [
        *(tool, "-f", f"interface/{_interface(job.board)}.cfg", *chosen),
        *("-f", f"target/{target}.cfg", *erase, "-c", f"program {file}{verify} reset exit"),
    ]


def failure_of(end: ToolEnd, board: Board) -> DeviceError:
    """What its last lines mean."""
    if end.said("unable to find a matching CMSIS-DAP", "open failed", "No J-Link device found"):
        return no_probe()
    if end.said("LIBUSB_ERROR_ACCESS", "permission"):
        return probe_denied()
    if end.said("UNEXPECTED idcode", "Could not find MEM-AP", "expected 1 of 1"):
        return ChipMismatchError(f"The probe sees no {board.flash.chip}.", hint="Is it the right board?")
    if end.said("** Verify Failed **", "contents differ"):
        return VerifyFailedError("What was read back is not what was written.", hint="Flash again.")
    errors = [line.strip() for line in end.lines if line.startswith("Error")]
    return FlashFailedError(f"OpenOCD ended with {end.status}: {errors[-1] if errors else end.last}")


def _interface(board: Board) -> str:
    vendors = {usb.vendor for usb in (*board.usb_ids, *board.bootloader_ids)}
    if _ST in vendors:
        return "stlink"
    return "jlink" if _SEGGER in vendors else "cmsis-dap"
