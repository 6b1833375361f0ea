"""When a host has failed with so many deployments that rollouts no longer take its word for the deployments' fault.

Rule 1: only what failed on this host by itself counts, each signed document once.
Rule 2: it ends when a later deployment succeeds, when an operator says so, or when the failures have become old.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

#: More says nothing more.
_MOST_FAILURES: Final = 32
#: Of a reason.
_LONGEST_REASON: Final = 300


@dataclass(frozen=True, slots=True)
class Failure:
    """One deployment that failed here."""

    digest: str  # of its document
    deployment: str
    sequence: int
    at: float  # unix seconds
    reason: str
    aside: bool = False  # the host was set aside by then already


@dataclass(frozen=True, slots=True)
class PenaltyRule:
    """[fleet]: how many failures within which time set a host aside; ``most`` 0: none ever."""

    most: int = 3
    within_s: float = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class Penalty:
    """The failures of one host, the oldest first."""

    failures: tuple[Failure, ...] = ()
    cleared_at: float = 0.0  # unix seconds; what failed until then counts no more

    def with_failure(self, failure: Failure) -> Penalty:
        """One more; the same document again, or one of before the last clearing, changes nothing."""
        if failure.at <= self.cleared_at or any(each.digest == failure.digest for each in self.failures):
            return self
        cut = replace(failure, reason=failure.reason[:_LONGEST_REASON])
        return replace(self, failures=(*self.failures, cut)[-_MOST_FAILURES:])

    def with_success(self, at: float, rule: PenaltyRule) -> Penalty:
        """A deployment succeeded at this time: a host that was set aside before is so no longer."""
        if not self.is_set_aside(at, rule) or any(each.at >= at for each in self.failures):
            return self
        return self.cleared(at)

    def cleared(self, at: float) -> Penalty:
        """Begun anew; a clock that went back meanwhile brings no failure back."""
        return Penalty(cleared_at=max([at, self.cleared_at, *(each.at for each in self.failures)]))

    def counted(self, now: float, rule: PenaltyRule) -> tuple[Failure, ...]:
        """Those that are not old; ones of a clock that ran ahead are not."""
        return tuple(each for each in self.failures if now - each.at <= rule.within_s)

    def is_set_aside(self, now: float, rule: PenaltyRule) -> bool:
        """Whether rollouts no longer count on the host."""
        return 0 < rule.most <= len(self.counted(now, rule))

    def as_document(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "cleared_at": self.cleared_at,
            "failures": [
                {
                    "digest": each.digest,
                    "deployment": each.deployment,
                    "sequence": each.sequence,
                    "at": each.at,
                    "reason": each.reason,
                    "aside": each.aside,
                }
                for each in self.failures
            ],
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Penalty:
        """What was kept.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        if not document:
            return cls()
        failures = tuple(
            Failure(
                str(each["digest"]),
                str(each["deployment"]),
                int(each["sequence"]),
                float(each["at"]),
                str(each["reason"]),
                each.get("aside") is True,
            )
            for each in document["failures"]
        )
        return cls(failures[-_MOST_FAILURES:], float(document["cleared_at"]))
