"""The service ``mavlink``: one vehicle on a link that is kept up, watched, asked and told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from secrets import SystemRandom
from typing import Any, Final

from pymavlink.dialects.v20 import common as mavlink

from edgehost.adapters.vehicles import missions, parameters
from edgehost.adapters.vehicles.exchange import Exchange, command_number
from edgehost.adapters.vehicles.mavlink_codec import MavlinkCodec, key_of
from edgehost.adapters.vehicles.mavlink_links import Link, is_link, open_link
from edgehost.adapters.vehicles.orders import TASKS, Bounds, Task, opening_orders, task_of
from edgehost.adapters.vehicles.parameter_values import raw_value, value_of
from edgehost.adapters.vehicles.vehicle_state import Fact, VehicleState
from edgehost.config_services import MavlinkOptions
from edgehost.domain.backoff import Backoff
from edgehost.domain.errors import InvalidConfigError, RefusedError, UnavailableError
from edgehost.domain.event_rate import EventRate
from edgehost.domain.spec_reader import SpecReader
from edgehost.ports.service import Service, ServiceHealth, ServiceNotice
from remotes.owned_tasks import owned_tasks

log = logging.getLogger("edgehost.vehicles")

_PREFIX: Final = "edgehost.vehicle."
_BACKOFF: Final = Backoff(0.5, 10.0)
_HEARTBEAT_S: Final = 1.0  # MAVLink's heartbeat protocol
_SHOWN_S: Final = 3.0  # a heartbeat or two after an order
_FACTS_PER_S: Final = 20.0  # a vehicle that says more is not listened to
_ASK_AGAIN_S: Final = 5.0
_LONGEST_NAME: Final = 16  # of a parameter, by the protocol
_MOST_KEY_BYTES: Final = 4096

_Work = Callable[[], Awaitable[Any]]
_NOBODY: Final = (mavlink.MAV_TYPE_GCS, mavlink.MAV_AUTOPILOT_INVALID)


class MavlinkService:
    """A Service over pymavlink's codec and asyncio's transports."""

    functions: Mapping[str, str] = {
        "telemetry": "what the vehicle said last: {}",
        "arm": 'let its motors turn: {"force"?}',
        "disarm": 'stop its motors: {"force"?}',
        "mode": 'change its flight mode: {"mode"}',
        "takeoff": 'rise: {"altitude_m"} above home',
        "land": "land where it is: {}",
        "rtl": "return to launch: {}",
        "goto": 'fly there: {"latitude_deg", "longitude_deg", "altitude_m", "speed_m_s"?}, altitude above home',
        "command": 'any other MAV_CMD: {"command", "params"?, "frame"?}',
        "parameters": 'all parameters: {"prefix"?}',
        "parameter": 'one parameter: {"name"}',
        "set_parameter": 'write one, and read it back: {"name", "value"}',
        "mission": "the mission that it has: {}",
        "set_mission": 'give it one: {"items": [{"command"?, "params"?, "latitude_deg"?, "longitude_deg"?, "altitude_m"?}]}',
        "clear_mission": "have it forget its mission: {}",
        "start_mission": "fly the mission: {}",
    }
    events: Mapping[str, str] = {
        f"{_PREFIX}{name}": sentence
        for name, sentence in {
            "found": 'a vehicle is heard: {"system_id", "again"}',
            "lost": 'it is silent: {"heard_s", "why", "armed"}',
            "telemetry": "what it said, when that has changed, at most every telemetry_s",
            "armed": "its motors may turn",
            "disarmed": "its motors may not turn any more",
            "mode": 'its flight mode changed: {"mode", "before"}',
            "landed": 'it took off or landed: {"landed", "before"}',
            "text": 'it said something to people: {"severity", "text"}',
            "progress": 'how far an order is: {"function", "percent"}, -1 when it does not say',
        }.items()
    }

    def __init__(
        self, name: str, options: MavlinkOptions, notice: ServiceNotice, *, key: bytes | None = None
    ) -> None:
        self._name, self._options, self._notice = name, options, notice
        self._state = VehicleState(name, options.silent_s, options.vehicle_id)
        self._own = (options.system_id, options.component_id)
        self._key = key
        self._exchange = Exchange(self._send, self._state, self._own)
        self._bounds = Bounds(frozenset(options.commands), options.altitude_most_m, options.distance_most_m)
        self._link: Link | None = None
        self._codec = self._new_codec()
        self._trouble = "not opened yet"
        self._rate = EventRate(_FACTS_PER_S)
        self._told: dict[str, Any] = {}
        self._asked_at = 0.0
        self._beat = asyncio.Event()  # set when a heartbeat came
        self._bad = self._unsent = 0

    async def run(self) -> None:
        """Keep the link open until cancelled."""
        attempt = 0
        while True:
            try:
                async with open_link(self._options.url) as link:
                    attempt, self._link, self._trouble = 0, link, ""
                    await self._read(link)
            except (OSError, TimeoutError) as problem:
                self._trouble = str(problem) or type(problem).__name__
            finally:
                self._link = None
            self._tell(self._state.gone(_now(), self._trouble))
            await asyncio.sleep(_BACKOFF.delay_s(attempt, SystemRandom().random()))
            attempt += 1

    async def watch(self) -> None:
        """Send our heartbeat, and notice silence, until cancelled."""
        tick_s = min(_HEARTBEAT_S, self._options.telemetry_s, self._options.silent_s / 4)
        next_beat = planned = 0.0
        stalled = False
        while True:
            now = _now()
            # After this host itself stood still, what the vehicle said meanwhile is still to be read.
            stalled = not stalled and now - planned > tick_s
            if now >= next_beat:
                next_beat = now + _HEARTBEAT_S - tick_s / 2
                self._send(mavlink.MAVLink_heartbeat_message(*_NOBODY, 0, 0, mavlink.MAV_STATE_ACTIVE, 3))
            facts = [] if stalled else self._state.due(now)
            if facts and self._link is not None:
                self._link.peer = None  # it may come back from elsewhere
            self._tell(facts)
            self._tell_telemetry(now)
            if self._state.present and "position" not in self._state.parts:
                self._ask_for_telemetry(now)
            planned = now + tick_s
            await asyncio.sleep(tick_s)

    async def call(self, function: str, given: Any, *, timeout_s: float) -> Any:  # noqa: ANN401 - JSON
        """Ask or tell the vehicle.

        Raises:
            RefusedError: the input is wrong, this host does not let it be done, or the vehicle refuses.
            NotFoundError: there is no such parameter.
            UnavailableError: the vehicle is not there, does not answer, or not now.
        """
        if not isinstance(given, Mapping):
            raise RefusedError(
                f"The service '{self._name}' wants an object; {{}} when there is nothing to say."
            )
        request = SpecReader(given, error=RefusedError)
        if function == "telemetry":
            request.refuse_unknown()
            return self._state.snapshot(_now())
        kind, work = self._work(function, request)
        try:
            async with asyncio.timeout(timeout_s), self._exchange.turn(kind):
                return await work()
        except TimeoutError:
            raise UnavailableError(
                f"The vehicle '{self._name}' did not finish '{function}' in time.",
                hint="It may still do it: look at its telemetry before you ask again.",
            ) from None

    def health(self) -> ServiceHealth:
        """Whether the vehicle is heard."""
        link = self._link
        if link is None:
            return ServiceHealth(
                "warning", self._trouble, "Look at url: the device, the address, its rights."
            )
        if not self._state.present:
            return ServiceHealth(
                "warning",
                "no vehicle is heard",
                "Look at the vehicle's power, its radio and its MAVLink port.",
            )
        bad = f"{self._bad + self._codec.bad} bad frames, " if self._bad + self._codec.bad else ""
        lost = self._state.lost_messages
        said = f"{bad}{lost} lost, {link.dropped} dropped, {self._unsent} not sent" if bad or lost else ""
        return ServiceHealth("ok", said)

    def _work(self, function: str, request: SpecReader) -> tuple[str, _Work]:
        """What a call does once it is its turn, and of which kind it is; its input is judged before."""
        if function in TASKS:
            task = task_of(function, request, self._state, self._bounds)
            return str(task.order.command), lambda: self._ordered(function, task)
        if function in {"parameters", "parameter", "set_parameter"}:
            return "parameters", self._parameter_work(function, request)
        return "mission", self._mission_work(function, request)

    async def _ordered(self, function: str, task: Task) -> dict[str, Any]:
        await self._exchange.commanded(task.order, lambda percent: self._progress(function, percent))
        if task.shown is None:
            return {"result": "accepted"}
        return {"result": "accepted", "confirmed": await self._shown(task.shown)}

    def _mission_work(self, function: str, request: SpecReader) -> _Work:
        if function == "set_mission":
            items = missions.mission_of(request, self._state, self._bounds)
            return lambda: self._uploaded(items)
        request.refuse_unknown()
        if function == "mission":
            return self._mission
        self._bounds.require("clear_mission")
        return self._cleared

    def _parameter_work(self, function: str, request: SpecReader) -> _Work:
        if function == "parameters":
            prefix = request.text("prefix", default="", longest=_LONGEST_NAME)
            request.refuse_unknown()
            return lambda: self._parameters(prefix)
        name = request.text("name", longest=_LONGEST_NAME)
        if not name.isascii() or not name.isprintable() or not name:
            raise request.refused("name", "must be 1 to 16 printable ASCII characters.")
        if function == "parameter":
            request.refuse_unknown()
            return lambda: self._parameter(name)
        value = request.number("value", least=-3.4e38, most=3.4e38)
        request.refuse_unknown()
        self._bounds.require("set_parameter")
        return lambda: parameters.write_parameter(self._exchange, name, value)

    async def _parameter(self, name: str) -> dict[str, Any]:
        answer = await parameters.read_parameter(self._exchange, name)
        value = value_of(raw_value(answer), answer.param_type, bytewise=self._state.bytewise)
        return {"name": name, "value": value}

    async def _parameters(self, prefix: str) -> dict[str, Any]:
        known = await parameters.list_parameters(self._exchange)
        found = {name: value for name, value in known.items() if name.startswith(prefix)}
        return {"parameters": found, "count": len(known)}

    async def _mission(self) -> dict[str, Any]:
        return {"items": await missions.download(self._exchange)}

    async def _uploaded(self, items: list[missions.Item]) -> dict[str, Any]:
        await missions.upload(self._exchange, items)
        return {"result": "accepted", "items": len(items)}

    async def _cleared(self) -> dict[str, Any]:
        await missions.clear(self._exchange)
        return {"result": "accepted"}

    async def _shown(self, shows: Callable[[VehicleState], bool]) -> bool:
        """Whether a heartbeat shows soon that an order was followed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_SHOWN_S):
                while not shows(self._state):
                    self._beat.clear()
                    await self._beat.wait()
        return shows(self._state)

    async def _read(self, link: Link) -> None:
        self._bad += self._codec.bad
        self._codec = self._new_codec()
        while True:
            content, source = await link.received()
            for message in self._codec.fed(content, whole=link.whole):
                self._take(link, message, source)
            await asyncio.sleep(0)  # a flood must not keep the loop for itself

    def _take(self, link: Link, message: Any, source: Any) -> None:  # noqa: ANN401 - pymavlink's message
        state, now = self._state, _now()
        if message.get_srcSystem() == self._own[0]:
            return  # our own, or another ground station's, come back
        was_present = state.present
        facts = state.heard(message, now)
        if state.present and not was_present:
            link.peer = source
            self._asked_at = -_ASK_AGAIN_S
            self._ask_for_telemetry(now)
        if state.is_mine(message):
            if message.get_type() == "HEARTBEAT":
                self._beat.set()
            self._exchange.heard(message)
        self._tell(facts)

    def _ask_for_telemetry(self, now: float) -> None:
        if now - self._asked_at < _ASK_AGAIN_S and self._asked_at > 0:
            return
        self._asked_at = now
        for order in opening_orders(self._options.telemetry_s):
            self._exchange.tell(order)

    def _send(self, message: Any) -> None:  # noqa: ANN401 - pymavlink's message
        if self._link is not None and not self._link.send(self._codec.framed(message)):
            self._unsent += 1

    def _tell(self, facts: list[Fact]) -> None:
        for name, data in facts:
            if name == "lost":
                self._exchange.gone()
            if name == "found":
                self._told = {}  # it is told anew, even when it has not moved
            if name in {"lost", "found"} or self._rate.admits(name, _now()):
                self._notice(f"{_PREFIX}{name}", {"vehicle": self._name, **data})

    def _progress(self, function: str, percent: int) -> None:
        self._tell([("progress", {"function": function, "percent": percent})])

    def _tell_telemetry(self, now: float) -> None:
        if not self._state.present or now - self._told.get("at", -1e9) < self._options.telemetry_s * 0.9:
            return
        snapshot = self._state.snapshot(now)
        changing = {name: value for name, value in snapshot.items() if name != "heard_s"}
        if changing != self._told.get("what"):
            self._told = {"at": now, "what": changing}
            self._notice(f"{_PREFIX}telemetry", snapshot)

    def _new_codec(self) -> MavlinkCodec:
        return MavlinkCodec(*self._own, key=self._key, unix_s=datetime.now(UTC).timestamp())


