"""Who is told of what comes from the fleet's broker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class FleetHandlers:
    """None of them waits."""

    command: Callable[[str, bytes], None] = lambda _topic, _payload: None
    settled: Callable[[frozenset[str], bool], None] = lambda _seen, _lost: None
    bundle: Callable[[str, bytes], None] | None = None
    other: Callable[[str, bytes], None] = lambda _topic, _payload: None  # of the filters that were added
    link: Callable[[], None] = lambda: None  # came up or went
    current: Callable[[bool], None] = lambda _lost: None  # all that is retained on those filters has come
    namesake: Callable[[str, bool], None] = lambda _where, _yields: None  # "" when it is gone
