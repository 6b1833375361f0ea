"""How a device behaves since what a deployment brought there began: the health gate of devices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgehost.domain.deployment import Gates
from edgehost.domain.device import DeviceState


@dataclass(frozen=True, slots=True)
class _Mark:
    digest: str = ""
    calls: int = 0
    faults: int = 0
    restarts: int = 0


@dataclass(slots=True)
class DeviceConduct:
    """Counts from when a release, or an image, was first seen to run there."""

    _marks: dict[str, _Mark] = field(default_factory=dict)  # by what is watched

    def began(self, key: str, digest: str, state: DeviceState) -> None:
        """Count from now on."""
        self._marks[key] = _Mark(digest, *_counts(state), state.restarts)

    def fault(
        self, key: str, digest: str, state: DeviceState, gates: Gates, *, restarts: bool = False
    ) -> str:
        """What it does worse than the gates allow; "" when nothing. ``restarts`` of the device count, too."""
        mark = self._marks.get(key, _Mark())
        calls, faults = _counts(state)
        if mark.digest != digest:  # this host has not seen it begin
            mark = _Mark(digest, calls, faults, state.restarts)
        elif calls < mark.calls:  # the device began anew, and counts anew
            mark = _Mark(digest, 0, 0, mark.restarts)
        self._marks[key] = mark
        calls, faults, begun_anew = calls - mark.calls, faults - mark.faults, state.restarts - mark.restarts
        if calls >= gates.calls_min and faults > gates.error_rate * calls:
            return f"{faults} of {calls} calls failed on the device."
        if restarts and gates.restarts and begun_anew > gates.restarts:
            return f"The device began anew {begun_anew} times; {gates.restarts} is the most."
        return ""


def _counts(state: DeviceState) -> tuple[int, int]:
    telemetry: Mapping[str, object] = state.telemetry
    calls, faults = telemetry.get("calls", 0), telemetry.get("faults", 0)
    return (calls, faults) if isinstance(calls, int) and isinstance(faults, int) else (0, 0)
