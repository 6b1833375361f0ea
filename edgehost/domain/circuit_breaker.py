"""A circuit breaker, as a table of moves and a window of counts.

Rule 1: closed counts; open refuses; half-open lets one call through and waits for its end.
Rule 2: a call that was let in before the last move says nothing about the state after it, so it is not counted.
Rule 3: each opening that follows a failed trial, or comes soon after a recovery, waits twice as long as the one
before, up to a bound: what flaps is asked less and less.

Time is given by the caller, in seconds that only grow.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import Final

from edgehost.domain.port_spec import BreakerRule

#: Slices of the rolling interval: the memory of a breaker, whatever the traffic.
_SLICES: Final = 10
#: A breaker that flaps waits at most 2**5 times its ``retest_ms``.
_MOST_DOUBLINGS: Final = 5


class Position(enum.StrEnum):
    """Where a breaker stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


ALLOWED_MOVES: Final[dict[Position, frozenset[Position]]] = {
    Position.CLOSED: frozenset({Position.OPEN}),
    Position.OPEN: frozenset({Position.HALF_OPEN}),
    Position.HALF_OPEN: frozenset({Position.OPEN, Position.CLOSED}),
}


@dataclass(frozen=True, slots=True)
class Slice:
    """Calls that ended within one tenth of the interval."""

    number: int  # which tenth, counted from time 0
    calls: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True)
class Breaker:
    """The state of one breaker; every step returns another one."""

    rule: BreakerRule
    position: Position = Position.CLOSED
    slices: tuple[Slice, ...] = ()
    moved_at: float = 0.0
    openings: int = 0  # without a quiet interval between them
    trial_until: float = 0.0  # half-open: a trial is on its way until then; 0: none is
    generation: int = 0  # counts moves, so that late outcomes are known as such

    def counts(self, now: float) -> tuple[int, int]:
        """Calls and errors within the interval."""
        kept = self._kept(now)
        return sum(each.calls for each in kept), sum(each.errors for each in kept)

    def retest_at(self) -> float:
        """When an open breaker lets its next trial through."""
        doublings = min(max(self.openings - 1, 0), _MOST_DOUBLINGS)
        return self.moved_at + self.rule.retest_ms / 1000 * 2.0**doublings

    def admits(self, now: float) -> bool:
        """Whether a call would be let through now."""
        match self.position:
            case Position.CLOSED:
                return True
            case Position.OPEN:
                return now >= self.retest_at()
            case Position.HALF_OPEN:
                return now >= self.trial_until

    def admitted(self, now: float) -> Breaker:
        """After one call was let through; only when ``admits`` said so."""
        match self.position:
            case Position.CLOSED:
                return self
            case Position.OPEN:
                return replace(_moved(self, Position.HALF_OPEN, now), trial_until=self._trial_end(now))
            case Position.HALF_OPEN:
                return replace(self, generation=self.generation + 1, trial_until=self._trial_end(now))

    def ended(self, now: float, generation: int, *, failed: bool) -> Breaker:
        """After the end of a call that was let through at ``generation``."""
        if generation != self.generation or self.position is Position.OPEN:
            return self
        if self.position is Position.HALF_OPEN:
            return _opened(self, now) if failed else _moved(self, Position.CLOSED, now)
        counted = replace(self, slices=self._counted(now, failed=failed))
        if counted.openings and now - counted.moved_at > self._interval_s:
            counted = replace(counted, openings=0)
        return _opened(counted, now) if failed and _is_too_bad(counted, now) else counted

    def abandoned(self, generation: int) -> Breaker:
        """After a call that was let through ended without an answer of either kind: another trial may go."""
        if generation == self.generation and self.position is Position.HALF_OPEN:
            return replace(self, trial_until=0.0)
        return self

    @property
    def _interval_s(self) -> float:
        return self.rule.interval_ms / 1000

    def _trial_end(self, now: float) -> float:
        return now + self.rule.retest_ms / 1000

    def _slice_number(self, now: float) -> int:
        return int(now / (self._interval_s / _SLICES))

    def _kept(self, now: float) -> tuple[Slice, ...]:
        oldest = self._slice_number(now) - _SLICES
        return tuple(each for each in self.slices if each.number > oldest)

    def _counted(self, now: float, *, failed: bool) -> tuple[Slice, ...]:
        kept, number = self._kept(now), self._slice_number(now)
        last = kept[-1] if kept and kept[-1].number >= number else None
        before = kept[:-1] if last else kept
        last = last or Slice(number)
        return (*before, replace(last, calls=last.calls + 1, errors=last.errors + failed))


def _is_too_bad(breaker: Breaker, now: float) -> bool:
    calls, errors = breaker.counts(now)
    return calls >= breaker.rule.call_volume and errors > calls * breaker.rule.error_rate


def _opened(breaker: Breaker, now: float) -> Breaker:
    return replace(_moved(breaker, Position.OPEN, now), openings=breaker.openings + 1)


def _moved(breaker: Breaker, position: Position, now: float) -> Breaker:
    if position not in ALLOWED_MOVES[breaker.position]:
        raise AssertionError(f"no move from {breaker.position} to {position}")
    return replace(
        breaker,
        position=position,
        slices=(),
        moved_at=now,
        trial_until=0.0,
        generation=breaker.generation + 1,
    )
