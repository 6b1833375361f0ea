"""A software vehicle of ours, from MAVLink's documentation, with the faults that a genuine one has on bad days.

It speaks as ArduPilot's copter (parameters as numbers, item 0 of a mission is home) or as PX4 (integers as bytes).
MAVSDK as a ground station judges it in test_software_vehicle.py.
"""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from pymavlink.dialects.v20 import common as mavlink

from edgehost.adapters.vehicles.mavlink_codec import MavlinkCodec
from edgehost.adapters.vehicles.parameter_values import raw_value, with_raw_value

COPTER, PX4 = mavlink.MAV_AUTOPILOT_ARDUPILOTMEGA, mavlink.MAV_AUTOPILOT_PX4
_MODES = {
    COPTER: {"GUIDED": 4, "LAND": 9, "RTL": 6},
    PX4: {"LAND": 4 << 16 | 6 << 24, "RTL": 4 << 16 | 5 << 24},
}
INT32, REAL32 = mavlink.MAV_PARAM_TYPE_INT32, mavlink.MAV_PARAM_TYPE_REAL32


@dataclass
class Faults:
    """What goes wrong, by the name or number of the message or command that it goes wrong with."""

    unanswered: dict[str, int] = field(default_factory=dict)  # message -> so many times nothing comes back
    results: dict[int, int] = field(default_factory=dict)  # command -> MAV_RESULT
    progress: dict[int, tuple[int, ...]] = field(
        default_factory=dict
    )  # command -> percents before the result
    holes: frozenset[int] = frozenset()  # indexes of parameters that a list leaves out
    clamp: dict[str, float] = field(default_factory=dict)  # parameter -> what it keeps whatever is written
    silent: bool = False  # on air no more


