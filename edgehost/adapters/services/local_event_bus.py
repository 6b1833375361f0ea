"""Facts to the listeners in this process; each has a bounded backlog and loses its oldest facts first."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from edgehost.domain.events import Event, EventsDropped

#: At a few hundred bytes an event, a listener that hangs holds about 100 KB.
DEFAULT_BACKLOG: Final = 256


def _everything(_event: Event) -> bool:
    return True


class LocalEventBus:
    """An EventBus within one event loop."""

    def __init__(self) -> None:
        self._listeners: set[_Listener] = set()

    def publish(self, event: Event) -> None:
        """Hand the fact to every listener; never waits."""
        for listener in tuple(self._listeners):
            listener.offer(event)

    @asynccontextmanager
    async def subscription(
        self, wanted: Callable[[Event], bool] = _everything, *, backlog: int = DEFAULT_BACKLOG
    ) -> AsyncIterator[AsyncIterator[Event]]:
        """Listen from now on; an EventsDropped takes the place of what was lost."""
        listener = _Listener(wanted, backlog)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)


class _Listener:
    """An iterator of its own rather than a generator, so that a time-out around ``anext`` does not end it."""

    def __init__(self, wanted: Callable[[Event], bool], backlog: int) -> None:
        self._wanted = wanted
        self._backlog = max(backlog, 1)
        self._events: deque[Event] = deque()
        self._dropped = 0
        self._dropped_at = 0.0
        self._filled = asyncio.Event()

    def offer(self, event: Event) -> None:
        if not self._wanted(event):
            return
        if len(self._events) >= self._backlog:
            self._dropped_at = self._events.popleft().at
            self._dropped += 1
        self._events.append(event)
        self._filled.set()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        await self._filled.wait()
        if self._dropped:
            count, self._dropped = self._dropped, 0
            return EventsDropped(at=self._dropped_at, count=count)
        event = self._events.popleft()
        if not self._events:
            self._filled.clear()
        return event
