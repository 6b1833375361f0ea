"""Warnings of what may happen very often: the first at once, then now and then with how many there were."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

_APART_S = 10.0


@dataclass(slots=True)
class SparingWarnings:
    """Logs at most one warning in each ``apart_s`` seconds; those between are counted."""

    log: logging.Logger
    now_s: Callable[[], float]  # monotonic
    apart_s: float = _APART_S
    _next_s: float = field(default=float("-inf"))
    _untold: int = 0

    def warn(self, message: str) -> None:
        """Log the message, or count it for the next one that is logged."""
        now = self.now_s()
        if now < self._next_s:
            self._untold += 1
            return
        more = f" ({self._untold} more since the last such line)" if self._untold else ""
        self._next_s, self._untold = now + self.apart_s, 0
        self.log.warning("%s%s", message, more)
