"""An event bus that keeps what is published, before anybody hears of it."""

from __future__ import annotations

from typing import TypeVar

from edgehost.adapters.services.local_event_bus import LocalEventBus
from edgehost.domain.events import Event

_Kind = TypeVar("_Kind", bound=Event)


class NotedBus(LocalEventBus):
    """The host's own bus; ``published`` holds every event in its order."""

    def __init__(self) -> None:
        super().__init__()
        self.published: list[Event] = []

    def publish(self, event: Event) -> None:
        self.published.append(event)
        super().publish(event)

    def of(self, kind: type[_Kind]) -> list[_Kind]:
        """Those of one kind."""
        return [event for event in self.published if isinstance(event, kind)]
