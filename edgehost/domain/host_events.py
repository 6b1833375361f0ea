"""Facts about the host itself: its configuration, its mode, its disk, what a deployment cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edgehost.domain.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationMoved(Event):
    """A generation of the configuration was tried, has proved itself, or was given up."""

    type: ClassVar[str] = "edgehost.configuration.moved"
    generation: int
    standing: str  # trial, good, failed
    origin: str
    reason: str = ""

    @property
    def subject(self) -> str:
        """The generation's number."""
        return str(self.generation)


@dataclass(frozen=True, slots=True, kw_only=True)
class SafeModeEntered(Event):
    """The host runs without its components, since it could not be well with them."""

    type: ClassVar[str] = "edgehost.safe-mode.entered"
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskMoved(Event):
    """The room on the data folder's disk reached another state: ok, low or short."""

    type: ClassVar[str] = "edgehost.disk.moved"
    state: str
    free_bytes: int
    free_inodes: int
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentWritten(Event):
    """A release went live; what the host wrote to the disk for deployments since the one before it."""

    type: ClassVar[str] = "edgehost.deployment.written"
    component: str
    version: str
    digest: str
    size_bytes: int
    written_bytes: int

    @property
    def subject(self) -> str:
        """``component@version``."""
        return f"{self.component}@{self.version}"
