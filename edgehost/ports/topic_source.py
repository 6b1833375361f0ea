"""Messages on topics, for inbound ports that name one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class TopicMessage:
    """One message as it came."""

    topic: str
    payload: bytes = field(repr=False)


class TopicSource(Protocol):
    """A bounded inbox: when it is full, its oldest messages go, and the source's health says how many."""

    def want(self, filters: Iterable[str]) -> None:
        """Bring messages that one of these filters matches, from now on, and no others."""
        ...

    async def next_message(self) -> TopicMessage:
        """The next message, as soon as there is one."""
        ...