@asynccontextmanager
async def open_mavlink_service(
    name: str, options: MavlinkOptions, notice: ServiceNotice
) -> AsyncIterator[Service]:
    """A service that opens its link by itself; a vehicle that is not there yet is no error.

    Raises:
        InvalidConfigError: the url is none, or a command is unknown.
        UnavailableError: the signing key cannot be read.
    """
    if not is_link(options.url):
        raise InvalidConfigError(
            f"services.{name}.url is '{options.url}', which is no link.",
            hint="Such as udpin:127.0.0.1:14550, udpout:HOST:PORT, tcp:HOST:PORT or /dev/ttyACM0,57600.",
        )
    if options.vehicle_id == options.system_id:
        raise InvalidConfigError(
            f"services.{name}.vehicle_id is {options.vehicle_id}, which is this host's own system_id."
        )
    for command in options.commands:
        if command.startswith("MAV_CMD_") and command_number(command) is None:
            raise InvalidConfigError(
                f"services.{name}.commands names {command}, which MAVLink does not have."
            )
    key = None
    if options.signing_key_file is not None:
        key = key_of(await asyncio.to_thread(_read_key, options.signing_key_file))
    service = MavlinkService(name, options, notice, key=key)
    async with owned_tasks() as spawn:
        spawn(service.run(), f"edgehost.service.{name}")
        spawn(service.watch(), f"edgehost.service.{name}.watch")
        yield service


def _read_key(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_KEY_BYTES)
    except OSError as problem:
        raise UnavailableError(f"{path} cannot be read: {problem.strerror}.") from None
    line = content.partition(b"\n")[0].strip().decode("utf-8", "replace")
    if not line:
        raise UnavailableError(f"{path} holds no key in its first line.")
    return line


def _now() -> float:
    return asyncio.get_running_loop().time()
