"""Filters that others have added to a host's own: all that is retained there has come when a mark comes back after it.

A broker that shows more at once than the inbox holds is asked again, until nothing was dropped.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field


@dataclass(slots=True)
class AddedFilters:
    """Over one connection after another."""

    filters: list[str] = field(default_factory=list)
    overflows: int = 0  # times that more came at once than can be kept
    _overflowed: bool = False  # since the filters were subscribed to
    _marks: int = 0  # that have not come back yet

    def connected(self) -> None:
        """No mark of an earlier connection comes back."""
        self._marks = 0

    def add(self, filters: Collection[str]) -> None:
        """Those that are new."""
        self.filters += [each for each in filters if each not in self.filters]

    def dropped(self) -> None:
        """The inbox was full: some messages are not here."""
        self._overflowed = True

    def is_due(self, subscribed: set[str]) -> bool:
        """Whether to subscribe and send a mark now; what overflowed is no longer among what is ``subscribed``."""
        if self._overflowed and not self._marks:
            subscribed.difference_update(self.filters)
        if subscribed.issuperset(self.filters):
            return False
        self._overflowed = False
        return True

    def marked(self) -> None:
        """A mark was sent: what comes before it comes back is what was retained."""
        self._marks += 1

    def hear_mark(self, refused: Collection[str]) -> bool | None:
        """A mark is back. Whether all has come; False: ask again; None: there is nothing to say yet."""
        self._marks = max(self._marks - 1, 0)
        if self._marks or not set(refused).isdisjoint(self.filters):
            return None
        if self._overflowed:
            self.overflows += 1
            return False
        return True
