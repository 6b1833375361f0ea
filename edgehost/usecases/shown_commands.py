"""What a host shows of commands at the broker and keeps of them in its book."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgehost.domain.fleet_events import FleetCommandMoved
from edgehost.domain.fleet_journal import Entry
from edgehost.domain.fleet_messages import state_document
from edgehost.domain.fleet_rules import Replays
from edgehost.domain.fleet_topics import HostTopics
from edgehost.domain.json_text import tell_json
from edgehost.ports.event_bus import EventBus
from edgehost.ports.fleet_link import FleetLink
from edgehost.usecases.command_book import CommandBook
from edgehost.usecases.fleet_results import Results


@dataclass(slots=True)
class ShownCommands:
    """The states of one host's commands; the host alone writes them."""

    topics: HostTopics
    boot: str  # of this run of the host
    book: CommandBook
    link: FleetLink
    bus: EventBus
    results: Results = field(init=False)

    def __post_init__(self) -> None:
        self.results = Results(self.topics, self.link)

    def show(self, entry: Entry, *, again: bool = False) -> None:
        """Have its state at its topic; ``again``: somebody may have written over it."""
        self.link.keep(self.topic(entry), self.payload(entry), again=again)

    def publish(self, entry: Entry) -> None:
        """Tell the bus that it has moved."""
        record = entry.record
        self.bus.publish(
            FleetCommandMoved(
                at=record.changed_at,
                id=record.id,
                operation=record.operation,
                state=record.state,
                by=record.by,
                reason=record.reason,
            )
        )

    def payload(self, entry: Entry) -> bytes:
        """Its state, as it is published."""
        return tell_json(state_document(entry.record, boot=self.boot))

    def topic(self, entry: Entry) -> str:
        """Where it stands."""
        return self.topics.command(entry.command.operation, entry.command.id)

    def forget(self, entry: Entry) -> None:
        """It was read and cleared: nothing of it is kept."""
        self.book.forget(entry.command.id)
        self._withdraw(entry)

    def _withdraw(self, entry: Entry) -> None:
        self.link.keep(self.topic(entry), None)
        self.results.withdraw(entry.record)

    async def keep(self, entry: Entry, *, replays: Replays | None = None) -> None:
        """Note it durably; outcomes that had to go for it are taken away.

        Raises:
            EdgehostError: it could not be noted, and is not so.
        """
        for gone in await self.book.keep(entry, replays=replays):
            self._withdraw(gone)
