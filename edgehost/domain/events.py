"""Facts, in the past tense; each is one frozen dataclass and one CloudEvents type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Final

from edgehost.domain.causation import FIRST, Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A fact: when it happened (unix seconds) and what about."""

    type: ClassVar[str] = "edgehost.event"
    at: float
    cause: Cause = field(default=FIRST, compare=False, repr=False)  # set as it is published

    @property
    def subject(self) -> str:
        """What the event is about, for filters and logs."""
        return ""

    @property
    def names(self) -> tuple[str, ...]:
        """What patterns are held against: its type, after the name that a component gave it."""
        return (self.type,)

    def details(self) -> dict[str, Any]:
        """The fields without the time, ready for JSON; to be read, not to be changed."""
        return {name: getattr(self, name) for name in _detail_names(type(self))}


_DETAIL_NAMES: Final[dict[type[Event], tuple[str, ...]]] = {}


def _detail_names(kind: type[Event]) -> tuple[str, ...]:
    names = _DETAIL_NAMES.get(kind)
    if names is None:
        names = tuple(each.name for each in fields(kind) if each.name not in {"at", "cause"})
        _DETAIL_NAMES[kind] = names
    return names


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordEvent(Event):
    """Something happened to a record."""

    model: str
    id: str
    revision: str
    domain: str = ""  # the model's bounded context; "" for events from before there were any

    @property
    def subject(self) -> str:
        """``model/id``."""
        return f"{self.model}/{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordCreated(RecordEvent):
    """A record is stored for the first time."""

    type: ClassVar[str] = "edgehost.record.created"
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordUpdated(RecordEvent):
    """A record has a new revision."""

    type: ClassVar[str] = "edgehost.record.updated"
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordDeleted(RecordEvent):
    """A record is gone."""

    type: ClassVar[str] = "edgehost.record.deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseMoved(Event):
    """A release reached another stage of its life."""

    type: ClassVar[str] = "edgehost.release.moved"
    component: str
    version: str
    digest: str
    stage: str
    reason: str = ""

    @property
    def subject(self) -> str:
        """``component@version``."""
        return f"{self.component}@{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRolledBack(Event):
    """An earlier release took over again."""

    type: ClassVar[str] = "edgehost.release.rolled-back"
    component: str
    version: str
    to_version: str
    reason: str

    @property
    def subject(self) -> str:
        """``component@version``."""
        return f"{self.component}@{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteRefused(Event):
    """A remote offered something that was not trusted; what runs keeps running."""

    type: ClassVar[str] = "edgehost.remote.refused"
    remote: str
    code: str
    reason: str

    @property
    def subject(self) -> str:
        """The remote's name."""
        return self.remote


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteChecked(Event):
    """A remote was reached and its metadata holds."""

    type: ClassVar[str] = "edgehost.remote.checked"
    remote: str
    targets: int

    @property
    def subject(self) -> str:
        """The remote's name."""
        return self.remote


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteLost(Event):
    """A remote that answered, or was never asked, does not answer; told once until it answers again."""

    type: ClassVar[str] = "edgehost.remote.lost"
    remote: str
    reason: str

    @property
    def subject(self) -> str:
        """The remote's name."""
        return self.remote


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestLogged(Event):
    """A component wrote a line to its log."""

    type: ClassVar[str] = "edgehost.guest.logged"
    component: str
    level: str  # trace, debug, info, warn, error
    message: str

    @property
    def subject(self) -> str:
        """The component."""
        return self.component


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsDropped(Event):
    """A subscriber was too slow; so many facts were not delivered to it."""

    type: ClassVar[str] = "edgehost.events.dropped"
    count: int
    consumer: str = ""  # of those that act on events; "" is the listener that gets this


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerLagged(Event):
    """One that acts on events cannot keep up: writers wait for it until it has caught up."""

    type: ClassVar[str] = "edgehost.events.lagged"
    consumer: str
    waiting: int

    @property
    def subject(self) -> str:
        """The consumer."""
        return self.consumer


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsCut(Event):
    """Events led to events too far: from here on nothing acts on them."""

    type: ClassVar[str] = "edgehost.events.cut"
    name: str  # of the first event that was not acted upon
    about: str
    reason: str  # depth or storm; rate: a component published too many, and some were refused
    depth: int
    count: int  # events that descend from the same first one; rate: that were refused

    @property
    def subject(self) -> str:
        """The event's name."""
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentNotified(Event):
    """A component says something of its own; ``name`` is its word for it."""

    type: ClassVar[str] = "edgehost.component.notified"
    component: str
    name: str
    data: Any = None

    @property
    def subject(self) -> str:
        """``component/name``."""
        return f"{self.component}/{self.name}"

    @property
    def names(self) -> tuple[str, ...]:
        """Its own name, then the type."""
        return (self.name, self.type)


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerFailed(Event):
    """A component did not take an event."""

    type: ClassVar[str] = "edgehost.handler.failed"
    component: str
    export: str
    name: str  # of the event
    code: str
    reason: str

    @property
    def subject(self) -> str:
        """``component/export``."""
        return f"{self.component}/{self.export}"
