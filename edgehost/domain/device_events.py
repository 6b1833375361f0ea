"""Facts about devices behind this host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from edgehost.domain.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceEvent(Event):
    """Something happened to a device."""

    device: str

    @property
    def subject(self) -> str:
        """The device."""
        return self.device


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCameOnline(DeviceEvent):
    """It answers; ``board`` and ``uid`` are what it says of itself."""

    type: ClassVar[str] = "edgehost.device.online"
    board: str
    uid: str
    firmware: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceWentOffline(DeviceEvent):
    """It does not answer any more, or its line is gone."""

    type: ClassVar[str] = "edgehost.device.offline"
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRestarted(DeviceEvent):
    """It has begun anew by itself."""

    type: ClassVar[str] = "edgehost.device.restarted"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTelemetry(DeviceEvent):
    """What it told of itself; ``component`` in it is the running component's own telemetry."""

    type: ClassVar[str] = "edgehost.device.telemetry"
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceReleaseMoved(DeviceEvent):
    """Another component or version runs on it, or a deployment to it has failed (``problem``)."""

    type: ClassVar[str] = "edgehost.device.release"
    component: str
    version: str
    digest: str
    problem: str = ""
