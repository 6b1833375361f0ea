"""Writes firmware to a board: checked first, then alone on the line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from edgehost.domain.board import NO_ERASE_ALL, OVER_UART, TOOLS
from edgehost.domain.errors import LineBusyError, RefusedError
from edgehost.domain.flashing import FirmwareImage, FlashJob, FlashOutcome
from edgehost.domain.image_checks import check_image
from edgehost.ports.line_users import LineUsers
from edgehost.ports.programmer import Programmer, Report


@dataclass(frozen=True, slots=True)
class FlashPlan:
    """A job that has been checked; nothing was touched yet."""

    job: FlashJob
    notes: tuple[str, ...]

    @property
    def baud(self) -> int:
        """The speed that is begun with; 0 where there is none."""
        flash = self.job.board.flash
        return (self.job.baud or flash.baud) if flash.protocol in OVER_UART else 0


class FlashBoard:
    """One flash at a time for each line.

    ``programmers`` makes them when they are asked for: by protocol, and by ``protocol/tool`` where another than the
    protocol's first tool does it.
    """

    def __init__(
        self, programmers: Mapping[str, Callable[[], Programmer]], users: LineUsers | None = None
    ) -> None:
        self._programmers = programmers
        self._users = users
        self._under_way: set[str] = set()

    def plan(self, job: FlashJob) -> FlashPlan:
        """Check image, board and options.

        Raises:
            InvalidImageError, TooLargeError, ChipMismatchError: as check_image.
            RefusedError: nobody here speaks the board's protocol, or it has no such tool or option.
            LineBusyError: this line is being flashed.
        """
        notes = check_image(job.image, job.board)
        self._maker(job)
        _require_options(job)
        self._require_free(job)
        return FlashPlan(job, notes)

    async def run(self, plan: FlashPlan, report: Report, *, held: bool = False) -> FlashOutcome:
        """Write it, with whoever else uses the line held off; ``held`` when the caller has seen to that.

        Raises:
            LineBusyError: this line is being flashed.
            DeviceError: as the programmer.
        """
        job = plan.job
        programmer = self._maker(job)()
        async with self._alone(job, held=held):
            return await programmer.flash(job, report)

    def _maker(self, job: FlashJob) -> Callable[[], Programmer]:
        protocol, tool = job.board.flash.protocol, job.tool_used
        if protocol not in self._programmers:
            known = sorted({key.partition("/")[0] for key in self._programmers})
            raise RefusedError(
                f"Boards of the protocol '{protocol}' cannot be flashed from here.",
                hint=f"There are programmers for {', '.join(known)}.",
            )
        tools = TOOLS.get(protocol, ())
        if tool and tool not in tools:
            choice = f"By it there are {' and '.join(tools)}." if tools else "Leave the tool out."
            raise RefusedError(f"'{tool}' writes no boards of the protocol '{protocol}'.", hint=choice)
        return self._programmers[protocol if tool in ("", *tools[:1]) else f"{protocol}/{tool}"]

    def _require_free(self, job: FlashJob) -> str:
        key = job.line or f"{job.board.flash.protocol}:"
        if key in self._under_way:
            raise LineBusyError(
                f"{job.line or job.board.id} is being flashed.", hint="Wait until that is done."
            )
        return key

    @asynccontextmanager
    async def _alone(self, job: FlashJob, *, held: bool) -> AsyncIterator[None]:
        key = self._require_free(job)
        self._under_way.add(key)
        try:
            if self._users is None or held:
                yield
                return
            async with self._users.pause(job.line):
                yield
        finally:
            self._under_way.discard(key)


def _require_options(job: FlashJob) -> None:
    protocol = job.board.flash.protocol
    if job.baud and protocol not in OVER_UART:
        raise RefusedError(f"Boards of the protocol '{protocol}' have no baud rate.", hint="Leave it out.")
    if job.erase_all and protocol in NO_ERASE_ALL:
        raise RefusedError(
            f"By the protocol '{protocol}' only what is written can be erased.", hint="Leave erase_all out."
        )


def plan_document(plan: FlashPlan) -> dict[str, object]:
    """The plan as JSON shows it."""
    job = plan.job
    return {
        "board": job.board.id,
        "line": job.line,
        "protocol": job.board.flash.protocol,
        "tool": job.tool_used,
        "baud": plan.baud,
        "verify": job.verify,
        "image": image_document(job.image),
        "notes": list(plan.notes),
    }


def image_document(image: FirmwareImage) -> dict[str, object]:
    """What is known of an image, without its bytes."""
    return {
        "name": image.name,
        "format": image.format,
        "version": image.version,
        "sha256": image.digest,
        "size_bytes": image.size_bytes,
        "parts": [
            {"role": part.role, "address": part.address, "size_bytes": len(part.data)}
            for part in image.segments[:64]
        ],
    }
