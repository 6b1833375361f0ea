"""How a device is, as its bridge knows: the state that others see, and the facts that its listener is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from edgehost.domain.device import DeviceSlots, DeviceState
from edgehost.ports.clock import Clock
from edgehost.ports.device import BridgeSettings, DeviceListener


class DeviceView:
    """One device; ``state`` is replaced here and nowhere else."""

    def __init__(self, settings: BridgeSettings, listener: DeviceListener, clock: Clock) -> None:
        self.settings, self._listener, self._clock = settings, listener, clock
        self.state = DeviceState(settings.name, settings.line)
        self._announced = False  # that it is online

    def change(self, **members: Any) -> None:  # noqa: ANN401 - the members of DeviceState
        """What nobody needs to be told."""
        self.state = replace(self.state, **members)

    def came_online(self, slots: DeviceSlots) -> None:
        """It answered, and is listened to from now on."""
        self._announced = True
        self.change(online=True, since=self._clock.now(), reason="", paused=False, slots=slots, telemetry={})
        self._listener.moved(self.state)

    def went_offline(self, reason: str) -> None:
        """The listener is told once, and the first time whatever was before."""
        self.change(online=False, reason=reason)
        if self._announced or not self.state.since:
            self._announced = False
            self.change(since=self._clock.now())
            self._listener.moved(self.state)

    def began_anew(self) -> None:
        """It was reset, and the link has lived through it."""
        self.change(restarts=self.state.restarts + 1)
        self._listener.moved(self.state)

    def told(self, telemetry: dict[str, Any]) -> None:
        """A telemetry of this moment."""
        self.change(telemetry=telemetry, told_at=self._clock.now())

    def passed_on(self, telemetry: dict[str, Any]) -> None:
        """The listener hears it too."""
        self._listener.told(telemetry)

    def said(self, text: str) -> None:
        """A line of diagnostic text."""
        self._listener.said(text)
