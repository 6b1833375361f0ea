"""The machine's clock, never below a floor: many boards start in 1970 until somebody tells them the time."""

from __future__ import annotations

import time


class SystemClock:
    """A Clock whose wall time runs on from the floor until the machine knows better.

    From ``set_from`` on (unix seconds) the machine's clock is taken to be set and believed: a floor that was learned
    while it stood years ahead must not hold for ever.
    """

    def __init__(self, floor: float = 0.0, *, set_from: float | None = None) -> None:
        self._set_from = set_from
        self._floor = floor
        self._floor_set_at = time.monotonic()

    def now(self) -> float:
        """Seconds since 1970; while the machine's clock is not set, the floor plus the time since it was learned."""
        machine = time.time()  # noqa: TID251 - this is the Clock
        if self._set_from is not None and machine >= self._set_from:
            return machine
        return max(machine, self._floor + (time.monotonic() - self._floor_set_at))

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; only grows."""
        return time.monotonic()

    def raise_floor(self, unix_s: float) -> None:
        """It is at least this late, as somebody who can be trusted says; an earlier floor changes nothing."""
        if unix_s > self._floor + (time.monotonic() - self._floor_set_at):
            self._floor, self._floor_set_at = unix_s, time.monotonic()
