"""What a vehicle says of itself, normalised into one bounded snapshot: no I/O, the time is given."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from edgehost.adapters.vehicles.vehicle_modes import ARDUPILOT, PX4, mode_name

#: A fact for those who listen: its name without the prefix, and its data.
Fact = tuple[str, dict[str, Any]]

_MOST_TEXTS: Final = 8
#: STATUSTEXT has 50 characters a piece; longer texts come in pieces.
_TEXT_PIECE: Final = 50
_LONGEST_TEXT: Final = 250
_ARMED: Final = 128  # MAV_MODE_FLAG_SAFETY_ARMED
_NO_AUTOPILOT: Final = 8  # MAV_AUTOPILOT_INVALID: ground stations, cameras, gimbals
_BYTEWISE: Final = 16  # MAV_PROTOCOL_CAPABILITY_PARAM_ENCODE_BYTEWISE
_C_CAST: Final = 131_072  # MAV_PROTOCOL_CAPABILITY_PARAM_ENCODE_C_CAST
_UNKNOWN_U16: Final = 65_535

_AUTOPILOTS: Final = {0: "generic", ARDUPILOT: "ardupilot", PX4: "px4"}
_VEHICLES: Final = {
    0: "generic", 1: "plane", 2: "quadrotor", 3: "coaxial", 4: "helicopter", 7: "airship", 8: "balloon",
    9: "rocket", 10: "rover", 11: "boat", 12: "submarine", 13: "hexarotor", 14: "octorotor", 15: "tricopter",
    19: "vtol", 20: "vtol", 21: "vtol", 22: "vtol", 23: "vtol", 24: "vtol", 25: "vtol", 29: "dodecarotor",
}  # fmt: skip
_STATES: Final = (
    "uninit", "boot", "calibrating", "standby", "active", "critical", "emergency", "poweroff", "termination",
)  # fmt: skip
_LANDED: Final = ("unknown", "on-ground", "in-air", "taking-off", "landing")
_FIXES: Final = ("no-gps", "no-fix", "2d", "3d", "dgps", "rtk-float", "rtk-fixed", "static", "ppp")
_SEVERITIES: Final = ("emergency", "alert", "critical", "error", "warning", "notice", "info", "debug")


@dataclass(slots=True)
class VehicleState:
    """One autopilot behind a link: whether it is there, and what it said last."""

    name: str
    silent_s: float
    wanted_id: int = 0  # MAVLink system id; 0: the first autopilot that is heard
    system_id: int = 0
    component_id: int = 0
    autopilot: int = _NO_AUTOPILOT
    vehicle: int = 0
    capabilities: int = 0
    present: bool = False
    heard_at: float = -math.inf  # its last heartbeat
    lost_messages: int = 0
    parts: dict[str, Any] = field(default_factory=dict)
    texts: deque[dict[str, str]] = field(default_factory=lambda: deque(maxlen=_MOST_TEXTS))
    _sequence: int = -1
    _text: tuple[int, str] = (0, "")
    _readers: Mapping[str, Callable[[Any], list[Fact]]] = field(init=False)

    def __post_init__(self) -> None:
        self._readers = {
            "STATUSTEXT": self._read_text,
            "EXTENDED_SYS_STATE": self._read_landed,
            "MISSION_CURRENT": lambda m: self._set("mission", {"current": m.seq}),
            "AUTOPILOT_VERSION": self._read_version,
        }

    @property
    def armed(self) -> bool:
        """Whether its motors may turn, as far as its last heartbeat says."""
        return bool(self.parts.get("armed", False))

    @property
    def bytewise(self) -> bool:
        """Whether integers travel as bytes in a parameter's float, instead of as a number."""
        if self.capabilities & (_BYTEWISE | _C_CAST):
            return bool(self.capabilities & _BYTEWISE)
        return self.autopilot != ARDUPILOT  # the specification's own way, where the vehicle does not say

    def is_autopilot(self, message: Any) -> bool:  # noqa: ANN401 - pymavlink's message
        """Whether this is a heartbeat of the vehicle that is wanted."""
        return (
            message.get_type() == "HEARTBEAT"
            and message.autopilot != _NO_AUTOPILOT
            and self.wanted_id in {0, message.get_srcSystem()}
        )

    def is_mine(self, message: Any) -> bool:  # noqa: ANN401 - pymavlink's message
        """Whether the vehicle's autopilot sent it."""
        return self.present and (message.get_srcSystem(), message.get_srcComponent()) == (
            self.system_id,
            self.component_id,
        )

    def heard(self, message: Any, now: float) -> list[Fact]:  # noqa: ANN401 - pymavlink's message
        """Take in a message (``now`` is monotonic seconds) and say what has changed."""
        facts = []
        if self.is_autopilot(message) and (not self.present or self.is_mine(message)):
            facts = self._read_heartbeat(message, now)
        elif not self.is_mine(message):
            return []
        self._count(message.get_seq())
        kind = message.get_type()
        if (section := _SECTIONS.get(kind)) is not None:
            known = section[1](message)
            if not all(_finite(value) for value in known.values()):
                return facts  # not a number: no measurement
            return facts + self._set(section[0], known)
        reader = self._readers.get(kind)
        return facts + reader(message) if reader is not None else facts

    def due(self, now: float) -> list[Fact]:
        """What follows from time alone: a vehicle that is silent for too long is lost."""
        if not self.present or now - self.heard_at < self.silent_s:
            return []
        return self.gone(now, f"no heartbeat for {now - self.heard_at:.1f} s")

    def gone(self, now: float, why: str) -> list[Fact]:
        """The vehicle is lost."""
        if not self.present:
            return []
        self.present, self._sequence = False, -1
        return [("lost", {"heard_s": round(now - self.heard_at, 3), "why": why, "armed": self.armed})]

    def snapshot(self, now: float) -> dict[str, Any]:
        """All of it, ready for JSON; what the vehicle never said is not there. A few hundred bytes."""
        if self.heard_at == -math.inf:
            return {"vehicle": self.name, "present": False}
        return {
            "vehicle": self.name,
            "present": self.present,
            "heard_s": round(now - self.heard_at, 3),
            "system_id": self.system_id,
            "autopilot": _AUTOPILOTS.get(self.autopilot, str(self.autopilot)),
            "type": _VEHICLES.get(self.vehicle, str(self.vehicle)),
            **self.parts,
            "texts": list(self.texts),
        }

    def _read_heartbeat(self, message: Any, now: float) -> list[Fact]:  # noqa: ANN401 - pymavlink's message
        facts: list[Fact] = []
        if not self.present:
            again = self.heard_at != -math.inf
            if again and message.get_srcSystem() != self.system_id:
                self.parts.clear()  # another vehicle
                self.texts.clear()
            self.system_id, self.component_id = message.get_srcSystem(), message.get_srcComponent()
            self.present = True
            facts.append(("found", {"system_id": self.system_id, "again": again}))
        self.heard_at, self.autopilot, self.vehicle = now, message.autopilot, message.type
        self.parts["state"] = _word(_STATES, message.system_status)
        armed = bool(message.base_mode & _ARMED)
        if armed != self.parts.get("armed", False):
            facts.append(("armed" if armed else "disarmed", {}))
        self.parts["armed"] = armed
        mode = mode_name(self.autopilot, self.vehicle, message.custom_mode)
        if mode != self.parts.get("mode", mode):
            facts.append(("mode", {"mode": mode, "before": self.parts["mode"]}))
        self.parts["mode"] = mode
        return facts

    def _read_landed(self, message: Any) -> list[Fact]:  # noqa: ANN401 - pymavlink's message
        landed, before = _word(_LANDED, message.landed_state), self.parts.get("landed")
        self.parts["landed"] = landed
        return [("landed", {"landed": landed, "before": before})] if before not in {None, landed} else []

    def _read_text(self, message: Any) -> list[Fact]:  # noqa: ANN401 - pymavlink's message
        piece = _printable(message.text)
        number, begun = self._text
        text = (begun + piece if message.id and message.id == number and message.chunk_seq else piece)[
            :_LONGEST_TEXT
        ]
        self._text = (message.id, text)
        if message.id and len(message.text) >= _TEXT_PIECE and len(text) < _LONGEST_TEXT:
            return []  # another piece follows
        self._text = (0, "")
        told = {"severity": _word(_SEVERITIES, message.severity), "text": text}
        self.texts.append(told)
        return [("text", dict(told))]

    def _read_version(self, message: Any) -> list[Fact]:  # noqa: ANN401 - pymavlink's message
        self.capabilities = message.capabilities
        version = message.flight_sw_version
        if version:
            self.parts["version"] = f"{version >> 24}.{version >> 16 & 255}.{version >> 8 & 255}"
        return []

    def _set(self, part: str, known: Mapping[str, Any]) -> list[Fact]:
        self.parts[part] = {**self.parts.get(part, {}), **known}
        return []

    def _count(self, sequence: int) -> None:
        """Frames are numbered by their sender, modulo 256."""
        if self._sequence >= 0:
            self.lost_messages += (sequence - self._sequence - 1) % 256
        self._sequence = sequence


