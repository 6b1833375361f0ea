"""What led to what: how many events lie behind the one that is published now, so that circles come to an end.

A consumer that acts on an event does so within ``caused_by``; whatever is published meanwhile, by however many
components on the way, is one deeper. The events that descend from one first event share a count.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final


@dataclass(slots=True, eq=False)
class Descent:
    """All the events that one first event led to."""

    events: int = 0
    cut: bool = False  # it was said once that they went too far


@dataclass(frozen=True, slots=True)
class Cause:
    """Where an event stands: 0 deep when no event led to it."""

    depth: int = 0
    descent: Descent | None = None


@dataclass(frozen=True, slots=True)
class CauseLimits:
    """How far events may lead to events."""

    depth: int = 32
    events: int = 1000  # that descend from one


FIRST: Final = Cause()

_cause: ContextVar[Cause] = ContextVar("edgehost.cause", default=FIRST)


def current_cause() -> Cause:
    """The cause of what is published now."""
    return _cause.get()


@contextmanager
def caused_by(cause: Cause) -> Iterator[None]:
    """Within the block, what is published was led to by an event with this cause."""
    token = _cause.set(Cause(cause.depth + 1, cause.descent or Descent()))
    try:
        yield
    finally:
        _cause.reset(token)
