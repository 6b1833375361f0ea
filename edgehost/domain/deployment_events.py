"""What happened to deployments on this host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edgehost.domain.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentEvent(Event):
    """Something happened to a deployment."""

    deployment: str
    sequence: int
    digest: str

    @property
    def subject(self) -> str:
        """``name/sequence``."""
        return f"{self.deployment}/{self.sequence}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentAccepted(DeploymentEvent):
    """It is for this host and is kept durably."""

    type: ClassVar[str] = "edgehost.deployment.accepted"
    remote: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentRefused(DeploymentEvent):
    """This host cannot follow it as it is; the reason says why."""

    type: ClassVar[str] = "edgehost.deployment.refused"
    remote: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentSuperseded(DeploymentEvent):
    """Another sequence took its place, or it is no longer for this host."""

    type: ClassVar[str] = "edgehost.deployment.superseded"
    by_sequence: int
    state: str  # in which it was


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentMoved(DeploymentEvent):
    """It is in another state: waiting, prepared, applying, soaking or halted."""

    type: ClassVar[str] = "edgehost.deployment.moved"
    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentReached(DeploymentEvent):
    """Everything that it wants holds here, and held while it was watched."""

    type: ClassVar[str] = "edgehost.deployment.reached"
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentFailed(DeploymentEvent):
    """It did not get there; what it says of failures has been done."""

    type: ClassVar[str] = "edgehost.deployment.failed"
    reason: str
