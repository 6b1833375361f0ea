"""Facts about candidates, and about records that go from one version's form into another's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from edgehost.domain.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficEvent(Event):
    """Something happened to the calls or records of a component."""

    component: str
    version: str

    @property
    def subject(self) -> str:
        """``component@version``."""
        return f"{self.component}@{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficChanged(TrafficEvent):
    """Calls are divided anew: ``version`` is the main release, ``candidates`` what the others get."""

    type: ClassVar[str] = "edgehost.traffic.changed"
    candidates: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateDecided(TrafficEvent):
    """A candidate took over, or was stopped; the figures are those that decided."""

    type: ClassVar[str] = "edgehost.traffic.decided"
    decision: str  # "promote" or "stop"
    by: str  # "rule" or "operator"
    reason: str
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationProgressed(TrafficEvent):
    """So many of a model's records are ready in the form of this version; the release before still serves."""

    type: ClassVar[str] = "edgehost.migration.progressed"
    model: str
    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordsMigrated(TrafficEvent):
    """A model's records are in the form of this version; whoever keeps copies reads them again.

    There is no event for each of the records, since nothing was said that was not said before.
    """

    type: ClassVar[str] = "edgehost.migration.done"
    model: str
    from_version: str
    count: int
    how: str  # "migrate", "migrate_back" or "restored"
    set_aside: int = 0  # records written since that have no form in this version


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationRefused(TrafficEvent):
    """Records could not be brought into the form of this version; nothing was changed."""

    type: ClassVar[str] = "edgehost.migration.refused"
    model: str
    id: str  # the record that was refused; "" when it was not about one
    reason: str
