"""Facts about a host's place in its fleet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edgehost.domain.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetCommandMoved(Event):
    """A command reached another state."""

    type: ClassVar[str] = "edgehost.fleet.command"
    id: str
    operation: str
    state: str
    by: str = ""
    reason: str = ""

    @property
    def subject(self) -> str:
        """``operation/id``."""
        return f"{self.operation}/{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetCommandRefused(Event):
    """What came as a command was forged, stale, or for somebody else; nothing was done."""

    type: ClassVar[str] = "edgehost.fleet.refused"
    id: str
    operation: str
    code: str
    reason: str

    @property
    def subject(self) -> str:
        """``operation/id``."""
        return f"{self.operation}/{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostDuplicated(Event):
    """Another process answers to this host's name; ``yields`` is whether this one stays silent meanwhile."""

    type: ClassVar[str] = "edgehost.fleet.duplicate-host"
    host: str
    other: str  # where the other one runs, by its own word
    yields: bool

    @property
    def subject(self) -> str:
        """The host's name."""
        return self.host
