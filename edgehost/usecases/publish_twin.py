"""What a host shows of itself in its fleet: properties when they change, figures now and then, events, alarms."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from edgehost.domain.cloud_event import cloud_event
from edgehost.domain.device_events import DeviceTelemetry
from edgehost.domain.event_pattern import matches
from edgehost.domain.event_rate import EventRate
from edgehost.domain.events import Event, EventsDropped
from edgehost.domain.fleet_topics import HostTopics, part_of
from edgehost.domain.json_text import tell_json
from edgehost.ports.clock import Clock
from edgehost.ports.fleet_link import FleetLink

log = logging.getLogger("edgehost.fleet")

#: Changes that follow on one another are shown together.
_COALESCE_S: Final = 0.25
_EVENT_EXPIRES_S: Final = 3600.0
_WAITING: Final = 256
_MOST_ALARMS: Final = 64
_TELLING: Final = (
    "edgehost.release.",
    "edgehost.remote.",
    "edgehost.fleet.",
    "edgehost.config",
    "edgehost.device.",
    "edgehost.certificate.",
)

Look = Callable[[], Awaitable[Mapping[str, Any]]]


@dataclass(slots=True)
class TwinPublisher:
    """An EventConsumer that acts on nothing."""

    topics: HostTopics
    link: FleetLink
    clock: Clock
    properties: Mapping[str, Look]  # by name
    figures: Mapping[str, Look]
    findings: Callable[[], Awaitable[Sequence[Mapping[str, Any]]]]
    status: Callable[[], bytes]
    tidy: Callable[[], None]
    events: tuple[str, ...] = ()
    rate: EventRate = field(default_factory=EventRate)
    source: str = ""
    measure_s: float = 60.0
    name: str = "fleet"
    untold: int = 0
    full: bool = False
    overfull: bool = False
    _waiting: deque[Event] = field(default_factory=deque)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _look: bool = True
    _alarms: dict[str, float] = field(default_factory=dict)  # raised since

    async def room(self) -> None:
        """It is never waited for."""

    def wants(self, event: Event) -> bool:
        """Whether the fact goes out."""
        if isinstance(event, EventsDropped):
            return False
        return any(matches(pattern, name) for pattern in self.events for name in event.names)

    def take(self, event: Event) -> None:
        """A fact: something may have changed, and it may be one to tell."""
        if event.type.startswith(_TELLING) and event.type != DeviceTelemetry.type:
            self.look_again()
        if not self.wants(event):
            return
        if len(self._waiting) >= _WAITING or not self.rate.admits("", self.clock.monotonic()):
            self.untold += 1
            return
        self._waiting.append(event)
        self._wake.set()

    def look_again(self) -> None:
        """Something that is shown may have changed."""
        self._look = True
        self._wake.set()

    async def run(self) -> None:
        """Show until cancelled."""
        measured = float("-inf")
        while True:
            if self.clock.monotonic() - measured >= self.measure_s:
                measured = self.clock.monotonic()
                await self._tried(self._measure)
                self._look = True
            if self._look:
                self._look = False
                await self._tried(self._show)
            while self._waiting:
                event = self._waiting.popleft()
                self.link.tell(
                    self.topics.event(part_of(event.type)),
                    tell_json(cloud_event(event, self.source)),
                    expires_s=_EVENT_EXPIRES_S,
                )
            await asyncio.sleep(_COALESCE_S)
            try:
                async with asyncio.timeout(max(measured + self.measure_s - self.clock.monotonic(), 0)):
                    await self._wake.wait()
            except TimeoutError:
                continue
            self._wake.clear()

    async def _tried(self, work: Callable[[], Awaitable[None]]) -> None:
        """What the host shows of itself is no reason for it to end."""
        try:
            await work()
        except Exception:
            log.exception("What this host shows to its fleet is not complete.")

    async def _show(self) -> None:
        for name, look in self.properties.items():
            self.link.keep(self.topics.twin(name), tell_json(dict(await look())))
        await self._show_alarms()
        self.tidy()

    async def _show_alarms(self) -> None:
        raised: dict[str, Mapping[str, Any]] = {}
        for finding in await self.findings():
            if finding["state"] == "failed" and len(raised) < _MOST_ALARMS:
                raised[part_of(str(finding["check"]))] = finding
        for name in set(self._alarms) - set(raised):
            del self._alarms[name]
            self.link.keep(self.topics.alarm(name), None)
        for name, finding in raised.items():
            since = self._alarms.setdefault(name, self.clock.now())
            alarm = {
                "severity": "major",
                "text": finding["detail"],
                "hint": finding["hint"],
                "since": round(since),
            }
            self.link.keep(self.topics.alarm(name), tell_json(alarm))

    async def _measure(self) -> None:
        self.link.keep(self.topics.status, self.status())
        for name, look in self.figures.items():
            figures = {"at": round(self.clock.now(), 3), **await look()}
            self.link.tell(self.topics.measurement(name), tell_json(figures), expires_s=self.measure_s)
