"""Facts to the listeners in this process; each has a bounded backlog and loses its oldest facts first."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from edgehost.adapters.services.event_ring import EventRing
from edgehost.domain.causation import CauseLimits, current_cause
from edgehost.domain.errors import BusyError
from edgehost.domain.event_pattern import PatternIndex, holds
from edgehost.domain.events import Event, EventsCut, EventsDropped
from edgehost.ports.event_bus import EventConsumer

#: At a few hundred bytes an event, a listener that hangs holds about 100 KB.
DEFAULT_BACKLOG: Final = 256
#: A writer waits no longer than a client would; then it is told to come again.
_ROOM_TIMEOUT_S: Final = 5.0
_ANYTHING: Final[Mapping[str, Any]] = MappingProxyType({})


def _everything(_event: Event) -> bool:
    return True


class LocalEventBus:
    """An EventBus within one event loop."""

    def __init__(
        self,
        *,
        limits: CauseLimits | None = None,
        ring: EventRing | None = None,
        backlog: int = DEFAULT_BACKLOG,
    ) -> None:
        self._limits = limits or CauseLimits()
        self._ring = ring or EventRing()
        self._backlog = backlog
        self._listeners: PatternIndex[_Listener] = PatternIndex()
        self._consumers: tuple[EventConsumer, ...] = ()
        self._keepers: tuple[EventConsumer, ...] = ()  # those that do not act

    def publish(self, event: Event) -> None:
        """Hand the fact to every listener, and to the consumers unless too many led to it; never waits."""
        cause = current_cause()
        if cause.depth:
            event = replace(event, cause=cause)
        self._tell(event)
        if not self._consumers or (cause.depth and not self._may_lead_on(event)):
            return
        for consumer in self._consumers:
            consumer.take(event)

    async def room(self, *, wait: bool = True) -> None:
        """Wait until every consumer can take more; what a consumer itself does waits for nothing."""
        waits = wait and not current_cause().depth  # it would wait for itself
        for consumer in (*self._consumers, *self._keepers):
            if consumer.full if waits else consumer.overfull:
                await self._room_of(consumer, wait=waits)

    def attach(self, consumer: EventConsumer, *, acting: bool = True) -> Callable[[], None]:
        """Hand facts to this consumer from now on."""
        if acting:
            self._consumers = (*self._consumers, consumer)
        else:
            self._keepers = (*self._keepers, consumer)

        def detach() -> None:
            self._consumers = tuple(each for each in self._consumers if each is not consumer)
            self._keepers = tuple(each for each in self._keepers if each is not consumer)

        return detach

    def last(self, on: str, count: int, where: Mapping[str, Any] = _ANYTHING) -> tuple[Event, ...]:
        """The last facts that match, oldest first."""
        return self._ring.last(on, count, where)

    @asynccontextmanager
    async def subscription(
        self,
        wanted: Callable[[Event], bool] = _everything,
        *,
        on: str = "**",
        where: Mapping[str, Any] = _ANYTHING,
        once: bool = False,
        replay: int = 0,
        backlog: int | None = None,
    ) -> AsyncIterator[AsyncIterator[Event]]:
        """Listen from now on; an EventsDropped takes the place of what was lost."""
        listener = _Listener(wanted, where, backlog or self._backlog, once=once)
        key = self._listeners.add(on, listener)
        try:
            for event in self._ring.last(on, replay, where) if replay else ():
                listener.offer(event)
            yield listener
        finally:
            self._listeners.discard(key)

    def _tell(self, event: Event) -> None:
        self._ring.add(event)
        for keeper in self._keepers:
            keeper.take(event)
        names = event.names
        if len(names) == 1:
            for listener in self._listeners.matching(names[0]):
                listener.offer(event)
            return
        found = [listener for name in names for listener in self._listeners.matching(name)]
        for listener in dict.fromkeys(found):
            listener.offer(event)

    def _may_lead_on(self, event: Event) -> bool:
        depth, descent = event.cause.depth, event.cause.descent
        if descent is None:
            return True
        descent.events += 1
        if depth <= self._limits.depth and descent.events <= self._limits.events:
            return True
        if not descent.cut and any(consumer.wants(event) for consumer in self._consumers):
            descent.cut = True
            self._tell(
                EventsCut(
                    at=event.at,
                    name=event.names[0],
                    about=event.subject,
                    reason="depth" if depth > self._limits.depth else "storm",
                    depth=depth,
                    count=descent.events,
                )
            )
        return False

    async def _room_of(self, consumer: EventConsumer, *, wait: bool) -> None:
        if wait:
            try:
                async with asyncio.timeout(_ROOM_TIMEOUT_S):
                    await consumer.room()
            except TimeoutError:
                pass
            else:
                return
        raise BusyError(
            f"The host's {consumer.name} cannot keep up with its events; nothing was done.",
            hint="Send less at once, and try again in a few seconds.",
        )


class _Listener:
    """An iterator of its own rather than a generator, so that a time-out around ``anext`` does not end it."""

    def __init__(
        self, wanted: Callable[[Event], bool], where: Mapping[str, Any], backlog: int, *, once: bool
    ) -> None:
        self._wanted = wanted
        self._where = where
        self._backlog = max(backlog, 1)
        self._left = 1 if once else -1
        self._events: deque[Event] = deque()
        self._dropped = 0
        self._dropped_at = 0.0
        self._filled = asyncio.Event()

    def offer(self, event: Event) -> None:
        if (
            self._left == 0
            or (self._where and not holds(self._where, event.details()))
            or not self._wanted(event)
        ):
            return
        self._left -= 1
        if len(self._events) >= self._backlog:
            self._dropped_at = self._events.popleft().at
            self._dropped += 1
        self._events.append(event)
        self._filled.set()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        if self._left == 0 and not self._events:
            raise StopAsyncIteration
        await self._filled.wait()
        if self._dropped:
            count, self._dropped = self._dropped, 0
            return EventsDropped(at=self._dropped_at, count=count)
        event = self._events.popleft()
        if not self._events:
            self._filled.clear()
        return event
