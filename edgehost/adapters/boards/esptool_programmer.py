"""Programmer for Espressif's chips by esptool, Espressif's own program (GPL, so a program of its own).

It loads a helper into the chip's RAM, knows chips that the built-in programmer does not, and verifies an ESP8266 too.
The image is handed over in the built-in programmer's pieces, of which esptool leaves out those that the flash holds.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from edgehost.adapters.boards.aligned_blocks import aligned_blocks
from edgehost.adapters.boards.esp_image import require_made_for
from edgehost.adapters.boards.esp_loader import SECTOR
from edgehost.adapters.boards.esp_programmer import PIECE
from edgehost.adapters.boards.esptool_output import EsptoolOutput, failure_of
from edgehost.adapters.boards.flash_run import FlashRun
from edgehost.adapters.boards.tool_process import require_python_tool, run_tool
from edgehost.domain.errors import VerifyFailedError
from edgehost.domain.flashing import BoardState, FlashJob, FlashOutcome, Phase
from edgehost.ports.device_line import DeviceLines, LineSettings
from edgehost.ports.programmer import Report

_MOST_S: Final = 1800.0  # 16 MiB at 115200 baud take twenty-five minutes
#: ``flash.reset`` to esptool's way into the loader, and out of it.
_BEFORE: Final = {"classic": "default-reset", "usb-jtag": "usb-reset"}
#: esptool's helper cannot be told to start the firmware, as the ROM's loader can.
_NOT_STARTED: Final = "esptool cannot start the firmware without modem lines: press EN (RST) to start it."


class EsptoolProgrammer:
    """``flash.chip`` is the chip as esptool calls it, hyphens and case aside; lines are those of the built-in programmer."""

    protocol: Final = "esp"

    def __init__(self, lines: DeviceLines) -> None:
        self._lines = lines

    async def flash(self, job: FlashJob, report: Report) -> FlashOutcome:
        """Let esptool write what differs and compare the chip's MD5 of it; it does so whether asked to or not."""
        run = FlashRun(job, report)
        with run.stating():
            tool = require_python_tool("esptool", "esptool")
            run.tell(Phase.CONNECT)
            if job.board.flash.chip:
                require_made_for(job.image, job.board.flash.chip)
            await self._require_line(job)
            pieces = aligned_blocks(job.image.segments, block_bytes=PIECE, word_bytes=SECTOR)
            with tempfile.TemporaryDirectory(prefix="edgehost-esptool-") as folder:
                files = await asyncio.to_thread(_written, pieces, Path(folder))
                output = EsptoolOutput(run, pieces)
                end = await run_tool(command_for(tool, job, files), output.take, timeout_s=_MOST_S)
            if end.status:
                problem = failure_of(end, job, has_answered=bool(output.chip))
                if isinstance(problem, VerifyFailedError):
                    run.state = BoardState.RESUMABLE
                raise problem
            is_started = _resets(job) and output.was_reset
            output.end(is_started=is_started)
            return run.outcome(
                output.chip,
                written=output.total - output.skipped,
                verified=output.verified,
                skipped=output.skipped,
                notes=() if is_started else (_NOT_STARTED,),
            )

    async def _require_line(self, job: FlashJob) -> None:
        """Who has the line, and who may open it, is said here as for every other programmer."""
        if "://" not in job.line:
            async with self._lines.open(job.line, LineSettings()):
                pass


def command_for(tool: Sequence[str], job: FlashJob, files: Sequence[tuple[int, Path]]) -> list[str]:
    """The command line; what could be esptool's guess is said."""
    flash = job.board.flash
    chip = flash.chip.lower().replace("-", "") or "auto"
    erase = ["--erase-all"] if job.erase_all else ["--skip-flashed"]
    return [
        *tool,
        *("--chip", chip, "--port", job.line, "--baud", str(job.baud or flash.baud)),
        *(
            "--before",
            _BEFORE.get(flash.reset, "no-reset"),
            "--after",
            "hard-reset" if _resets(job) else "no-reset",
        ),
        *("write-flash", *erase),
        *(word for address, file in files for word in (f"0x{address:x}", str(file))),
    ]


def _resets(job: FlashJob) -> bool:
    """Whether the board is reset over its line; where a tty has no modem lines, esptool says so later."""
    return job.board.flash.reset in _BEFORE and not job.line.startswith("socket://")


def _written(pieces: Sequence[tuple[int, bytes]], folder: Path) -> list[tuple[int, Path]]:
    files = [(address, folder / f"{address:08x}.bin") for address, _ in pieces]
    for (_, file), (_, data) in zip(files, pieces, strict=True):
        file.write_bytes(data)
    return files
