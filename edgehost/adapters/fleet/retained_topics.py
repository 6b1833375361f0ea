"""What a host wants a broker to retain, and what the broker is known to have: the difference is what is published."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

#: A host has some dozens of topics and a hundred commands; more is somebody's flood, and need not be remembered.
MOST_KNOWN: Final = 4096


@dataclass(slots=True)
class RetainedTopics:
    """Desired and known payloads by topic; no I/O."""

    kept: dict[str, bytes] = field(default_factory=dict)
    known: dict[str, bytes] = field(default_factory=dict)  # of this connection
    _todo: dict[str, None] = field(default_factory=dict)

    def keep(self, topic: str, payload: bytes | None, *, again: bool = False) -> None:
        """Want this from now on; None wants nothing there."""
        if payload is None:
            self.kept.pop(topic, None)
        else:
            self.kept[topic] = payload
        if again or self.known.get(topic) != payload:
            self._todo[topic] = None
        else:
            self._todo.pop(topic, None)

    def connected(self) -> None:
        """A new connection: nothing is known of the broker."""
        self.known.clear()
        self._todo.clear()

    def saw(self, topic: str, payload: bytes) -> None:
        """The broker has this; empty when it has nothing any more."""
        if payload:
            if topic in self.known or topic in self.kept or len(self.known) < MOST_KNOWN:
                self.known[topic] = payload
        else:
            self.known.pop(topic, None)

    def published(self, topic: str, payload: bytes) -> None:
        """The broker has taken this; what is wanted may have changed meanwhile."""
        self.saw(topic, payload)
        if self.differs(topic):
            self._todo[topic] = None

    def compare(self) -> None:
        """The broker has shown all that it has: what differs is to be published."""
        for topic, payload in self.kept.items():
            if self.known.get(topic) != payload:
                self._todo[topic] = None

    def differs(self, topic: str) -> bool:
        """Whether the broker has something else than is wanted."""
        return self.known.get(topic) != self.kept.get(topic)

    def take_away(self, topic: str) -> None:
        """The broker has what is not wanted."""
        self._todo[topic] = None

    def due(self) -> Iterator[tuple[str, bytes]]:
        """What is to be published, empty payloads for what is to go; each is handed out once."""
        while self._todo:
            topic = next(iter(self._todo))
            del self._todo[topic]
            yield topic, self.kept.get(topic, b"")
