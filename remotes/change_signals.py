"""Tells several listeners that something changed; what a slow one missed melts into one item."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator


class ChangeSignals:
    """A counter that listeners wait on."""

    def __init__(self) -> None:
        self._count = 0
        self._closed = False
        self._moved = asyncio.Event()

    def fire(self) -> None:
        """Something changed."""
        self._count += 1
        self._wake()

    def close(self) -> None:
        """End every listener."""
        self._closed = True
        self._wake()

    def listen(self) -> AsyncIterator[None]:
        """One item for each time that something has changed since the last item, or since this call."""
        return self._items(self._count)

    async def _items(self, seen: int) -> AsyncIterator[None]:
        while not self._closed:
            if seen == self._count:
                await self._moved.wait()
                continue
            seen = self._count
            yield

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()
