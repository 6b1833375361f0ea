"""Work in order for each key, several keys side by side, in a queue that has a bound and says when it is reached."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

from edgehost.domain.events import ConsumerLagged, EventsDropped
from edgehost.ports.clock import Clock
from edgehost.ports.event_bus import EventBus

log = logging.getLogger("edgehost.events")

KeyT = TypeVar("KeyT", bound=Hashable)
ItemT = TypeVar("ItemT")

DEFAULT_WAITING: Final = 1024
#: What consumers themselves do does not wait; at so many times the bound there is no room for that either.
_OVERFULL: Final = 4
#: Several sandboxes side by side; more would only take memory from each other.
_AT_ONCE: Final = 8


class KeyedWork(Generic[KeyT, ItemT]):
    """Takes items at once; ``run`` hands them to ``work``, those of one key one after the other."""

    def __init__(
        self,
        name: str,
        work: Callable[[KeyT, ItemT], Awaitable[None]],
        *,
        bus: EventBus,
        clock: Clock,
        waiting: int = DEFAULT_WAITING,
        at_once: int = _AT_ONCE,
        loses: bool = True,
    ) -> None:
        self.name = name
        self._work = work
        self._bus, self._clock = bus, clock
        self._most, self._at_once, self._loses = waiting, at_once, loses
        self._items: dict[KeyT, deque[ItemT]] = {}
        self._ready: asyncio.Queue[KeyT] = asyncio.Queue()  # holds no more than there are items
        self._count = 0
        self._dropped = 0
        self._roomy = asyncio.Event()
        self._roomy.set()
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return self._count

    @property
    def full(self) -> bool:
        """Whether writers should wait."""
        return not self._roomy.is_set()

    @property
    def overfull(self) -> bool:
        """Whether the next item would be lost; never where something else bounds them."""
        return self._loses and self._count >= self._most * _OVERFULL

    async def room(self) -> None:
        """Return once half of the queue is worked off."""
        await self._roomy.wait()

    async def idle(self) -> None:
        """Return once nothing waits and nothing is worked on."""
        await self._idle.wait()

    def put(self, key: KeyT, item: ItemT) -> None:
        """Queue it; when the queue can take no more it is lost, which is counted and said."""
        if self.overfull:
            if not self._dropped:
                log.error("%s cannot keep up: events are lost.", self.name)
            self._dropped += 1
            return
        self._count += 1
        self._idle.clear()
        items = self._items.get(key)
        if items is None:
            self._items[key] = deque((item,))
            self._ready.put_nowait(key)
        else:
            items.append(item)
        if self._count >= self._most and self._roomy.is_set():
            self._roomy.clear()
            log.warning("%s has %d events waiting: writers wait for it.", self.name, self._count)
            self._bus.publish(ConsumerLagged(at=self._clock.now(), consumer=self.name, waiting=self._count))

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._at_once):
                tasks.create_task(self._keep_working(), name=f"edgehost.{self.name}.{number}")

    async def _keep_working(self) -> None:
        while True:
            key = await self._ready.get()
            items = self._items[key]
            try:
                await self._work(key, items[0])
            finally:
                items.popleft()
                self._count -= 1
                if items:
                    self._ready.put_nowait(key)
                else:
                    del self._items[key]
                self._after_one()

    def _after_one(self) -> None:
        if self._count * 2 <= self._most and not self._roomy.is_set():
            self._roomy.set()
            count, self._dropped = self._dropped, 0
            if count:
                self._bus.publish(EventsDropped(at=self._clock.now(), count=count, consumer=self.name))
        if not self._count:
            self._idle.set()


class KeyedConsumer(Generic[KeyT, ItemT]):
    """The part of an EventConsumer that is its queue's: how full it is, and when it has worked off what it has."""

    _work: KeyedWork[KeyT, ItemT]

    @property
    def full(self) -> bool:
        """Whether writers should wait."""
        return self._work.full

    @property
    def overfull(self) -> bool:
        """Whether it can take no more at all."""
        return self._work.overfull

    async def room(self) -> None:
        """Return once it has caught up."""
        await self._work.room()

    async def idle(self) -> None:
        """Return once nothing waits and nothing is under way."""
        await self._work.idle()
