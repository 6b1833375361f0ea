"""Programmer for chips behind a debug probe, by pyOCD (Apache-2.0; heavy, so a program of its own as OpenOCD is).

It counts its progress in fortieths, which are told as bytes, and does not verify: what was written is read back here.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Final

from edgehost.adapters.boards.flash_run import FlashRun
from edgehost.adapters.boards.probe_errors import no_probe, probe_denied
from edgehost.adapters.boards.tool_process import ToolEnd, require_python_tool, run_tool
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
_STEPS: Final = 40  # of its bar where there is no terminal (pyocd/utility/progress.py)


class PyocdProgrammer:
    """``flash.chip`` is pyOCD's target type; the line is ``id:SERIAL`` of the probe, or empty."""

    protocol: Final = "swd"

    async def flash(self, job: FlashJob, report: Report) -> FlashOutcome:
        """Let pyOCD erase, program and reset; where wanted, let it read the flash back and compare."""
        run = FlashRun(job, report)
        with run.stating():
            tool = require_python_tool("pyocd", "pyocd")
            run.tell(Phase.CONNECT)
            with tempfile.TemporaryDirectory(prefix="edgehost-pyocd-") as name:
                folder = Path(name)
                file = folder / "firmware.hex"
                await asyncio.to_thread(file.write_bytes, hex_file(job.image.segments))
                bars = Bars(run)
                end = await run_tool(
                    [*tool, *load_command(job, file)], bars.take, on_rest=bars.grow, timeout_s=_MOST_S
                )
                if end.status:
                    raise failure_of(end, job.board)
                run.tell(Phase.WRITE, job.image.size_bytes, job.image.size_bytes)
                run.state = BoardState.WRITTEN
                if job.verify:
                    await _verify(run, tool, folder)
            run.tell(Phase.RESTART)
            return run.outcome(job.board.flash.chip, written=job.image.size_bytes, verified=job.verify)


class Bars:
    """Two bars, one for erasing and one for writing, drawn ``=`` by ``=`` behind a line that says which it is."""

    def __init__(self, run: FlashRun) -> None:
        self._run = run
        self._phase: Phase | None = None

    def take(self, line: str) -> None:
        """A whole line."""
        if " I Erasing..." in line:
            self._run.state = BoardState.PARTIAL
            self._begin(Phase.ERASE)
        elif " I Programming..." in line:
            self._begin(Phase.WRITE)
        else:
            self.grow(line)

    def grow(self, rest: str) -> None:
        """A line that goes on."""
        if self._phase is not None and rest.startswith("[="):
            total = self._run.job.image.size_bytes
            self._run.tell(self._phase, total * min(rest.count("="), _STEPS) // _STEPS, total)

    def _begin(self, phase: Phase) -> None:
        self._phase = phase
        self._run.tell(phase, 0, self._run.job.image.size_bytes)


def load_command(job: FlashJob, file: Path) -> list[str]:
    """What pyOCD is told to write; it waits for no probe, asks nothing, and reads no configuration of anybody's."""
    after = ["--no-reset"] if job.verify else []
    erase = "chip" if job.erase_all else "sector"
    return ["load", "-v", *_chosen(job), "--erase", erase, *after, str(file)]


def failure_of(end: ToolEnd, board: Board) -> DeviceError:
    """What its last lines mean."""
    chip = board.flash.chip
    if end.said("No connected debug probes", "No target device available", "No available debug probes"):
        return no_probe()
    if end.said("Enter the number of a debug probe"):
        return FlashFailedError(
            "There are several debug probes.", hint="Say which: --line id:SERIAL; 'pyocd list' shows them."
        )
    if end.said("not recognized"):
        return FlashFailedError(
            f"The pyOCD that is installed does not know the chip '{chip}'.",
            hint=f"pyocd pack install {chip}; or try --tool openocd.",
        )
    if end.said("Access denied", "LIBUSB_ERROR_ACCESS", "insufficient permissions"):
        return probe_denied()
    if end.said("No ACK", "Target not detected", "No cores were discovered", "Unexpected ACK"):
        return ChipMismatchError(f"The probe sees no {chip}.", hint="Is it the right board, and powered?")
    errors = [line for line in end.lines if " C " in line[:12] or " E " in line[:12]]
    said = (errors[-1] if errors else end.last).split(" ", 2)[-1].rpartition(" [")[0] or end.last
    return FlashFailedError(f"pyOCD ended with {end.status}: {said}", hint="Try --tool openocd.")


async def _verify(run: FlashRun, tool: list[str], folder: Path) -> None:
    """One call reads all of it and starts the firmware; pyOCD's commander tells no failure by its status."""
    parts, total = run.job.image.segments, run.job.image.size_bytes
    run.tell(Phase.VERIFY, 0, total)
    files = [folder / f"{part.address:08x}.back" for part in parts]
    words = [
        word
        for part, file in zip(parts, files, strict=True)
        for word in ("-c", f"savemem 0x{part.address:x} {len(part.data)} {file}")
    ]
    command = [*tool, "commander", *_chosen(run.job), "-M", "halt", *words, "-c", "reset"]
    end = await run_tool(command, lambda _line: None, timeout_s=_MOST_S)
    done = 0
    for part, file in zip(parts, files, strict=True):
        if not file.exists():
            raise failure_of(end, run.job.board)
        if await asyncio.to_thread(file.read_bytes) != part.data:
            run.state = BoardState.PARTIAL
            raise VerifyFailedError(
                f"The {len(part.data)} bytes at 0x{part.address:08x} are not what was written.",
                hint="Flash again; if it stays so, the flash is worn or the supply is weak.",
            )
        done += len(part.data)
        run.tell(Phase.VERIFY, done, total)


def _chosen(job: FlashJob) -> list[str]:
    serial = job.line.removeprefix("id:") if job.line.startswith("id:") else ""
    probe = [f"--probe={serial}"] if serial else []
    return ["--no-wait", "--no-config", "--target", job.board.flash.chip.lower(), *probe]
