"""A device as a node of this host: what it tells becomes events and records, what is asked of it goes over its bridge."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from edgehost.domain.device import DeviceState
from edgehost.domain.device_events import (
    DeviceCameOnline,
    DeviceRestarted,
    DeviceTelemetry,
    DeviceWentOffline,
)
from edgehost.domain.errors import NotFoundError
from edgehost.domain.event_rate import EventRate
from edgehost.domain.suggestion import did_you_mean
from edgehost.ports.clock import Clock
from edgehost.ports.device import BridgedDevice
from edgehost.ports.event_bus import EventBus

log = logging.getLogger("edgehost.device")

#: Lines of a device's diagnostic text that reach the host's log in a second; a device that babbles fills no disk.
_LINES_PER_S: Final = 20.0
_TOLD_PER_S: Final = 50.0
_MOST_TEXT: Final = 400


@dataclass(slots=True)
class DeviceEars:
    """Meets DeviceListener for one device."""

    name: str
    bus: EventBus
    clock: Clock
    record: Callable[[str, Any], None] | None = None  # what else is done with a telemetry; never waits
    changed: Callable[[], None] = lambda: None  # somebody else looks at devices, too
    rate: EventRate = field(default_factory=lambda: EventRate(_LINES_PER_S))
    told_rate: EventRate = field(default_factory=lambda: EventRate(_TOLD_PER_S))
    before: DeviceState | None = None

    def moved(self, state: DeviceState) -> None:
        """Tell that it came, went, or began anew."""
        before, self.before = self.before, state
        self.changed()
        now, identity = self.clock.now(), state.identity
        if before is not None and before.online == state.online:
            if state.restarts > before.restarts:
                log.warning("%s: it has begun anew by itself.", self.name)
                self.bus.publish(DeviceRestarted(at=now, device=self.name))
            return
        if state.online and identity is not None:
            log.info("%s: online: %s with firmware %s.", self.name, identity.board, identity.firmware)
            self.bus.publish(
                DeviceCameOnline(
                    at=now,
                    device=self.name,
                    board=identity.board,
                    uid=identity.uid,
                    firmware=identity.firmware,
                )
            )
        else:
            log.warning("%s: offline: %s", self.name, state.reason)
            self.bus.publish(DeviceWentOffline(at=now, device=self.name, reason=state.reason))

    def told(self, telemetry: Any) -> None:  # noqa: ANN401 - JSON
        """Tell it on, and record it where a model is named."""
        if not self.told_rate.admits(self.name, self.clock.monotonic()):
            return  # the fastest interval is 20 a second: it is no longer telling, it is flooding
        self.bus.publish(DeviceTelemetry(at=self.clock.now(), device=self.name, data=telemetry))
        if self.record is not None:
            self.record(self.name, telemetry)

    def said(self, text: str) -> None:
        """A line in the host's log, under the device's name."""
        now = self.clock.monotonic()
        line = "".join(each if each.isprintable() else " " for each in text[:_MOST_TEXT]).rstrip()
        if not line:
            return
        if self.rate.admits(self.name, now):
            log.info("%s: %s", self.name, line)
        elif count := self.rate.to_tell(self.name, now):
            log.warning(
                "%s: %d lines were left out: it says more than %g a second.", self.name, count, _LINES_PER_S
            )


@dataclass(slots=True)
class Devices:
    """The devices of this host, by name; meets LineUsers."""

    known: dict[str, BridgedDevice] = field(default_factory=dict)
    ears: dict[str, DeviceEars] = field(default_factory=dict)
    ailing: Callable[[str], bool] = lambda _name: False  # whether its firmware is why it is silent

    def get(self, name: str) -> BridgedDevice:
        """One of them.

        Raises:
            NotFoundError: there is none of this name.
        """
        device = self.known.get(name)
        if device is None:
            raise NotFoundError(
                f"There is no device '{name[:80]}'.",
                hint=did_you_mean(name[:80], self.known) or "Describe it under [devices.NAME].",
            )
        return device

    def states(self) -> list[dict[str, Any]]:
        """How each is, ready for JSON."""
        return [device.state.document() for device in self.known.values()]

    @asynccontextmanager
    async def pause(self, path: str) -> AsyncIterator[None]:
        """Let go of a line while it is flashed; of all that may lead to the board when no line is named."""
        async with AsyncExitStack() as stack:
            for device in self.known.values():
                if not path or device.is_on(path):
                    await stack.enter_async_context(device.held())
            yield

    def findings(self) -> Iterable[Mapping[str, Any]]:
        """What 'edgehost doctor' says of them."""
        for name, device in self.known.items():
            state = device.state
            if state.online and state.identity is not None:
                identity, running = state.identity, None if state.slots is None else state.slots.running
                runs = "no component" if running is None else f"{running.component} {running.version}"
                detail = f"{identity.board} with firmware {identity.firmware} runs {runs}."
                bad = int(state.telemetry.get("bad_frames", 0)) + state.bad_frames
                if bad:
                    detail += f" {bad} frames came damaged."
                yield _finding(name, "ok", detail, "")
            else:
                hint = "Check power, cable and line; see 'edgehost bridge show'."
                if self.ailing(name):
                    hint = f"See what is said of the firmware of {name}."
                yield _finding(
                    name, "warning", f"It is offline: {state.reason}", "" if state.paused else hint
                )


def _finding(name: str, state: str, detail: str, hint: str) -> dict[str, Any]:
    return {"check": f"device {name}", "state": state, "detail": detail, "hint": hint}
