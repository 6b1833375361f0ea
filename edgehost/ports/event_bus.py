"""Facts to whoever listens, in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from edgehost.domain.events import Event


class EventConsumer(Protocol):
    """One that acts on events, and so must not lose any: handlers, workflows, pipelines, sinks."""

    @property
    def name(self) -> str:
        """What it is called in events about it."""
        ...

    def take(self, event: Event) -> None:
        """Take the fact, if it is wanted; never waits."""
        ...

    def wants(self, event: Event) -> bool:
        """Whether it would do something with the fact."""
        ...

    @property
    def full(self) -> bool:
        """Whether writers should wait until it has caught up."""
        ...

    @property
    def overfull(self) -> bool:
        """Whether it can take no more at all."""
        ...

    async def room(self) -> None:
        """Return once it is no longer full."""
        ...


class EventBus(Protocol):
    """Publishing never waits; a slow listener loses its oldest facts and is told how many."""

    def publish(self, event: Event) -> None:
        """Hand the fact to every listener, and to the consumers unless it was led to by too many others."""
        ...

    async def room(self, *, wait: bool = ...) -> None:
        """Wait, before something is done that will be told, until every consumer can take it.

        Without ``wait``, and for what a consumer itself does, only one that can take no more at all counts.

        Raises:
            BusyError: one of them does not catch up; nothing should be done now.
        """
        ...

    def attach(self, consumer: EventConsumer, *, acting: bool = ...) -> Callable[[], None]:
        """Hand facts to this consumer from now on; what is returned ends it.

        One that is not ``acting`` publishes nothing because of them: it gets also those where a circle was cut.
        """
        ...

    def last(self, on: str, count: int, where: Mapping[str, Any] = ...) -> tuple[Event, ...]:
        """The last facts whose name and members match, oldest first; the bus remembers a bounded number."""
        ...

    def subscription(
        self,
        wanted: Callable[[Event], bool] = ...,
        *,
        on: str = ...,
        where: Mapping[str, Any] = ...,
        once: bool = ...,
        replay: int = ...,
        backlog: int | None = ...,
    ) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """Listen from now on; an EventsDropped takes the place of what was lost.

        ``on`` is a pattern of names, ``where`` members that must have these values; ``once`` ends it after the
        first, ``replay`` begins with so many of the last ones.

        Raises:
            InvalidSpecificationError: ``on`` is no pattern.
        """
        ...
