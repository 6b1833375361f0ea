"""Programmer for probes that show a drive and flash what is copied there: DAPLink, ST-LINK/V2-1, J-Link on-board."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from edgehost.adapters.boards import volume_drives
from edgehost.adapters.boards.aligned_blocks import aligned_blocks
from edgehost.adapters.boards.flash_run import FlashRun
from edgehost.adapters.boards.volume_drives import Drive
from edgehost.domain.errors import ChipMismatchError, FlashFailedError
from edgehost.domain.flashing import BoardState, FlashJob, FlashOutcome, Phase, Segment
from edgehost.ports.programmer import Report

NOTES: Final = ("DETAILS.TXT", "MBED.HTM")
FAIL: Final = "FAIL.TXT"
_RECORD: Final = 16
_PAGE: Final = 0x1_0000
_LOOKS: Final = 80
_LOOK_S: Final = 0.25
_ID_DIGITS: Final = 4
_HINT: Final = "Plug the board in by the USB socket of its probe; the drive must be mounted."


class VolumeProgrammer:
    """The line is the drive's folder or one above it. ``flash.chip``: the first four digits of DAPLink's unique id.

    The probe verifies by itself, and says in FAIL.TXT what went wrong; nothing can be read back over the drive.
    """

    protocol: Final = "volume"

    def __init__(
        self,
        roots: Iterable[Path] = volume_drives.ROOTS,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._roots = tuple(roots)
        self._pause = pause

    async def flash(self, job: FlashJob, report: Report) -> FlashOutcome:
        """Copy the image as Intel HEX; wait for the drive to go and come back."""
        run = FlashRun(job, report)
        with run.stating():
            folder = Path(job.line)
            named = bool(job.line) and await asyncio.to_thread(folder.is_dir)
            drive = await self._drive((folder,) if named else self._roots, job, looks=1)
            _require_chip(job, drive)
            run.tell(Phase.CONNECT, detail=str(drive.folder))
            await volume_drives.copy(run, drive, "FIRMWARE.HEX", hex_file(job.image.segments))
            run.tell(Phase.RESTART)
            await volume_drives.gone(drive, self._pause)
            again = await self._drive((drive.folder, drive.folder.parent), job, looks=_LOOKS)
            if reason := volume_drives.read_note(again.folder / FAIL).strip():
                run.state = BoardState.PARTIAL
                raise FlashFailedError(
                    f"The probe refused the image: {' '.join(reason.split())}.",
                    hint="Unplug it and plug it in again; then flash again.",
                )
            return run.outcome(_unique_id(drive) or "probe", written=job.image.size_bytes, verified=False)

    async def _drive(self, roots: Iterable[Path], job: FlashJob, *, looks: int) -> Drive:
        return await volume_drives.the_drive(
            roots, NOTES, looks=looks, pause=self._pause, hint=job.board.recovery or _HINT, kind="a probe"
        )


def hex_file(segments: Sequence[Segment]) -> bytes:
    """Intel HEX, which carries its addresses (Intel, "Hexadecimal Object File Format", 1988)."""
    lines: list[str] = []
    page = -1
    for address, data in aligned_blocks(segments, block_bytes=_RECORD, word_bytes=1):
        if address // _PAGE != page:
            page = address // _PAGE
            lines.append(_record(0, 4, page.to_bytes(2, "big")))
        lines.append(_record(address % _PAGE, 0, data))
    return "".join([*lines, _record(0, 1, b"")]).encode()


def _record(address: int, kind: int, data: bytes) -> str:
    body = bytes([len(data), *address.to_bytes(2, "big"), kind]) + data
    return f":{body.hex().upper()}{-sum(body) & 0xFF:02X}\r\n"


def _unique_id(drive: Drive) -> str:
    return drive.facts.get("unique id", "")


def _require_chip(job: FlashJob, drive: Drive) -> None:
    wanted, said = job.board.flash.chip, _unique_id(drive)
    if len(wanted) == _ID_DIGITS and said and not said.startswith(wanted):
        raise ChipMismatchError(
            f"The board '{job.board.id}' has the DAPLink id {wanted}; {said[:_ID_DIGITS]} answers.",
            hint="Choose the right board, or name the right drive as --line.",
        )
