"""Programmer for boards with MCUboot, whose firmware (Zephyr's, mostly) speaks the Simple Management Protocol.

The image goes into the slot that does not run. The server computes its hash; the bootloader starts it for a trial, and
only when the new firmware has answered is it confirmed: a firmware that does not answer is gone at the next reset.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from edgehost.adapters.boards.flash_run import FlashRun
from edgehost.adapters.boards.smp_image import McubootImage, read_image
from edgehost.domain.errors import (
    ChipMismatchError,
    FlashFailedError,
    InvalidImageError,
    NoSyncError,
    UnavailableError,
    VerifyFailedError,
)
from edgehost.domain.flashing import BoardState, FlashJob, FlashOutcome, Phase
from edgehost.ports.device_line import DeviceLine, DeviceLines, LineSettings
from edgehost.ports.programmer import Report

if TYPE_CHECKING:
    from edgehost.adapters.boards.smp_session import Slot, SmpSession

_OPEN_S: Final = 0.5  # a server takes its time to reset after it said so
_HINT: Final = (
    "Its firmware must run an SMP server on this line (CONFIG_MCUMGR_TRANSPORT_UART); or start MCUboot's serial "
    "recovery with the button that the board has for it."
)
_OLD_RUNS: Final = "The old firmware runs on until a new one is whole."


class SmpProgrammer:
    """``flash.chip``, where given, is Zephyr's board name; ``flash.page`` bounds a message."""

    protocol: Final = "smp"

    def __init__(
        self,
        lines: DeviceLines,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
        *,
        erase_timeout_s: float = 20.0,
        restart_timeout_s: float = 60.0,
    ) -> None:
        self._lines = lines
        self._pause = pause
        self._erase_timeout_s = erase_timeout_s
        self._restart_timeout_s = restart_timeout_s

    async def flash(self, job: FlashJob, report: Report) -> FlashOutcome:
        """Upload, compare the slot's hash, try, confirm."""
        run = FlashRun(job, report)
        with run.stating():
            if len(job.image.segments) != 1:
                raise InvalidImageError(f"{job.image.name} has several parts; SMP takes one image.")
            image = read_image(job.image.name, job.image.segments[0].data)
            settings = LineSettings(baud=job.baud or job.board.flash.baud, parity=job.board.flash.parity)
            async with self._lines.open(job.line, settings) as line:
                return await self._flash(run, line, image)

    async def _flash(self, run: FlashRun, line: DeviceLine, image: McubootImage) -> FlashOutcome:
        job = run.job
        session = _session(line, job.board.flash.page)
        run.tell(Phase.CONNECT)
        if not await session.is_alive():
            where = f"{job.line} at {job.baud or job.board.flash.baud} baud"
            raise NoSyncError(f"No SMP server answers on {where}.", hint=job.board.recovery or _HINT)
        await session.negotiate()
        chip = await session.hardware()
        _require_chip(job, chip)
        chip = chip or "MCUboot"
        run.tell(Phase.CONNECT, detail=chip)
        written = 0
        if _slot_of(await session.slots(), image) is None:
            written = await self._upload(run, session)
        total = job.image.size_bytes
        run.state = BoardState.WRITTEN
        run.tell(Phase.VERIFY, 0, total)
        slot = _slot_of(await session.slots(), image)
        if slot is None:
            run.state = BoardState.RESUMABLE
            raise VerifyFailedError("No slot of the board has the hash of the image.", hint=_OLD_RUNS)
        run.tell(Phase.VERIFY, total, total)
        if not (slot.active and slot.confirmed):
            await self._start(run, session, image, slot)
        return run.outcome(chip, written=written, verified=True, skipped=total - written)

    async def _upload(self, run: FlashRun, session: SmpSession) -> int:
        """Bytes that were sent: less than all where the server has a part of it already."""
        data = run.job.image.segments[0].data
        run.tell(Phase.WRITE, 0, len(data))
        first: int | None = None
        try:
            async for offset in session.upload(data, self._erase_timeout_s):
                run.state = BoardState.RESUMABLE
                if first is None:
                    first = max(0, offset - session.most_bytes)
                run.tell(Phase.WRITE, offset, len(data))
        except FlashFailedError as problem:
            raise FlashFailedError(problem.message, hint=f"{problem.hint} {_OLD_RUNS}".strip()) from None
        return len(data) - (first or 0)

    async def _start(self, run: FlashRun, session: SmpSession, image: McubootImage, slot: Slot) -> None:
        run.tell(Phase.RESTART)
        tried = slot.active or await session.try_image(image.digest)
        await session.reset()
        await self._pause(_OPEN_S)
        try:
            async with asyncio.timeout(self._restart_timeout_s):
                while not await session.is_alive():
                    pass
        except TimeoutError:
            raise FlashFailedError(
                f"The board does not answer after its restart with {image.version}.",
                hint="MCUboot goes back to the old firmware at the next reset: press it.",
            ) from None
        now = _slot_of(await session.slots(), image)
        if now is None or not now.active:
            run.state = BoardState.UNTOUCHED
            why = "did not start it, or went back" if tried else "starts another slot"
            raise FlashFailedError(
                f"The image is in its slot, and MCUboot {why}.",
                hint="Is it signed with the board's key, and is its version higher?",
            )
        if not now.confirmed:
            await session.confirm(image.digest)
        run.tell(Phase.RESTART, detail=f"version {image.version} answered")


def _session(line: DeviceLine, most_bytes: int) -> SmpSession:
    try:
        from edgehost.adapters.boards.smp_session import SmpSession as Session  # noqa: PLC0415 - an extra
    except ImportError as problem:
        raise UnavailableError(
            f"Boards with MCUboot need a package that is not installed ({problem.name}).",
            hint="pip install 'edgehost[smp]'",
        ) from None
    return Session(line, most_bytes)


def _require_chip(job: FlashJob, chip: str) -> None:
    wanted = job.board.flash.chip
    if wanted and chip and not _same(wanted, chip):
        raise ChipMismatchError(
            f"The board '{job.board.id}' is a {wanted}; a {chip} answers.",
            hint="Choose the right board, or the line that this one is on.",
        )


def _same(wanted: str, chip: str) -> bool:
    """Zephyr writes BOARD/SOC since 3.7, with - or _ between words."""
    plain = chip.replace("-", "_").lower()
    name = wanted.replace("-", "_").lower()
    return plain == name or plain.split("/", 1)[0] == name


def _slot_of(slots: tuple[Slot, ...], image: McubootImage) -> Slot | None:
    return next((slot for slot in slots if slot.digest == image.digest), None)
