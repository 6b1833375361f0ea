"""The machine's clock, never below a floor: many boards start in 1970 until somebody tells them the time."""

from __future__ import annotations

import time


class SystemClock:
    """A Clock whose wall time runs on from the floor until the machine knows better."""

    def __init__(self, floor: float = 0.0) -> None:
        self._floor = floor
        self._floor_set_at = time.monotonic()

    def now(self) -> float:
        """Seconds since 1970; at least the floor plus the time that has passed since it was set."""
        floor = self._floor + (time.monotonic() - self._floor_set_at)
        return max(time.time(), floor)  # noqa: TID251 - this is the Clock

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; only grows."""
        return time.monotonic()

    def raise_floor(self, unix_s: float) -> None:
        """It is at least this late, as somebody who can be trusted says; an earlier floor changes nothing."""
        if unix_s > self._floor + (time.monotonic() - self._floor_set_at):
            self._floor, self._floor_set_at = unix_s, time.monotonic()
