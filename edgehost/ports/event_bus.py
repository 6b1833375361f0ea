"""Facts to whoever listens, in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from edgehost.domain.events import Event


class EventBus(Protocol):
    """Publishing never waits; a slow listener loses its oldest facts and is told how many."""

    def publish(self, event: Event) -> None:
        """Hand the fact to every listener."""
        ...

    def subscription(
        self, wanted: Callable[[Event], bool] = ..., *, backlog: int = ...
    ) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """Listen from now on; an EventsDropped takes the place of what was lost."""
        ...
