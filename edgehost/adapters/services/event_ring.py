"""The last facts, for those who come later; bounded in number and in what they weigh."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

from edgehost.domain.event_pattern import holds, matches
from edgehost.domain.events import Event

DEFAULT_EVENTS: Final = 256
#: About what they hold of strings and numbers; in memory it is some times as much.
DEFAULT_BYTES: Final = 1024 * 1024
#: A fact that is larger is not kept: it would push all the others out.
_LARGEST_BYTES: Final = 64 * 1024
#: Facts that only say how listeners fare, or that would drown the others.
_NOT_KEPT: Final = frozenset({"edgehost.events.dropped", "edgehost.guest.logged"})


class EventRing:
    """What was published lately."""

    def __init__(self, events: int = DEFAULT_EVENTS, most_bytes: int = DEFAULT_BYTES) -> None:
        self._most, self._most_bytes = events, most_bytes
        self._kept: deque[tuple[Event, int]] = deque()
        self._bytes = 0

    def add(self, event: Event) -> None:
        """Keep it, and let the oldest go."""
        if event.type in _NOT_KEPT or not self._most:
            return
        size = weight(event.details(), _LARGEST_BYTES)
        if size >= _LARGEST_BYTES:
            return
        self._kept.append((event, size))
        self._bytes += size
        while len(self._kept) > self._most or self._bytes > self._most_bytes:
            self._bytes -= self._kept.popleft()[1]

    def last(self, on: str, count: int, where: Mapping[str, Any]) -> tuple[Event, ...]:
        """The last facts that match, oldest first."""
        found = (
            event
            for event, _ in reversed(self._kept)
            if any(matches(on, name) for name in event.names) and holds(where, event.details())
        )
        return tuple(islice(found, count))[::-1]


def weight(value: object, most: int) -> int:
    """About the bytes of a JSON value; stops counting at ``most``."""
    size, level = 0, [value]
    while level and size < most:
        item = level.pop()
        size += 8
        if isinstance(item, str):
            size += len(item)
        elif isinstance(item, Mapping):
            level.extend(item)
            level.extend(item.values())
        elif isinstance(item, list | tuple):
            level.extend(item)
    return min(size, most)
