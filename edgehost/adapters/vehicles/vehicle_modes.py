"""The names of flight modes: a number that means something else for every autopilot and kind of vehicle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: MAV_AUTOPILOT of the two whose modes are known here.
ARDUPILOT: Final = 3
PX4: Final = 12

#: MAV_TYPE by the vehicle that ArduPilot runs there.
_PLANES: Final = frozenset({1, 16, 19, 20, 21, 22, 23, 24, 25, 28})
_ROVERS: Final = frozenset({10, 11})
_COPTERS: Final = frozenset({2, 3, 4, 13, 14, 15, 29, 35, 43})

_COPTER: Final = {
    0: "STABILIZE", 1: "ACRO", 2: "ALT_HOLD", 3: "AUTO", 4: "GUIDED", 5: "LOITER", 6: "RTL", 7: "CIRCLE",
    9: "LAND", 11: "DRIFT", 13: "SPORT", 14: "FLIP", 15: "AUTOTUNE", 16: "POSHOLD", 17: "BRAKE", 18: "THROW",
    19: "AVOID_ADSB", 20: "GUIDED_NOGPS", 21: "SMART_RTL", 22: "FLOWHOLD", 23: "FOLLOW", 24: "ZIGZAG",
}  # fmt: skip
_PLANE: Final = {
    0: "MANUAL", 1: "CIRCLE", 2: "STABILIZE", 3: "TRAINING", 4: "ACRO", 5: "FBWA", 6: "FBWB", 7: "CRUISE",
    8: "AUTOTUNE", 10: "AUTO", 11: "RTL", 12: "LOITER", 13: "TAKEOFF", 15: "GUIDED", 17: "QSTABILIZE",
    18: "QHOVER", 19: "QLOITER", 20: "QLAND", 21: "QRTL",
}  # fmt: skip
_ROVER: Final = {
    0: "MANUAL", 1: "ACRO", 3: "STEERING", 4: "HOLD", 5: "LOITER", 6: "FOLLOW", 7: "SIMPLE", 10: "AUTO",
    11: "RTL", 12: "SMART_RTL", 15: "GUIDED",
}  # fmt: skip
#: Main mode in the third byte, sub mode of AUTO in the fourth (PX4, px4_custom_mode.h).
_PX4: Final = {
    1: "MANUAL", 2: "ALTCTL", 3: "POSCTL", 5: "ACRO", 6: "OFFBOARD", 7: "STABILIZED",
    4 | 2 << 8: "TAKEOFF", 4 | 3 << 8: "LOITER", 4 | 4 << 8: "MISSION", 4 | 5 << 8: "RTL", 4 | 6 << 8: "LAND",
    4 | 8 << 8: "FOLLOWME",
}  # fmt: skip


def modes_of(autopilot: int, vehicle: int) -> Mapping[int, str]:
    """The names by number, for PX4 without its two unused lower bytes; empty when they are not known."""
    if autopilot == PX4:
        return _PX4
    if autopilot != ARDUPILOT:
        return {}
    if vehicle in _PLANES:
        return _PLANE
    if vehicle in _ROVERS:
        return _ROVER
    return _COPTER if vehicle in _COPTERS else {}


def mode_name(autopilot: int, vehicle: int, custom_mode: int) -> str:
    """The mode's name, or its number as it came."""
    number = custom_mode >> 16 if autopilot == PX4 else custom_mode
    return modes_of(autopilot, vehicle).get(number, str(custom_mode))


def mode_params(autopilot: int, vehicle: int, name: str) -> tuple[int, int] | None:
    """(custom mode, custom sub mode) of MAV_CMD_DO_SET_MODE; None when there is no such mode."""
    for number, known in modes_of(autopilot, vehicle).items():
        if known == name.upper():
            return (number & 0xFF, number >> 8) if autopilot == PX4 else (number, 0)
    return None
