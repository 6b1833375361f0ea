"""When a new release has shown that it must go ([swap-2]).

Only faults of the code count: traps, deadlines, deaths and answers that break the contract. A guest that
refuses an input does its work.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Verdict(enum.Enum):
    """What to do with a release in its probation."""

    WATCH = "watch"
    KEEP = "keep"
    ROLL_BACK = "roll back"


@dataclass(frozen=True, slots=True)
class ProbationRule:
    """How a release is judged while it is new."""

    seconds: float = 60.0
    calls_min: int = 20  # below this many calls a rate says little
    error_rate: float = 0.05  # share of calls that may fail
    faults_in_a_row: int = 5  # so that a release that always fails need not reach calls_min


@dataclass(frozen=True, slots=True)
class Conduct:
    """What a release did since it went live."""

    calls: int = 0
    faults: int = 0
    faults_in_a_row: int = 0
    row_before: int = 0  # the row that the last good call ended

    def after(self, *, fault: bool) -> Conduct:
        """The conduct after one more call."""
        if fault:
            return Conduct(self.calls + 1, self.faults + 1, self.faults_in_a_row + 1)
        return Conduct(self.calls + 1, self.faults, 0, self.faults_in_a_row)

    def corrected(self) -> Conduct:
        """The conduct when the last call, which seemed good, turns out to be a fault."""
        return Conduct(self.calls, self.faults + 1, self.row_before + 1)


def judge(conduct: Conduct, rule: ProbationRule, *, over: bool) -> Verdict:
    """The verdict; ``over`` says that the probation time has passed.

    At the end a release with few calls is judged by the same rate, but one fault alone never condemns it.
    """
    if conduct.faults_in_a_row >= rule.faults_in_a_row:
        return Verdict.ROLL_BACK
    too_many = conduct.faults > 1 and conduct.faults > conduct.calls * rule.error_rate
    if too_many and (over or conduct.calls >= rule.calls_min):
        return Verdict.ROLL_BACK
    return Verdict.KEEP if over else Verdict.WATCH
