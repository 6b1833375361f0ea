"""Writes of one record in the order in which they were asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class WriteTurns:
    """A queue per record, gone when nobody is in it."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], asyncio.Future[None]] = {}

    @asynccontextmanager
    async def turn(self, model: str, record_id: str) -> AsyncIterator[None]:
        """Wait for those who came before."""
        key = (model, record_id)
        before = self._last.get(key)
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._last[key] = mine
        try:
            if before is not None:
                await asyncio.shield(before)
            yield
        finally:
            if before is not None and not before.done():  # cancelled while waiting: whoever follows waits on
                before.add_done_callback(lambda _: mine.set_result(None))
            else:
                mine.set_result(None)
            if self._last.get(key) is mine:
                if mine.done():
                    del self._last[key]
                else:
                    mine.add_done_callback(lambda _: self._forget(key, mine))

    def _forget(self, key: tuple[str, str], mine: asyncio.Future[None]) -> None:
        if self._last.get(key) is mine:
            del self._last[key]
