"""Commands about one thing are done one after another, in the order in which they came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Turn:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    holder: str = ""
    users: int = 0


@dataclass(slots=True)
class Turns:
    """Who is at work on what, and who waits."""

    _turns: dict[str, _Turn] = field(default_factory=dict)

    def is_free(self, about: str | None) -> bool:
        """Whether a command would begin at once."""
        return about is None or about not in self._turns

    @asynccontextmanager
    async def taken(self, about: str | None, who: str, waits: Callable[[str], None]) -> AsyncIterator[None]:
        """Hold the turn within the block; ``waits`` is told for whom."""
        if about is None:
            yield
            return
        turn = self._turns.setdefault(about, _Turn())
        turn.users += 1
        try:
            if turn.lock.locked():
                waits(turn.holder)
            async with turn.lock:
                turn.holder = who
                yield
        finally:
            turn.users -= 1
            if not turn.users:
                del self._turns[about]
