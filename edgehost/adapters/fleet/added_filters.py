"""Filters that others have added to a host's own: all that is retained there has come when a mark comes back after it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field


@dataclass(slots=True)
class AddedFilters:
    """Over one connection after another."""

    filters: list[str] = field(default_factory=list)
    _marks: int = 0  # that have not come back yet

    def connected(self) -> None:
        """No mark of an earlier connection comes back."""
        self._marks = 0

    def add(self, filters: Collection[str]) -> None:
        """Those that are new."""
        self.filters += [each for each in filters if each not in self.filters]

    def is_due(self, subscribed: set[str]) -> bool:
        """Whether to subscribe and send a mark now."""
        return not subscribed.issuperset(self.filters)

    def marked(self) -> None:
        """A mark was sent: what comes before it comes back is what was retained."""
        self._marks += 1

    def hear_mark(self, refused: Collection[str]) -> bool:
        """A mark is back: whether all has come."""
        self._marks = max(self._marks - 1, 0)
        return not self._marks and set(refused).isdisjoint(self.filters)
