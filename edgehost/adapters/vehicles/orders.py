"""What a vehicle can be told to do: a named order with its bounds becomes a MAV_CMD."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pymavlink.dialects.v20 import common as mavlink

from edgehost.adapters.vehicles.exchange import Order, command_number
from edgehost.adapters.vehicles.vehicle_modes import ARDUPILOT, mode_params, modes_of
from edgehost.adapters.vehicles.vehicle_state import WANTED_MESSAGES, VehicleState
from edgehost.domain.errors import NotGrantedError, RefusedError, UnavailableError
from edgehost.domain.spec_reader import SpecReader
from edgehost.domain.suggestion import did_you_mean

#: Arms or disarms whatever the autopilot thinks of it, in flight too (MAV_CMD_COMPONENT_ARM_DISARM).
_FORCE: Final = 21_196.0
_EARTH_M: Final = 6_371_000.0
_REPOSITION_CHANGES_MODE: Final = 1.0  # MAV_DO_REPOSITION_FLAGS_CHANGE_MODE
_PARAMS: Final = 7
_FLOAT_MOST: Final = 3.4e38


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a host's configuration lets be done."""

    commands: frozenset[str]
    altitude_most_m: float
    distance_most_m: float

    def require(self, name: str) -> None:
        """Refuse what is not named.

        Raises:
            NotGrantedError: it is not.
        """
        if name not in self.commands:
            raise NotGrantedError(
                f"This host does not let a vehicle be told to {name}.",
                hint=f"Whoever answers for it names '{name}' in commands of the service.",
            )


@dataclass(frozen=True, slots=True)
class Task:
    """An order, and how the vehicle's own heartbeat shows that it has been followed."""

    order: Order
    shown: Callable[[VehicleState], bool] | None = None


def task_of(name: str, request: SpecReader, state: VehicleState, bounds: Bounds) -> Task:
    """The task that a call wants; all of its input is read, and nothing else may be in it.

    Raises:
        RefusedError: the input is wrong or out of bounds, or this host does not let it be done.
        UnavailableError: it needs a position that the vehicle has not told.
    """
    return _READERS[name](request, state, bounds)


def _arm(request: SpecReader, _state: VehicleState, bounds: Bounds) -> Task:
    return _armed(request, bounds, arm=True)


def _disarm(request: SpecReader, _state: VehicleState, bounds: Bounds) -> Task:
    return _armed(request, bounds, arm=False)


def _armed(request: SpecReader, bounds: Bounds, *, arm: bool) -> Task:
    force = request.flag("force", default=False)
    request.refuse_unknown()
    name = "arm" if arm else "disarm"
    bounds.require(f"force_{name}" if force else name)
    order = Order(mavlink.MAV_CMD_COMPONENT_ARM_DISARM, (1.0 if arm else 0.0, _FORCE if force else 0.0))
    return Task(order, lambda state: state.armed is arm)


def _mode(request: SpecReader, state: VehicleState, bounds: Bounds) -> Task:
    wanted = request.text("mode", longest=32).upper()
    request.refuse_unknown()
    bounds.require("mode")
    _require_present(state)
    params = mode_params(state.autopilot, state.vehicle, wanted)
    if params is None:
        known = sorted(modes_of(state.autopilot, state.vehicle).values())
        raise RefusedError(
            f"The vehicle '{state.name}' has no mode {wanted}.",
            hint=did_you_mean(wanted, known) or f"Known: {', '.join(known) or 'none for this autopilot'}.",
        )
    custom = float(mavlink.MAV_MODE_FLAG_CUSTOM_MODE_ENABLED)
    order = Order(mavlink.MAV_CMD_DO_SET_MODE, (custom, float(params[0]), float(params[1])))
    return Task(order, lambda state: state.parts.get("mode") == wanted)


def _takeoff(request: SpecReader, state: VehicleState, bounds: Bounds) -> Task:
    altitude_m = _altitude(request, bounds)
    request.refuse_unknown()
    bounds.require("takeoff")
    _require_present(state)
    if state.autopilot == ARDUPILOT:  # above home; others want it above the sea
        return Task(Order(mavlink.MAV_CMD_NAV_TAKEOFF, (0.0,) * 6 + (altitude_m,)))
    sea_m = altitude_m + _home_altitude_m(state)
    return Task(Order(mavlink.MAV_CMD_NAV_TAKEOFF, (math.nan, 0.0, 0.0, math.nan, math.nan, math.nan, sea_m)))


def _land(request: SpecReader, state: VehicleState, bounds: Bounds) -> Task:
    request.refuse_unknown()
    bounds.require("land")
    here = 0.0 if state.autopilot == ARDUPILOT else math.nan
    return Task(Order(mavlink.MAV_CMD_NAV_LAND, (0.0, 0.0, 0.0, math.nan, here, here, 0.0)))


def _rtl(request: SpecReader, _state: VehicleState, bounds: Bounds) -> Task:
    request.refuse_unknown()
    bounds.require("rtl")
    return Task(Order(mavlink.MAV_CMD_NAV_RETURN_TO_LAUNCH))


