"""Long searches take turns: between any two slices of them the event loop is free for everybody else."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from edgehost.domain.errors import BusyError

#: Work at a time: what another request may have to wait for, each time that it comes back to the loop.
SLICE_S: Final = 0.002
#: Free between two slices: a request turns the loop several times, and its thread needs the interpreter too.
PAUSE_S: Final = 0.001
#: Each holds what it has found so far.
MOST_WAITING: Final = 64


class SearchTurns:
    """The turns of one store. Nobody holds anything while working, so searches may stand in searches."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()  # it is fair: first come, first served
        self._waiting = 0

    def search(self, *, bounded: bool = True) -> SearchPace:
        """The pace of one search; ``bounded`` ones may be refused."""
        return SearchPace(self, bounded=bounded)

    async def next_turn(self, *, bounded: bool) -> None:
        """Wait until no other slice ran just now.

        Raises:
            BusyError: as many as may be wait already.
        """
        if bounded and self._waiting >= MOST_WAITING:
            raise BusyError(
                f"{self._waiting} long searches run, as many as may.",
                hint="Search by an indexed field, or try later.",
            )
        self._waiting += bounded
        try:
            async with self._turn:
                await asyncio.sleep(PAUSE_S)
        finally:
            self._waiting -= bounded


class SearchPace:
    """How long a search has worked without a pause."""

    def __init__(self, turns: SearchTurns, *, bounded: bool) -> None:
        self._turns = turns
        self._bounded = bounded
        self._until = time.monotonic() + SLICE_S

    def is_over(self) -> bool:
        """Whether it is time for ``pause``."""
        return time.monotonic() >= self._until

    async def pause(self) -> None:
        """Let others work; what was read from an index before may be old afterwards.

        Raises:
            BusyError: as for SearchTurns.next_turn.
        """
        await self._turns.next_turn(bounded=self._bounded)
        self._until = time.monotonic() + SLICE_S
