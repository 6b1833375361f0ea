"""Time as the host sees it."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Wall time may jump; monotonic time may not. Tests bring a clock that stands still."""

    def now(self) -> float:
        """Seconds since 1970-01-01T00:00Z by the wall clock, never below the persisted floor."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; only grows."""
        ...
