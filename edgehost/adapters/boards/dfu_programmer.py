"""Programmer for STM32 chips in USB DFU mode, by dfu-util (GPL, a program of its own)."""

from __future__ import annotations

import asyncio
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgehost.adapters.boards.aligned_blocks import aligned_blocks
from edgehost.adapters.boards.flash_run import FlashRun
from edgehost.adapters.boards.tool_process import ToolEnd, require_tool, run_tool
from edgehost.domain.errors import (
    ChipMismatchError,
    FlashFailedError,
    LineDeniedError,
    NoLineError,
    NoSyncError,
    VerifyFailedError,
)
from edgehost.domain.flashing import BoardState, FlashJob, FlashOutcome, Phase
from edgehost.ports.programmer import Report

_LIST_S: Final = 30.0
_STEP_S: Final = 600.0
_WORD: Final = 4
_WHOLE: Final = 1 << 30
_HINT: Final = "Set BOOT0 to 1 and press reset, with the board's own USB plugged in; then try again."
#: The lines of dfu-util 0.11, whose formats are in its binary.
_FOUND: Final = re.compile(
    r'^Found DFU: \[(?P<usb>[0-9a-f]{4}:[0-9a-f]{4})\].*path="(?P<path>[^"]*)", alt=(?P<alt>\d+), '
    r'name="(?P<name>[^"]*)", serial="(?P<serial>[^"]*)"'
)
_BAR: Final = re.compile(
    r"^(?P<step>Erase|Download|Upload)\s*\[[= ]*\]\s*(?P<percent>\d+)%\s+(?P<bytes>\d+) bytes"
)
_SECTORS: Final = re.compile(r"(\d+)\*(\d+)([ KM])")
_UNITS: Final = {" ": 1, "K": 1024, "M": 1 << 20}


@dataclass(frozen=True, slots=True)
class DfuDevice:
    """A memory of a device in DFU mode. ``name`` is ST's description: ``@Internal Flash  /0x08000000/04*016Kg``."""

    usb: str
    path: str
    alt: int
    name: str
    serial: str

    @property
    def memory(self) -> tuple[int, int] | None:
        """First address and bytes, as the name describes them (ST UM0424, section 10.3.2)."""
        _, first, *rest = [*self.name.split("/"), "", ""]
        sizes = [
            int(count) * int(size) * _UNITS[unit] for count, size, unit in _SECTORS.findall("".join(rest[:1]))
        ]
        return (int(first, 16), sum(sizes)) if sizes and first.startswith("0x") else None


class DfuProgrammer:
    """The line is ``id:SERIAL`` or empty when only one is there; ``flash.chip`` is not used: DFU tells no chip."""

    protocol: Final = "dfu"

    async def flash(self, job: FlashJob, report: Report) -> FlashOutcome:
        """Download each part, upload it again and compare, then leave DFU mode."""
        run = FlashRun(job, report)
        with run.stating():
            tool = require_tool("dfu-util", "dfu-util")
            run.tell(Phase.CONNECT)
            device = await _find(job, tool)
            _require_room(job, device)
            run.tell(Phase.CONNECT, detail=device.name)
            parts = aligned_blocks(job.image.segments, block_bytes=_WHOLE, word_bytes=_WORD)
            with tempfile.TemporaryDirectory(prefix="edgehost-dfu-") as folder:
                await _transfer(run, [tool, *_selected(device)], parts, Path(folder))
            run.tell(Phase.RESTART)
            return run.outcome(device.name, written=sum(len(data) for _, data in parts), verified=job.verify)


def devices(lines: tuple[str, ...]) -> list[DfuDevice]:
    """What ``dfu-util -l`` found, each memory once."""
    found = [match for line in lines if (match := _FOUND.match(line))]
    return [DfuDevice(m["usb"].upper(), m["path"], int(m["alt"]), m["name"], m["serial"]) for m in found]


def progress_of(line: str) -> tuple[str, int, int] | None:
    """Step, per cent and bytes of a progress bar."""
    match = _BAR.match(line)
    return (match["step"], int(match["percent"]), int(match["bytes"])) if match else None


