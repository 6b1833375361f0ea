"""Telemetry of devices as records of a model: a ring for each device, whose places are written over in turn."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from edgehost.domain.errors import ConflictError, EdgehostError, NotFoundError
from edgehost.usecases.create_record import create_record
from edgehost.usecases.live_models import LiveModels
from edgehost.usecases.record_keeping import RecordKeeping
from edgehost.usecases.sparing_warnings import SparingWarnings
from edgehost.usecases.update_record import change_record

log = logging.getLogger("edgehost.device")

_WARN_APART_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class TelemetryRing:
    """Where the telemetry of a device is kept."""

    model: str
    keep: int  # records
    every_s: float  # at most one record in so long

    def record_id(self, device: str, now: float) -> str:
        """The place of this moment: the same after a restart of the host, and never more than ``keep`` of them."""
        step = max(self.every_s, 0.001)
        return f"{device}-{int(now / step) % self.keep}"


@dataclass(slots=True)
class TelemetryRecords:
    """Takes what devices tell; the newest of each waits while the one before is stored."""

    keeping: RecordKeeping
    models: LiveModels
    rings: Mapping[str, TelemetryRing]  # by device
    _waiting: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _next: dict[str, float] = field(default_factory=dict)  # monotonic; by device
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _warnings: SparingWarnings = field(init=False)

    def __post_init__(self) -> None:
        self._warnings = SparingWarnings(log, self.keeping.clock.monotonic, _WARN_APART_S)

    def take(self, device: str, telemetry: Any) -> None:  # noqa: ANN401 - JSON
        """Keep it, if it is time for the next record of this device; never waits."""
        ring, now = self.rings.get(device), self.keeping.clock.monotonic()
        if ring is None or not isinstance(telemetry, Mapping) or now < self._next.get(device, now):
            return
        self._next[device] = now + ring.every_s
        self._waiting[device] = telemetry
        self._news.set()

    async def run(self) -> None:
        """Store what was taken, until cancelled."""
        while True:
            self._news.clear()
            waiting, self._waiting = self._waiting, {}
            for device, telemetry in waiting.items():
                try:
                    await self._store(device, self.rings[device], telemetry)
                except EdgehostError as error:
                    self._warnings.warn(f"{device}: its telemetry is not recorded: {error}")
                except Exception:  # what one device tells must not end the host
                    log.exception("The telemetry of %s is not recorded.", device)
            await self._news.wait()

    async def _store(self, device: str, ring: TelemetryRing, telemetry: Mapping[str, Any]) -> None:
        model = self.models.table.named(ring.model)
        data = {**telemetry, "device": device}
        record_id = ring.record_id(device, self.keeping.clock.now())
        try:
            await change_record(self.keeping, model, record_id, lambda _before: data)
        except NotFoundError:
            try:
                await create_record(self.keeping, model, data, record_id=record_id)
            except ConflictError:  # somebody was faster: the next one takes its place
                return
