"""Forward events to a sink, as the configuration says: stored facts go on, whatever the other side does.

A sink that is away does not hold the host up: its events wait in a bounded queue, the oldest go, and that is told.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from secrets import SystemRandom
from typing import Any, Final

from edgehost.domain.backoff import Backoff
from edgehost.domain.cloud_event import cloud_event
from edgehost.domain.errors import EdgehostError, UnavailableError
from edgehost.domain.event_pattern import holds, matches
from edgehost.domain.events import Event, EventsDropped
from edgehost.ports.clock import Clock
from edgehost.ports.event_bus import EventBus
from edgehost.ports.event_sink import EventSink

log = logging.getLogger("edgehost.sinks")

#: One write or one round of sending.
_BATCH: Final = 100
_BACKOFF: Final = Backoff(0.2, 30.0)
_RANDOM: Final = SystemRandom()


@dataclass(frozen=True, slots=True)
class Forwarding:
    """What goes to a sink."""

    name: str
    on: str
    where: Mapping[str, Any] = field(default_factory=dict)
    waiting: int = 1024


class EventForwarder:
    """An EventConsumer that acts on nothing: facts leave, none come of it."""

    full = overfull = False

    def __init__(
        self,
        what: Forwarding,
        sink: EventSink,
        bus: EventBus,
        clock: Clock,
        *,
        source: str,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = _RANDOM.random,
    ) -> None:
        self.name = f"sink '{what.name}'"
        self._what, self._sink = what, sink
        self._bus, self._clock, self._source = bus, clock, source
        self._pause, self._chance = pause, chance
        self._events: deque[Event] = deque()
        self._filled = asyncio.Event()
        self._dropped = 0
        self.sent = 0
        self.refused = 0
        self.trouble = ""

    async def room(self) -> None:
        """A sink is never waited for."""

    def wants(self, event: Event) -> bool:
        """Whether it goes to this sink."""
        about_itself = isinstance(event, EventsDropped) and event.consumer == self.name
        named = any(matches(self._what.on, name) for name in event.names)
        return named and not about_itself and holds(self._what.where, event.details())

    def take(self, event: Event) -> None:
        """Queue the fact; the oldest goes when there are too many."""
        if not self.wants(event):
            return
        if len(self._events) >= self._what.waiting:
            self._events.popleft()
            self._dropped += 1
        self._events.append(event)
        self._filled.set()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._events:
                await self._send_batch()

    async def _send_batch(self) -> None:
        batch = [self._events.popleft() for _ in range(min(len(self._events), _BATCH))]
        documents = [cloud_event(event, self._source) for event in batch]
        tries = 0
        while True:
            try:
                await self._sink.send(documents)
            except UnavailableError as error:
                self._note(error.message)
                await self._pause(_BACKOFF.delay_s(tries, self._chance()))
                tries += 1
            except EdgehostError as error:
                self.refused += len(batch)
                self._note(f"{len(batch)} events were refused: {error.message}")
                break
            else:
                self.sent += len(batch)
                self._note("")
                break
        if self._dropped:
            count, self._dropped = self._dropped, 0
            self._bus.publish(EventsDropped(at=self._clock.now(), count=count, consumer=self.name))

    def _note(self, trouble: str) -> None:
        """Log a change, not every repetition."""
        if trouble and trouble != self.trouble:
            log.warning("%s: %s", self.name, trouble)
        self.trouble = trouble
