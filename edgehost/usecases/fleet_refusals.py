"""What came as a command and is none: counted, told, and answered a bounded number of times."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from edgehost.domain.errors import EdgehostError
from edgehost.domain.event_rate import EventRate
from edgehost.domain.fleet_command import CommandRecord, CommandState
from edgehost.domain.fleet_events import FleetCommandRefused
from edgehost.domain.fleet_messages import state_document
from edgehost.domain.fleet_topics import CommandTopic, HostTopics
from edgehost.domain.json_text import tell_json
from edgehost.ports.clock import Clock
from edgehost.ports.event_bus import EventBus
from edgehost.ports.fleet_link import FleetLink

#: Answers and events, at once and then a second; the others get none.
_PER_S: Final = 20.0
_EXPIRES_S: Final = 3600.0


@dataclass(slots=True)
class Refusals:
    """Of one host, since its start."""

    topics: HostTopics
    boot: str
    link: FleetLink
    clock: Clock
    bus: EventBus
    count: int = 0
    last: str = ""
    _rate: EventRate = field(default_factory=lambda: EventRate(per_s=_PER_S))

    def answer(self, where: CommandTopic, error: EdgehostError) -> None:
        """Note it, and say ``failed`` at its topic, where nothing of this host's stands."""
        self.note(where, error)
        if not self._rate.admits("answer", self.clock.monotonic()):
            return
        record = CommandRecord(
            where.id, where.operation, CommandState.FAILED, str(error), changed_at=self.clock.now()
        )
        payload = tell_json(state_document(record, boot=self.boot))
        self.link.put(self.topics.command(where.operation, where.id), payload, expires_s=_EXPIRES_S)

    def note(self, where: CommandTopic, error: EdgehostError) -> None:
        """Count it and tell it."""
        self.count += 1
        self.last = f"{where.operation}/{where.id}: {error.message}"
        if self._rate.admits("event", self.clock.monotonic()):
            self.bus.publish(
                FleetCommandRefused(
                    at=self.clock.now(),
                    id=where.id,
                    operation=where.operation,
                    code=error.code,
                    reason=str(error),
                )
            )
