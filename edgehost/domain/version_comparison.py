"""Whether a candidate does as well as the main release: bounded figures of both, and a rule.

An error is a fault of the code or a refusal of the input. Unlike in probation refusals count, since the main
release, which gets calls of the same kind, shows how many are due.
"""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any, Final

#: Calls that the figures are of: older ones no longer count, and a version takes some kilobytes at most.
WINDOW: Final = 1024
#: Below this a difference in latency is noise of the machine.
_NOISE_S: Final = 0.001


class Outcome(enum.IntEnum):
    """How a call ended."""

    ANSWERED = 0
    REFUSED = 1
    FAULT = 2


class Decision(enum.StrEnum):
    """What becomes of a candidate."""

    WAIT = "wait"
    PROMOTE = "promote"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class ComparisonRule:
    """When a candidate takes over, and when it must go."""

    min_calls: int = 100  # of either version; with fewer nothing is decided
    max_error_rate_excess: float = 0.02  # above the main release's own rate
    max_latency_ratio: float = 1.5  # to the main release's, at the median and at the 95th percentile
    max_mismatch_rate: float = 0.0  # of a shadow's answers
    promote_after_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What the last calls of a version were like."""

    calls: int = 0  # since the comparison began
    counted: int = 0  # those that the rates are of
    refused: int = 0
    faults: int = 0
    p50_s: float = 0.0
    p95_s: float = 0.0

    @property
    def error_rate(self) -> float:
        """The share of calls that were refused or failed."""
        return (self.refused + self.faults) / self.counted if self.counted else 0.0

    def to_document(self) -> dict[str, Any]:
        """The figures, ready for JSON."""
        return asdict(self) | {"error_rate": round(self.error_rate, 6)}


@dataclass(slots=True)
class RollingFigures:
    """The last calls of a version."""

    calls: int = 0
    _last: deque[tuple[Outcome, float]] = field(default_factory=lambda: deque(maxlen=WINDOW), repr=False)

    def note(self, outcome: Outcome, latency_s: float) -> None:
        """Count one more call."""
        self.calls += 1
        self._last.append((outcome, latency_s))

    def corrected(self) -> None:
        """The last answer, which seemed good, broke the contract."""
        if self._last:
            self._last[-1] = (Outcome.FAULT, self._last[-1][1])

    def figures(self) -> Figures:
        """The figures of this moment; only answers have a latency that says something."""
        outcomes = [outcome for outcome, _ in self._last]
        times = sorted(latency for outcome, latency in self._last if outcome is Outcome.ANSWERED)
        return Figures(
            calls=self.calls,
            counted=len(outcomes),
            refused=outcomes.count(Outcome.REFUSED),
            faults=outcomes.count(Outcome.FAULT),
            p50_s=_at(times, 0.5),
            p95_s=_at(times, 0.95),
        )


@dataclass(frozen=True, slots=True)
class ShadowFigures:
    """What came of the copies that a shadow got."""

    compared: int = 0
    mismatches: int = 0
    uncompared: int = 0  # it asked for an effect, which it cannot have
    skipped: int = 0  # enough copies were on their way

    @property
    def mismatch_rate(self) -> float:
        """The share of differing answers."""
        return self.mismatches / self.compared if self.compared else 0.0

    def to_document(self) -> dict[str, Any]:
        """The figures, ready for JSON."""
        return asdict(self) | {"mismatch_rate": round(self.mismatch_rate, 6)}


@dataclass(frozen=True, slots=True)
class Comparison:
    """A decision, and why."""

    decision: Decision
    reason: str


def compare(
    main: Figures,
    candidate: Figures,
    rule: ComparisonRule,
    *,
    elapsed_s: float,
    shadow: ShadowFigures | None = None,
) -> Comparison:
    """What the rule says of the candidate; ``shadow`` makes it one that is stopped by rule but never promoted."""
    seen = candidate.calls if shadow is None else shadow.compared
    if min(main.calls, seen) < rule.min_calls:
        short, who = (main.calls, "the main release") if main.calls < seen else (seen, "the candidate")
        return Comparison(Decision.WAIT, f"{who} has {short} of the {rule.min_calls} calls that it takes.")
    fault = _fault(main, candidate, rule)
    if not fault and shadow is not None and shadow.mismatch_rate > rule.max_mismatch_rate:
        fault = f"{shadow.mismatches} of {shadow.compared} answers differ."
    if fault:
        return Comparison(Decision.STOP, fault)
    if shadow is not None:
        return Comparison(Decision.WAIT, "no fault so far; a shadow is promoted by hand.")
    if elapsed_s < rule.promote_after_s:
        left = rule.promote_after_s - elapsed_s
        return Comparison(Decision.WAIT, f"no fault so far; {left:.0f} s to go.")
    return Comparison(
        Decision.PROMOTE,
        f"{candidate.error_rate:.1%} of its calls failed, of the main release's {main.error_rate:.1%}; median "
        f"{candidate.p50_s * 1000:.1f} ms, the main release's {main.p50_s * 1000:.1f} ms.",
    )


def _fault(main: Figures, candidate: Figures, rule: ComparisonRule) -> str:
    errors = candidate.refused + candidate.faults
    excess = candidate.error_rate - main.error_rate
    if errors > 1 and excess > rule.max_error_rate_excess:
        return (
            f"{candidate.error_rate:.1%} of its calls failed, of the main release's {main.error_rate:.1%}: "
            f"more than {rule.max_error_rate_excess:.1%} apart."
        )
    for name, ours, theirs in (
        ("median", candidate.p50_s, main.p50_s),
        ("95th percentile", candidate.p95_s, main.p95_s),
    ):
        if ours > theirs * rule.max_latency_ratio and ours - theirs > _NOISE_S:
            return (
                f"its {name} is {ours * 1000:.1f} ms, the main release's {theirs * 1000:.1f} ms: "
                f"more than {rule.max_latency_ratio:g} times as long."
            )
    return ""


def _at(ordered: list[float], fraction: float) -> float:
    return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))] if ordered else 0.0