def _position(m: Any) -> dict[str, Any]:  # noqa: ANN401 - pymavlink's message
    known = {
        "latitude_deg": m.lat / 1e7,
        "longitude_deg": m.lon / 1e7,
        "altitude_m": m.alt / 1000,
        "relative_altitude_m": m.relative_alt / 1000,
        "north_m_s": m.vx / 100,
        "east_m_s": m.vy / 100,
        "down_m_s": m.vz / 100,
    }
    return known if m.hdg == _UNKNOWN_U16 else known | {"heading_deg": m.hdg / 100}


def _battery(m: Any) -> dict[str, Any]:  # noqa: ANN401 - pymavlink's message
    known = {}
    if m.voltage_battery not in {0, _UNKNOWN_U16}:
        known["voltage_v"] = m.voltage_battery / 1000
    if m.current_battery >= 0:
        known["current_a"] = m.current_battery / 100
    if m.battery_remaining >= 0:
        known["remaining_percent"] = m.battery_remaining
    return known


def _battery_status(m: Any) -> dict[str, Any]:  # noqa: ANN401 - pymavlink's message
    if m.id != 0:
        return {}  # of several batteries, the first one is shown
    known: dict[str, Any] = {}
    cells = [cell for cell in m.voltages if cell not in {0, _UNKNOWN_U16}]
    if cells:
        known["voltage_v"] = sum(cells) / 1000
    if m.current_battery >= 0:
        known["current_a"] = m.current_battery / 100
    if m.battery_remaining >= 0:
        known["remaining_percent"] = m.battery_remaining
    return known


