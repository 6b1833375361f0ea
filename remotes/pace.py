"""A bound on bytes in a second, shared by all that asks it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class Pace:
    """Spreads transfers so that their mean stays below a rate; 0 is no bound.

    What was received is paid for before the next thing is asked for, so a file is never cut by it and the line is
    silent in between: a rate below one chunk (32 KiB) a second works too.
    """

    def __init__(
        self,
        bytes_per_s: float,
        *,
        now: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._rate = bytes_per_s
        self._now = now or (lambda: asyncio.get_running_loop().time())
        self._sleep = sleep
        self._free_at = 0.0

    async def wait(self) -> None:
        """Until what was received so far is paid for."""
        if self._rate > 0:
            while (rest := self._free_at - self._now()) > 0:
                await self._sleep(rest)

    def received(self, size_bytes: int) -> None:
        """Note what has come."""
        if self._rate > 0:
            self._free_at = max(self._free_at, self._now()) + size_bytes / self._rate
