"""How long to wait before the next try: exponential with full jitter, capped.

Full jitter spreads a fleet that lost its broker at one instant (AWS Architecture Blog, "Exponential Backoff And
Jitter", 2015).
"""

from __future__ import annotations

from dataclasses import dataclass

#: Beyond this the cap has long been reached; keeps the power from growing without bound.
_MOST_DOUBLINGS = 32


@dataclass(frozen=True, slots=True)
class Backoff:
    """Bounds of the waiting time, in seconds."""

    base_s: float = 0.5
    cap_s: float = 60.0

    def delay_s(self, attempt: int, chance: float) -> float:
        """The wait before try number ``attempt`` (0 is the first retry), with ``chance`` from 0 to 1."""
        return chance * min(self.cap_s, self.base_s * 2.0 ** min(attempt, _MOST_DOUBLINGS))