class SoftwareVehicle(asyncio.DatagramProtocol):
    """One vehicle on a UDP socket; everything happens when a message comes, or when ``beat`` is called."""

    def __init__(self, autopilot: int = COPTER, *, system_id: int = 1, key: bytes | None = None) -> None:
        self.autopilot, self.system_id = autopilot, system_id
        self.codec = MavlinkCodec(system_id, 1, key=key, unix_s=2e9)
        self.faults = Faults()
        self.armed, self.custom_mode, self.height_m = False, 0, 0.0
        self.latitude, self.longitude = 47.3977, 8.5456
        self.parameters: dict[str, tuple[float, int]] = {
            "ANGLE_MAX": (3000, INT32),
            "BATT_LOW_VOLT": (10.5, REAL32),
            "SYSID_THISMAV": (system_id, INT32),
        } | {f"SERVO{number}_TRIM": (1500.0 + number, REAL32) for number in range(1, 60)}
        self.mission: list[Any] = []
        self.heard: list[Any] = []
        self.came = asyncio.Event()
        self._coming: tuple[int, list[Any]] | None = None
        self._transport: Any = None
        self._peer: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._peer = addr
        for message in self.codec.fed(data, whole=True):
            self.heard.append(message)
            if not self.faults.silent and not self._ignored(message.get_type()):
                self._answer(message)
        self.came.set()

    def say(self, message: Any) -> None:
        if not self.faults.silent:
            self.raw(self.codec.framed(message))

    def raw(self, content: bytes) -> None:
        self._transport.sendto(content, self._peer)

    def beat(self) -> None:
        """What it says by itself every now and then."""
        flags = mavlink.MAV_MODE_FLAG_CUSTOM_MODE_ENABLED | (128 if self.armed else 0)
        state = mavlink.MAV_STATE_ACTIVE if self.armed else mavlink.MAV_STATE_STANDBY
        self.say(mavlink.MAVLink_heartbeat_message(2, self.autopilot, flags, self.custom_mode, state, 3))
        self.say(mavlink.MAVLink_sys_status_message(0, 0, 0, 100, 12_300, 250, 87, 0, 0, 0, 0, 0, 0))
        self.say(mavlink.MAVLink_gps_raw_int_message(0, 3, 0, 0, 0, 90, 90, 0, 0, 14))
        self.say(mavlink.MAVLink_attitude_message(0, math.radians(1.5), math.radians(-2), 1.0, 0, 0, 0))
        height, sea = round(self.height_m * 1000), round(488_000 + self.height_m * 1000)
        x, y = round(self.latitude * 1e7), round(self.longitude * 1e7)
        self.say(mavlink.MAVLink_global_position_int_message(0, x, y, sea, height, 0, 0, 0, 9000))
        self.say(mavlink.MAVLink_extended_sys_state_message(0, 2 if self.height_m > 0 else 1))

    def text(self, text: str, severity: int = mavlink.MAV_SEVERITY_CRITICAL) -> None:
        pieces = [text[at : at + 50] for at in range(0, len(text), 50)]
        number = 7 if len(pieces) > 1 else 0
        for at, piece in enumerate(pieces):
            self.say(mavlink.MAVLink_statustext_message(severity, piece.encode(), number, at))

    async def until(self, kind: str, count: int = 1) -> list[Any]:
        """Messages of this kind that it was sent."""
        async with asyncio.timeout(30):
            while len(found := [each for each in self.heard if each.get_type() == kind]) < count:
                self.came.clear()
                await self.came.wait()
        return found

    def _ignored(self, kind: str) -> bool:
        left = self.faults.unanswered.get(kind, 0)
        self.faults.unanswered[kind] = left - 1
        return left > 0

    def _answer(self, message: Any) -> None:
        answer = getattr(self, f"_on_{message.get_type().lower()}", None)
        if answer is not None and message.target_system in {0, self.system_id}:
            answer(message)

    def _on_command_int(self, message: Any) -> None:
        if message.command == mavlink.MAV_CMD_DO_REPOSITION:
            self.latitude, self.longitude, self.height_m = message.x / 1e7, message.y / 1e7, message.z - 488
        self._on_command_long(message)

    def _on_command_long(self, message: Any) -> None:
        command, source = message.command, (message.get_srcSystem(), message.get_srcComponent())
        for percent in self.faults.progress.get(command, ()):
            self.say(mavlink.MAVLink_command_ack_message(command, 5, percent, 0, *source))
        result = self.faults.results.get(command, self._done(command, message))
        self.say(mavlink.MAVLink_command_ack_message(command, result, 255, 0, *source))
        if result == mavlink.MAV_RESULT_ACCEPTED and command < 500:
            self.beat()

    def _done(self, command: int, message: Any) -> int:
        modes = _MODES[self.autopilot]
        if command == mavlink.MAV_CMD_COMPONENT_ARM_DISARM:
            self.armed = message.param1 == 1
        elif command == mavlink.MAV_CMD_NAV_TAKEOFF:
            if not self.armed:
                return int(mavlink.MAV_RESULT_FAILED)
            above = message.param7 - (488 if self.autopilot == PX4 else 0)
            self.height_m = 2.5 if math.isnan(above) else above  # its own default
        elif command == mavlink.MAV_CMD_NAV_LAND:
            self.height_m, self.custom_mode = 0.0, modes["LAND"]
        elif command == mavlink.MAV_CMD_NAV_RETURN_TO_LAUNCH:
            self.custom_mode = modes["RTL"]
        elif command == mavlink.MAV_CMD_DO_SET_MODE:
            px4 = int(message.param2) << 16 | int(message.param3) << 24
            self.custom_mode = px4 if self.autopilot == PX4 else int(message.param2)
        elif command == mavlink.MAV_CMD_REQUEST_MESSAGE:
            if message.param1 != 148:
                return int(mavlink.MAV_RESULT_DENIED)
            encoding = 16 if self.autopilot == PX4 else 131_072
            version = mavlink.MAVLink_autopilot_version_message
            self.say(
                version(encoding | 8192 | 4, 4 << 24 | 5 << 16, 0, 0, 0, [0] * 8, [0] * 8, [0] * 8, 0, 0, 99)
            )
        elif command not in {511, mavlink.MAV_CMD_DO_REPOSITION, mavlink.MAV_CMD_MISSION_START}:
            return int(mavlink.MAV_RESULT_UNSUPPORTED)
        return int(mavlink.MAV_RESULT_ACCEPTED)

    def _on_param_request_list(self, _message: Any) -> None:
        for index, name in enumerate(self.parameters):
            if index not in self.faults.holes:
                self._tell_parameter(name, index)

    def _on_param_request_read(self, message: Any) -> None:
        names = list(self.parameters)
        name = message.param_id if message.param_index < 0 else names[message.param_index]
        if name in self.parameters:
            self._tell_parameter(name, names.index(name))
        else:
            self.say(mavlink.MAVLink_param_error_message(255, 190, name.encode(), -1, 1))

    def _on_param_set(self, message: Any) -> None:
        name, value = message.param_id, message.param_value
        kind = self.parameters[name][1]
        if kind == INT32 and self.autopilot == PX4:
            (value,) = struct.unpack("<i", raw_value(message))
        self.parameters[name] = (self.faults.clamp.get(name, value), kind)
        self._tell_parameter(name, list(self.parameters).index(name))

    def _tell_parameter(self, name: str, index: int) -> None:
        value, kind = self.parameters[name]
        message = mavlink.MAVLink_param_value_message(name.encode(), value, kind, len(self.parameters), index)
        if kind == INT32 and self.autopilot == PX4:
            message = with_raw_value(message, struct.pack("<i", int(value)))
        self.say(message)

    def _on_mission_count(self, message: Any) -> None:
        self._coming = (message.count, [])
        self.say(
            mavlink.MAVLink_mission_request_int_message(
                message.get_srcSystem(), message.get_srcComponent(), 0, 0
            )
        )

    def _on_mission_item_int(self, message: Any) -> None:
        source = (message.get_srcSystem(), message.get_srcComponent())
        if self._coming is None:
            return
        count, items = self._coming
        if message.seq == len(items):
            items.append(message)
        if len(items) < count:
            self.say(mavlink.MAVLink_mission_request_int_message(*source, len(items), 0))
            return
        self.mission, self._coming = items, None
        self.say(mavlink.MAVLink_mission_ack_message(*source, 0, 0))

    def _on_mission_request_list(self, message: Any) -> None:
        source = (message.get_srcSystem(), message.get_srcComponent())
        self.say(mavlink.MAVLink_mission_count_message(*source, len(self.mission), 0))

    def _on_mission_request_int(self, message: Any) -> None:
        item, source = self.mission[message.seq], (message.get_srcSystem(), message.get_srcComponent())
        fields = (item.param1, item.param2, item.param3, item.param4, item.x, item.y, item.z, 0)
        head = (message.seq, item.frame, item.command, 0, 1)
        self.say(mavlink.MAVLink_mission_item_int_message(*source, *head, *fields))

    def _on_mission_clear_all(self, message: Any) -> None:
        self.mission = []
        source = (message.get_srcSystem(), message.get_srcComponent())
        self.say(mavlink.MAVLink_mission_ack_message(*source, 0, 0))


@asynccontextmanager
async def flying(
    udp_port: int,
    autopilot: int = COPTER,
    *,
    beat_s: float = 0.1,
    key: bytes | None = None,
    system_id: int = 1,
) -> AsyncIterator[SoftwareVehicle]:
    """A vehicle that speaks to a ground station at this port of the loopback, beating by itself."""
    loop = asyncio.get_running_loop()
    transport, vehicle = await loop.create_datagram_endpoint(
        lambda: SoftwareVehicle(autopilot, key=key, system_id=system_id), local_addr=("127.0.0.1", 0)
    )
    vehicle._peer = ("127.0.0.1", udp_port)

    async def beating() -> None:
        while True:
            vehicle.beat()
            await asyncio.sleep(beat_s)

    task = asyncio.create_task(beating(), name="vehicle")
    try:
        yield vehicle
    finally:
        task.cancel()
        transport.close()
        await asyncio.wait({task})
