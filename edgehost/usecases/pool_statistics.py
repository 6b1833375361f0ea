"""What an instance pool has done, for probation, status and the dashboard."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from edgehost.domain.errors import (
    BusyError,
    DeadlineExceededError,
    EdgehostError,
    GuestFailedError,
    GuestProtocolError,
    GuestTrapError,
    SandboxDiedError,
)

_REMEMBERED: Final = 256  # latencies kept for the percentiles


@dataclass(slots=True)
class PoolStatistics:
    """What the pool has done since it started."""

    calls: int = 0
    traps: int = 0
    deadlines: int = 0
    deaths: int = 0  # in a call, idle, or while it started
    protocol_errors: int = 0
    refusals: int = 0  # the guest itself said no: not a fault
    busy: int = 0  # turned away
    started: int = 0  # instances, replacements included
    failed_starts: int = 0
    in_flight: int = 0
    waiting: int = 0
    latencies_s: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED), repr=False)

    @property
    def faults(self) -> int:
        """Calls in which the component misbehaved; what probation counts."""
        return self.traps + self.deadlines + self.deaths + self.protocol_errors

    def count(self, error: EdgehostError) -> None:
        """A call ended so."""
        match error:
            case GuestTrapError():
                self.traps += 1
            case DeadlineExceededError():
                self.deadlines += 1
            case SandboxDiedError():
                self.deaths += 1
            case GuestProtocolError():
                self.protocol_errors += 1
            case GuestFailedError():
                self.refusals += 1
            case BusyError():
                self.busy += 1
            case _:
                pass

    def latency_s(self, fraction: float) -> float:
        """The latency that this fraction of the last calls stayed within; 0 without calls."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))] if ordered else 0.0
