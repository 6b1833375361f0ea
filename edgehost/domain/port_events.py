"""Facts about ports and what they lead to: calls, breakers, bindings, and what the host's services say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from edgehost.domain.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class PortEvent(Event):
    """A call of a port ended; ``id`` is the record's, or empty."""

    model: str
    port: str
    id: str = ""

    @property
    def subject(self) -> str:
        """``model/port``, and ``/id`` when there is a record."""
        return "/".join(part for part in (self.model, self.port, self.id) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class PortSucceeded(PortEvent):
    """A port's call succeeded; ``event`` is what the port produces by its specification, or empty."""

    type: ClassVar[str] = "edgehost.port.succeeded"
    event: str = ""
    answer: Any = None
    tries: int = 1
    fallback: bool = False  # the breaker was open and the fallback answered

    @property
    def names(self) -> tuple[str, ...]:
        """What the port produces, then the type."""
        return (self.event, self.type) if self.event else (self.type,)


@dataclass(frozen=True, slots=True, kw_only=True)
class PortFailed(PortEvent):
    """A port's call failed for good."""

    type: ClassVar[str] = "edgehost.port.failed"
    code: str
    reason: str
    tries: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerMoved(Event):
    """A circuit breaker opened, closed, or lets a trial through."""

    type: ClassVar[str] = "edgehost.breaker.moved"
    model: str
    port: str
    error_class: str
    position: str  # closed, open, half-open

    @property
    def subject(self) -> str:
        """``model/port``."""
        return f"{self.model}/{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PortBound(Event):
    """An operator bound a port to an adapter, or an adapter to a service; an empty target takes that back."""

    type: ClassVar[str] = "edgehost.port.bound"
    what: str  # MODEL.PORT or an adapter
    target: str

    @property
    def subject(self) -> str:
        """What was bound."""
        return self.what


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceNotified(Event):
    """A service of the host says something of its own, such as a message that came; ``name`` is its word for it."""

    type: ClassVar[str] = "edgehost.service.notified"
    service: str
    name: str
    data: Any = None

    @property
    def subject(self) -> str:
        """``service/name``."""
        return f"{self.service}/{self.name}"

    @property
    def names(self) -> tuple[str, ...]:
        """Its own name, then the type."""
        return (self.name, self.type)
