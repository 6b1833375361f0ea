"""Programmer for boards whose bootloader is a drive that takes UF2: RP2040, RP2350, SAMD, nRF52 of Adafruit's kind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from edgehost.adapters.boards import volume_drives
from edgehost.adapters.boards.flash_run import FlashRun
from edgehost.adapters.boards.uf2_writer import uf2_file
from edgehost.adapters.boards.volume_drives import Drive
from edgehost.domain.errors import ChipMismatchError, FlashFailedError, LineLostError
from edgehost.domain.flashing import FlashJob, FlashOutcome, Phase
from edgehost.ports.device_line import DeviceLines, LineSettings
from edgehost.ports.programmer import Report

NOTE: Final = "INFO_UF2.TXT"
_FILE: Final = "NEW.UF2"
_TOUCH_BAUD: Final = 1200
_HINT: Final = "Press reset twice, or hold BOOTSEL while plugging it in; the drive must be mounted."
#: What the note of a drive says where a family is meant (seen in the bootloaders' sources).
_WORDS: Final = {
    0xE48B_FF56: "RPI-RP2",
    0xE48B_FF59: "RP2350",
    0xE48B_FF5A: "RP2350",
    0x68ED_2B88: "SAMD21",
    0x5511_4460: "SAMD51",
    0xADA5_2840: "nRF52840",
}


class Uf2Programmer:
    """The line is the drive's folder, or one above it, or the board's serial line, which is touched at 1200 baud.

    A bootloader of this kind gives nothing back to compare: it restarts when it has all blocks, and that is seen.
    """

    protocol: Final = "uf2"

    def __init__(
        self,
        lines: DeviceLines,
        roots: Iterable[Path] = volume_drives.ROOTS,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._lines = lines
        self._roots = tuple(roots)
        self._pause = pause

    async def flash(self, job: FlashJob, report: Report) -> FlashOutcome:
        """Copy the image to the drive and see the board restart."""
        run = FlashRun(job, report)
        with run.stating():
            family = _family(job)
            drive = await self._drive(run)
            _require_chip(job, drive, family)
            chip = drive.facts.get("model") or drive.facts.get("board-id") or str(drive.folder)
            run.tell(Phase.CONNECT, detail=f"{chip} at {drive.folder}")
            data = uf2_file(job.image.segments, family)
            await volume_drives.copy(run, drive, _FILE, data)
            run.tell(Phase.RESTART)
            if not await volume_drives.gone(drive, self._pause):
                raise FlashFailedError(
                    "The board did not restart after the last block.",
                    hint="It may have refused the image: is it of the right family, and at the right address?",
                )
            run.tell(
                Phase.RESTART,
                detail="the bootloader had all blocks and restarted; it gives nothing to compare",
            )
            return run.outcome(chip, written=job.image.size_bytes, verified=False)

    async def _drive(self, run: FlashRun) -> Drive:
        job = run.job
        run.tell(Phase.CONNECT)
        folder = Path(job.line)
        roots: tuple[Path, ...] = self._roots
        looks = 1
        if bool(job.line) and await asyncio.to_thread(folder.is_dir):
            roots = (folder,)
        elif job.line and job.board.flash.reset == "touch1200":
            with suppress(LineLostError):  # it may be gone while its line is closed
                async with self._lines.open(job.line, LineSettings(baud=_TOUCH_BAUD)) as line:
                    await line.set_signals(dtr=False)
            looks = volume_drives.looks_after_touch()
        return await volume_drives.the_drive(
            roots,
            (NOTE,),
            looks=looks,
            pause=self._pause,
            hint=job.board.recovery or _HINT,
            kind="a UF2 bootloader",
        )


def _family(job: FlashJob) -> int:
    wanted, given = job.board.flash.uf2_family, job.image.family
    if wanted and given and wanted != given:
        raise ChipMismatchError(
            f"{job.image.name} is of the UF2 family 0x{given:08x}; the board '{job.board.id}' takes 0x{wanted:08x}.",
            hint="Build it for this board, or choose the right board.",
        )
    return wanted or given


def _require_chip(job: FlashJob, drive: Drive, family: int) -> None:
    wanted = job.board.flash.chip or _WORDS.get(family, "")
    said = f"{drive.facts.get('board-id', '')} {drive.facts.get('model', '')}"
    if wanted and said.strip() and wanted.lower() not in said.lower():
        raise ChipMismatchError(
            f"The board '{job.board.id}' wants a drive of {wanted}; the one at {drive.folder} says '{said.strip()}'.",
            hint="Choose the right board, or name the right drive as --line.",
        )