async def _find(job: FlashJob, tool: str) -> DfuDevice:
    end = await run_tool([tool, "-l"], lambda _line: None, timeout_s=_LIST_S)
    wanted = {str(usb) for usb in job.board.bootloader_ids}
    serial = job.line.removeprefix("id:") if job.line.startswith("id:") else ""
    there = [
        each
        for each in devices(end.lines)
        if each.name.startswith("@Internal Flash")
        and (not wanted or each.usb in wanted)
        and (not serial or each.serial == serial)
    ]
    if end.said("LIBUSB_ERROR_ACCESS", "Cannot open DFU device"):
        raise LineDeniedError(
            "This user may not open the DFU device.", hint="Add a udev rule for it, or run as root."
        )
    if not there:
        raise NoSyncError("There is no device in DFU mode.", hint=job.board.recovery or _HINT)
    if len(there) > 1:
        raise NoLineError(
            f"There are several devices in DFU mode: {', '.join('id:' + each.serial for each in there)}.",
            hint="Name one of them as --line.",
        )
    return there[0]


def _require_room(job: FlashJob, device: DfuDevice) -> None:
    if device.memory is None:
        return
    first, size = device.memory
    for part in job.image.segments:
        if part.address < first or part.end > first + size:
            raise ChipMismatchError(
                f"{job.image.name} needs 0x{part.address:08x} to 0x{part.end:08x}; the flash of the device in DFU mode "
                f"is 0x{first:08x} to 0x{first + size:08x}.",
                hint="Choose the right board, or the image for this one.",
            )


def _selected(device: DfuDevice) -> list[str]:
    return ["-d", device.usb.lower(), "-p", device.path, "-a", str(device.alt)]


async def _transfer(run: FlashRun, tool: list[str], parts: list[tuple[int, bytes]], folder: Path) -> None:
    total, verify = sum(len(data) for _, data in parts), run.job.verify
    done = 0
    run.tell(Phase.WRITE, 0, total)
    for number, (address, data) in enumerate(parts):
        file = folder / f"{number}.bin"
        await asyncio.to_thread(file.write_bytes, data)
        leaves = ":leave" if number == len(parts) - 1 and not verify else ""
        run.state = BoardState.PARTIAL
        erase = [":mass-erase:force"] if run.job.erase_all and not number else []
        command = [*tool, "-s", f"0x{address:08x}{''.join(erase)}{leaves}", "-D", str(file)]
        await _step(run, command, Phase.WRITE, done, total)
        done += len(data)
        run.tell(Phase.WRITE, done, total)
    run.state = BoardState.WRITTEN
    if verify:
        await _verify(run, tool, parts, folder)


async def _verify(run: FlashRun, tool: list[str], parts: list[tuple[int, bytes]], folder: Path) -> None:
    total, done = sum(len(data) for _, data in parts), 0
    run.tell(Phase.VERIFY, 0, total)
    for number, (address, data) in enumerate(parts):
        file = folder / f"{number}.back"
        leaves = ":leave" if number == len(parts) - 1 else ""
        command = [*tool, "-s", f"0x{address:08x}:{len(data)}{leaves}", "-U", str(file)]
        await _step(run, command, Phase.VERIFY, done, total)
        if await asyncio.to_thread(file.read_bytes) != data:
            run.state = BoardState.PARTIAL
            raise VerifyFailedError(
                f"The {len(data)} bytes at 0x{address:08x} are not what was written.",
                hint="Flash again; if it stays so, the flash is worn or the supply is weak.",
            )
        done += len(data)
        run.tell(Phase.VERIFY, done, total)


async def _step(run: FlashRun, command: list[str], phase: Phase, done: int, total: int) -> None:
    reached = done

    def on_line(line: str) -> None:
        nonlocal reached
        if (bar := progress_of(line)) and bar[0] != "Erase":
            reached = max(reached, min(total, done + bar[2]))
            run.tell(phase, reached, total)

    end = await run_tool(command, on_line, timeout_s=_STEP_S)
    if end.status:
        raise _failure(end)


def _failure(end: ToolEnd) -> Exception:
    if end.said("No DFU capable USB device"):
        return NoSyncError("The device has left DFU mode.", hint=_HINT)
    return FlashFailedError(
        f"dfu-util ended with {end.status}: {end.last}",
        hint="If it speaks of protection, lift it with ST's tools; that erases the chip.",
    )