def _goto(request: SpecReader, state: VehicleState, bounds: Bounds) -> Task:
    latitude, longitude = position_in(request)
    altitude_m = _altitude(request, bounds)
    speed = request.number("speed_m_s", default=-1.0, least=-1.0, most=100.0)
    request.refuse_unknown()
    bounds.require("goto")
    require_near(latitude, longitude, state, bounds)
    sea_m = altitude_m + _home_altitude_m(state)
    params = (speed, _REPOSITION_CHANGES_MODE, 0.0, math.nan, latitude, longitude, sea_m)
    return Task(Order(mavlink.MAV_CMD_DO_REPOSITION, params, mavlink.MAV_FRAME_GLOBAL))


def _start_mission(request: SpecReader, _state: VehicleState, bounds: Bounds) -> Task:
    request.refuse_unknown()
    bounds.require("start_mission")
    return Task(Order(mavlink.MAV_CMD_MISSION_START))


def _command(request: SpecReader, _state: VehicleState, bounds: Bounds) -> Task:
    name = request.text("command", longest=100)
    params = numbers_in(request, _PARAMS)
    frame = request.whole("frame", least=0, most=21) if request.has("frame") else None
    request.refuse_unknown()
    number = command_number(name)
    if number is None:
        raise RefusedError(f"'{name}' is no MAV_CMD of the dialect 'common'.")
    bounds.require(name)
    return Task(Order(number, params, frame))


_READERS: Final[dict[str, Callable[[SpecReader, VehicleState, Bounds], Task]]] = {
    "arm": _arm,
    "disarm": _disarm,
    "mode": _mode,
    "takeoff": _takeoff,
    "land": _land,
    "rtl": _rtl,
    "goto": _goto,
    "start_mission": _start_mission,
    "command": _command,
}
TASKS: Final = frozenset(_READERS)


def opening_orders(every_s: float) -> list[Order]:
    """What a vehicle is asked for as soon as it is heard: who it is, and telemetry at our rate."""
    interval_us = max(every_s, 0.1) * 1e6
    return [
        Order(mavlink.MAV_CMD_REQUEST_MESSAGE, (float(mavlink.MAVLINK_MSG_ID_AUTOPILOT_VERSION),)),
        *(
            Order(mavlink.MAV_CMD_SET_MESSAGE_INTERVAL, (float(number), interval_us))
            for number in WANTED_MESSAGES
        ),
    ]


def numbers_in(request: SpecReader, most: int) -> tuple[float, ...]:
    """``params``: up to so many, with zeros for those that are not there; null stands for MAVLink's NaN, "as it is"."""
    params = request.scalars("params") if request.has("params") else ()
    if len(params) > most or any(isinstance(each, bool | str) for each in params):
        raise request.refused("params", f"must be a list of up to {most} numbers.")
    numbers = tuple(math.nan if each is None else float(each) for each in params)
    if any(math.isinf(each) or abs(each) > _FLOAT_MOST for each in numbers):
        raise request.refused("params", "holds a number that no float of four bytes can hold.")
    return numbers + (0.0,) * (most - len(numbers))


def position_in(request: SpecReader) -> tuple[float, float]:
    """Latitude and longitude in degrees."""
    return (
        request.number("latitude_deg", least=-90, most=90),
        request.number("longitude_deg", least=-180, most=180),
    )


def require_near(latitude: float, longitude: float, state: VehicleState, bounds: Bounds) -> None:
    """Refuse a place that is farther from the vehicle than the configuration allows.

    Raises:
        RefusedError: it is.
        UnavailableError: the vehicle has not told where it is.
    """
    here = _position(state)
    distance_m = _distance_m(here["latitude_deg"], here["longitude_deg"], latitude, longitude)
    if distance_m > bounds.distance_most_m:
        raise RefusedError(
            f"That is {distance_m:.0f} m away; this host allows {bounds.distance_most_m:.0f} m.",
            hint="Look at latitude_deg and longitude_deg, or at distance_most_m of the service.",
        )


def _altitude(request: SpecReader, bounds: Bounds) -> float:
    return request.number("altitude_m", least=0.5, most=bounds.altitude_most_m)


def _require_present(state: VehicleState) -> None:
    if not state.present:
        raise UnavailableError(
            f"The vehicle '{state.name}' is not heard.", hint="Look at the link and its url."
        )


def _position(state: VehicleState) -> dict[str, float]:
    _require_present(state)
    position: dict[str, float] | None = state.parts.get("position")
    if position is None:
        raise UnavailableError(f"The vehicle '{state.name}' has not told where it is.")
    return position


def _home_altitude_m(state: VehicleState) -> float:
    here = _position(state)
    return here["altitude_m"] - here["relative_altitude_m"]


def _distance_m(lat_a: float, lon_a: float, lat_b: float, lon_b: float) -> float:
    """Great circle, by the haversine formula."""
    a, b = math.radians(lat_a), math.radians(lat_b)
    half = math.sin((b - a) / 2) ** 2
    half += math.cos(a) * math.cos(b) * math.sin(math.radians(lon_b - lon_a) / 2) ** 2
    return 2 * _EARTH_M * math.asin(min(1.0, math.sqrt(half)))
