"""Missions: a list of items that a vehicle is given, gives back and forgets (MAVLink's mission protocol)."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any, Final

from pymavlink.dialects.v20 import common as mavlink

from edgehost.adapters.vehicles.exchange import Exchange, command_name, command_number
from edgehost.adapters.vehicles.orders import Bounds, numbers_in, position_in, require_near
from edgehost.adapters.vehicles.vehicle_modes import ARDUPILOT
from edgehost.adapters.vehicles.vehicle_state import VehicleState
from edgehost.domain.errors import RefusedError, TooLargeError, UnavailableError
from edgehost.domain.spec_reader import SpecReader

MOST_ITEMS: Final = 500
_TRIES: Final = 5
_FRAME: Final = mavlink.MAV_FRAME_GLOBAL_RELATIVE_ALT_INT
#: What any mission may hold; other items must be named by the configuration like other commands.
_FLYING: Final = frozenset(
    f"MAV_CMD_{name}"
    for name in (
        "NAV_WAYPOINT", "NAV_LOITER_UNLIM", "NAV_LOITER_TURNS", "NAV_LOITER_TIME", "NAV_RETURN_TO_LAUNCH",
        "NAV_LAND", "NAV_TAKEOFF", "NAV_DELAY", "DO_CHANGE_SPEED",
    )
)  # fmt: skip
_PLACED: Final = frozenset({"MAV_CMD_NAV_WAYPOINT", "MAV_CMD_NAV_LOITER_UNLIM", "MAV_CMD_NAV_LOITER_TURNS",
                            "MAV_CMD_NAV_LOITER_TIME"})  # fmt: skip

Item = tuple[int, tuple[float, ...]]  # MAV_CMD and its seven parameters, altitude above home


def mission_of(request: SpecReader, state: VehicleState, bounds: Bounds) -> list[Item]:
    """The items of ``{"items": [{"command", "params"?, "latitude_deg"?, "longitude_deg"?, "altitude_m"?}]}``.

    Raises:
        RefusedError: one of them makes no sense, or is out of bounds.
        UnavailableError: the vehicle has not told where it is.
    """
    if not request.has("items"):
        raise request.refused("items", "is missing.")
    tables = list(request.table_list("items"))
    request.refuse_unknown()
    if not tables or len(tables) > MOST_ITEMS:
        raise RefusedError(f"A mission has 1 to {MOST_ITEMS} items, not {len(tables)}.")
    bounds.require("set_mission")
    return [_item(table, state, bounds) for table in tables]


def _item(table: SpecReader, state: VehicleState, bounds: Bounds) -> Item:
    name = table.text("command", default="MAV_CMD_NAV_WAYPOINT", longest=100)
    number = command_number(name)
    if number is None:
        raise table.refused("command", f"is '{name}', which is no MAV_CMD of the dialect 'common'.")
    if name not in _FLYING:
        bounds.require(name)
    params = numbers_in(table, 4)
    frame = table.whole("frame", default=_FRAME, least=0, most=21)
    if frame not in {_FRAME, mavlink.MAV_FRAME_GLOBAL_RELATIVE_ALT}:
        raise table.refused("frame", "must be 3 or 6: altitudes of missions are above home.")
    latitude = longitude = 0.0
    if name in _PLACED or table.has("latitude_deg") or table.has("longitude_deg"):
        latitude, longitude = position_in(table)
        if name in _PLACED or latitude or longitude:  # zeros in other items: no place
            require_near(latitude, longitude, state, bounds)
    altitude_m = table.number("altitude_m", default=0.0, least=0.0, most=bounds.altitude_most_m)
    table.refuse_unknown()
    return number, (*params, latitude, longitude, altitude_m)


async def upload(exchange: Exchange, items: Sequence[Item]) -> None:
    """Give the vehicle a mission in place of the one that it has.

    Raises:
        RefusedError: it does not take it, with its reason in words.
        UnavailableError: it stops asking.
    """
    if exchange.state.autopilot == ARDUPILOT:
        items = [(mavlink.MAV_CMD_NAV_WAYPOINT, (0.0,) * 7), *items]  # its item 0 is home, and its own
    last: Any = mavlink.MAVLink_mission_count_message(*exchange.target, len(items), 0)
    tries = 0
    with exchange.expecting("MISSION_REQUEST_INT", "MISSION_REQUEST", "MISSION_ACK") as answers:
        exchange.send(last)
        for _ in range(_TRIES * (len(items) + 2)):
            try:
                async with asyncio.timeout(exchange.answer_s):
                    answer = await answers.next()
            except TimeoutError:
                tries += 1
                _ = exchange.target
                if tries >= _TRIES:
                    break
                exchange.send(last)
                continue
            if answer.mission_type != 0:
                continue
            if answer.get_type() == "MISSION_ACK":
                _require_accepted(answer.type)
                return
            if answer.seq < len(items):
                tries, last = 0, _wire(exchange, answer.seq, items[answer.seq])
                exchange.send(last)
    raise UnavailableError(f"The vehicle '{exchange.state.name}' stopped asking for its mission.")


async def download(exchange: Exchange) -> list[dict[str, Any]]:
    """The mission that the vehicle has.

    Raises:
        TooLargeError: it is longer than a host takes.
        UnavailableError: the vehicle does not tell it.
    """
    answer = await exchange.asked(
        lambda _: mavlink.MAVLink_mission_request_list_message(*exchange.target, 0),
        ("MISSION_COUNT",),
        lambda m: m.mission_type == 0,
        "a request of its mission",
    )
    if answer.count > MOST_ITEMS + 1:
        raise TooLargeError(f"The mission has {answer.count} items, more than {MOST_ITEMS}.")
    items = [_read(await _downloaded(exchange, seq)) for seq in range(answer.count)]
    exchange.send(mavlink.MAVLink_mission_ack_message(*exchange.target, mavlink.MAV_MISSION_ACCEPTED, 0))
    return items[1:] if exchange.state.autopilot == ARDUPILOT else items


async def _downloaded(exchange: Exchange, seq: int) -> Any:  # noqa: ANN401 - MISSION_ITEM_INT
    return await exchange.asked(
        lambda _: mavlink.MAVLink_mission_request_int_message(*exchange.target, seq, 0),
        ("MISSION_ITEM_INT",),
        lambda m: m.seq == seq and m.mission_type == 0,
        f"a request of item {seq} of its mission",
    )


async def clear(exchange: Exchange) -> None:
    """Have the vehicle forget its mission.

    Raises:
        RefusedError, UnavailableError: it does not.
    """
    answer = await exchange.asked(
        lambda _: mavlink.MAVLink_mission_clear_all_message(*exchange.target, 0),
        ("MISSION_ACK",),
        lambda m: m.mission_type == 0,
        "clearing its mission",
    )
    _require_accepted(answer.type)


def _wire(exchange: Exchange, seq: int, item: Item) -> Any:  # noqa: ANN401 - pymavlink's message
    command, params = item
    current = int(seq == 0)
    x, y = round(params[4] * 1e7), round(params[5] * 1e7)
    return mavlink.MAVLink_mission_item_int_message(
        *exchange.target, seq, _FRAME, command, current, 1, *params[:4], x, y, params[6], 0
    )


def _read(item: Any) -> dict[str, Any]:  # noqa: ANN401 - pymavlink's message
    params = [
        each if math.isfinite(each) else None for each in (item.param1, item.param2, item.param3, item.param4)
    ]
    return {
        "command": command_name(item.command),
        "frame": item.frame,
        "params": params,
        "latitude_deg": item.x / 1e7,
        "longitude_deg": item.y / 1e7,
        "altitude_m": item.z if math.isfinite(item.z) else None,
    }


def _require_accepted(result: int) -> None:
    if result == mavlink.MAV_MISSION_ACCEPTED:
        return
    known = mavlink.enums["MAV_MISSION_RESULT"].get(result)
    words = known.name.removeprefix("MAV_MISSION_").lower().replace("_", " ") if known else str(result)
    raise RefusedError(f"The vehicle refused the mission: {words}.")
