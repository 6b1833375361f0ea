"""One flash under way: it reports its steps, and knows in what state the board would be left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from edgehost.domain.errors import DeviceError, FlashFailedError
from edgehost.domain.flashing import BoardState, FlashJob, FlashOutcome, FlashProgress, Phase
from edgehost.ports.programmer import Report

#: What a person is told about the board when a flash broke off.
STATE_SENTENCES: Final[dict[BoardState, str]] = {
    BoardState.UNTOUCHED: "The firmware on the board is as it was.",
    BoardState.PARTIAL: "The board holds neither the old firmware nor the new one; flash it again.",
    BoardState.WRITTEN: "The new firmware is written, but not verified or not started.",
    BoardState.RESUMABLE: "The same command goes on where this one ended.",
}


class FlashRun:
    """Counts and reports; ``state`` is set by the programmer at the moment it changes the board."""

    def __init__(self, job: FlashJob, report: Report, *, now: Callable[[], float] = time.monotonic) -> None:
        self.job = job
        self.state = BoardState.UNTOUCHED
        self._report = report
        self._now = now
        self._began = now()

    def tell(self, phase: Phase, done: int = 0, total: int = 0, detail: str = "") -> None:
        """Report ``done`` of ``total`` bytes."""
        self._report(FlashProgress(phase, done, total, detail))

    @contextmanager
    def stating(self) -> Iterator[None]:
        """What fails inside says in what state the board is, and what to do where the board's file knows it."""
        try:
            yield
        except DeviceError as problem:
            if problem.state:
                raise
            raise self._with_state(type(problem), problem.message, problem.hint) from problem
        except (OSError, EOFError) as problem:  # EOFError: asyncio's IncompleteReadError
            raise self._with_state(FlashFailedError, f"The flash broke off: {problem}.", "") from problem

    def outcome(
        self, chip: str, *, written: int, verified: bool, skipped: int = 0, notes: tuple[str, ...] = ()
    ) -> FlashOutcome:
        """A flash that went well."""
        return FlashOutcome(chip, written, verified, self._now() - self._began, skipped, notes)

    def _with_state(self, kind: type[DeviceError], message: str, hint: str) -> DeviceError:
        recovery = self.job.board.recovery
        if self.state is not BoardState.UNTOUCHED and recovery and recovery not in hint:
            hint = f"{hint} {recovery}".strip()
        problem = kind(f"{message} {STATE_SENTENCES[self.state]}", hint=hint)
        problem.state = self.state
        return problem
