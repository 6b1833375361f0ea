"""Shows a host and its devices to an upstream system: at once what comes, goes or changes its version, figures now and then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from edgehost.domain.device_events import DeviceEvent, DeviceTelemetry
from edgehost.domain.event_pattern import matches
from edgehost.domain.event_rate import EventRate
from edgehost.domain.events import Event, EventsDropped
from edgehost.domain.upstream_node import HOST, UpstreamNode, Version, figures_of
from edgehost.ports.clock import Clock
from edgehost.ports.upstream import Upstream

log = logging.getLogger("edgehost.upstream")

#: Changes that follow on one another are shown together.
_COALESCE_S: Final = 0.1
_OF_THE_HOST: Final = ("edgehost.release.", "edgehost.remote.")


@dataclass(slots=True)
class UpstreamReporter:
    """An EventConsumer that acts on nothing."""

    upstream: Upstream
    clock: Clock
    host: Callable[[], Awaitable[UpstreamNode]]
    devices: Callable[[], Mapping[str, UpstreamNode]]  # those that are shown
    interval_s: float = 10.0
    measure_s: float = 60.0
    events: tuple[str, ...] = ()
    rate: EventRate = field(default_factory=EventRate)
    name: str = "upstream"
    full: bool = False
    overfull: bool = False
    _at_once: set[str] = field(default_factory=set)
    _later: set[str] = field(default_factory=set)
    _shown: dict[str, float] = field(default_factory=dict)  # monotonic
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    async def room(self) -> None:
        """It is never waited for."""

    def wants(self, event: Event) -> bool:
        """Whether it is one of the events that are shown."""
        if isinstance(event, EventsDropped):
            return False
        return any(matches(pattern, name) for pattern in self.events for name in event.names)

    def take(self, event: Event) -> None:
        """Something that is shown may have changed."""
        if isinstance(event, DeviceTelemetry):
            if event.device not in self._later:
                self._later.add(event.device)
                self._wake.set()
        elif isinstance(event, DeviceEvent):
            self._at_once.add(event.device)
            self._wake.set()
        elif event.type.startswith(_OF_THE_HOST):
            self._at_once.add(HOST)
            self._wake.set()
        if self.wants(event) and self.rate.admits("", self.clock.monotonic()):
            self.upstream.tell(event)

    async def begin(self) -> None:
        """Show everything; to be done before the upstream connects, which takes away what it is not shown."""
        await self._show({HOST, *self.devices()})

    async def run(self) -> None:
        """Show until cancelled."""
        while True:
            self._wake.clear()
            await self._tried(self._due())
            await asyncio.sleep(_COALESCE_S)
            try:
                async with asyncio.timeout(self._pause_s()):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _due(self) -> set[str]:
        now = self.clock.monotonic()
        due = self._at_once
        due |= {
            name for name in self._later if now - self._shown.get(name, -self.interval_s) >= self.interval_s
        }
        if now - self._shown.get(HOST, -self.measure_s) >= self.measure_s:
            due.add(HOST)
        self._at_once = set()
        self._later -= due
        return due

    def _pause_s(self) -> float | None:
        """Until the next figures are due; what is to be shown at once wakes us."""
        now = self.clock.monotonic()
        next_at = [self._shown.get(name, now) + self.interval_s for name in self._later]
        next_at.append(self._shown.get(HOST, now) + self.measure_s)
        return 0 if self._at_once else max(min(next_at) - now, 0)

    async def _show(self, due: set[str]) -> None:
        now = self.clock.monotonic()
        if HOST in due:
            self._shown[HOST] = now
            self.upstream.show(await self.host())
        wanted = due - {HOST}
        if wanted:
            for name, node in self.devices().items():
                if name in wanted:
                    self._shown[name] = now
                    self.upstream.show(node)

    async def _tried(self, due: set[str]) -> None:
        """What is shown upstream is no reason for the host to end."""
        try:
            await self._show(due)
        except Exception:
            log.exception("What is shown upstream is not complete.")


def device_node(document: Mapping[str, Any], title: str, latest: Callable[[str], str | None]) -> UpstreamNode:
    """A device as DeviceControl shows it; ``latest`` is the version that the host could bring to it.

    ``latest`` is asked with a component's name.
    """
    identity, slots = document.get("identity") or {}, document.get("slots") or {}
    running, telemetry = slots.get("running"), document.get("telemetry") or {}
    versions = {}
    if running is not None:
        component, version = running["component"], running["version"]
        versions[component] = Version(version, latest(component) or version)
    return UpstreamNode(
        name=document["name"],
        title=title,
        online=document["online"],
        model=identity.get("board", ""),
        software=identity.get("firmware", ""),
        serial=identity.get("uid", ""),
        told=bool(document["online"] and telemetry),
        figures=figures_of(telemetry),
        versions=versions,
    )