def _gps(m: Any) -> dict[str, Any]:  # noqa: ANN401 - pymavlink's message
    known: dict[str, Any] = {"fix": _word(_FIXES, m.fix_type)}
    if m.satellites_visible != 255:  # noqa: PLR2004 - unknown, by the specification
        known["satellites"] = m.satellites_visible
    if m.eph != _UNKNOWN_U16:
        known["hdop"] = m.eph / 100
    return known


def _degrees(radians: float) -> float:
    return round(math.degrees(radians), 2)


_SECTIONS: Final[Mapping[str, tuple[str, Callable[[Any], dict[str, Any]]]]] = {
    "GLOBAL_POSITION_INT": ("position", _position),
    "ATTITUDE": (
        "attitude",
        lambda m: {"roll_deg": _degrees(m.roll), "pitch_deg": _degrees(m.pitch), "yaw_deg": _degrees(m.yaw)},
    ),
    "SYS_STATUS": ("battery", _battery),
    "BATTERY_STATUS": ("battery", _battery_status),
    "GPS_RAW_INT": ("gps", _gps),
    "VFR_HUD": (
        "speed",
        lambda m: {
            "air_m_s": round(m.airspeed, 2),
            "ground_m_s": round(m.groundspeed, 2),
            "climb_m_s": round(m.climb, 2),
            "throttle_percent": m.throttle,
        },
    ),
    "HOME_POSITION": (
        "home",
        lambda m: {
            "latitude_deg": m.latitude / 1e7,
            "longitude_deg": m.longitude / 1e7,
            "altitude_m": m.altitude / 1000,
        },
    ),
}
#: MAVLink ids of what makes the snapshot, to be asked of the vehicle at a rate.
WANTED_MESSAGES: Final = (1, 24, 30, 33, 74, 147, 242, 245)


def _word(words: tuple[str, ...], number: int) -> str:
    return words[number] if number < len(words) else str(number)


def _finite(value: object) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _printable(text: object) -> str:
    return "".join(letter for letter in str(text) if letter.isprintable())
