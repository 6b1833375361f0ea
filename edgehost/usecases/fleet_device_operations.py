"""What a host can be told from afar to do with a device behind it: the operations of components, with ``device``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from edgehost.domain.errors import (
    ConflictError,
    NotFoundError,
    RefusedError,
    UnavailableError,
)
from edgehost.domain.fleet_command import Operation
from edgehost.domain.names import NAME
from edgehost.domain.spec_reader import SpecReader
from edgehost.ports.device_control import DeviceControl
from edgehost.usecases.fleet_operation import FleetOperation, RunningCommand
from edgehost.usecases.fleet_operations import (
    LONGEST_VERSION,
    MOST_LINES,
    call_output,
    read_call,
    require_few,
)

#: A bridge that has just begun finds its device within this time.
_COMES_ONLINE_S: Final = 15.0
_LOOK_S: Final = 0.2
_DEVICE: Final = "device"
_MEANT: Final = {
    Operation.DEPLOY: "the component goes to this device behind the host",
    Operation.ROLLBACK: "without a component: this device goes back to its release before",
    Operation.RESTART: "instead of a component: this device begins anew",
    Operation.CALL: "the component runs on this device behind the host",
    Operation.LOGS: "instead of a component: what this device kept",
}


@dataclass(frozen=True, slots=True)
class Order:
    """The arguments of a command that names a device."""

    device: str
    component: str = ""
    version: str = ""
    function: str = ""
    payload: bytes = b""
    lines: int = 0


@dataclass(frozen=True, slots=True)
class OnDevices:
    """An operation of the host; where its arguments name a ``device``, the same on that device.

    Whoever commands a device must be allowed to command what runs there; who replaces it by another component, or
    commands a device that nobody has heard of yet, must be allowed to command the whole host.
    """

    operation: Operation
    host: FleetOperation
    devices: DeviceControl

    @property
    def capability(self) -> Mapping[str, Any]:
        """That of the host's operation, and the device."""
        own = self.host.capability
        return {**own, "arguments": {**own["arguments"], _DEVICE: _MEANT[self.operation]}}

    def about(self, arguments: Mapping[str, Any]) -> str:
        """The component that runs on the device; "" when another, or perhaps another, is to take its place.

        Raises:
            RefusedError: the arguments cannot be used, or name no device of this host.
        """
        if _DEVICE not in arguments:
            return self.host.about(arguments)
        order = self._read(arguments)
        found = self._find(order.device)
        slots, running = found["slots"], str(_runs(found).get("component", ""))
        if self.operation is Operation.CALL:
            return order.component  # nothing else answers
        if self.operation is Operation.DEPLOY and running != order.component:
            return order.component if slots is not None and not running else ""
        return running

    def turn(self, arguments: Mapping[str, Any]) -> str | None:
        """What changes a device is done in turn."""
        if _DEVICE not in arguments:
            return self.host.turn(arguments)
        order = self._read(arguments)
        return None if self.operation in {Operation.CALL, Operation.LOGS} else f"device {order.device}"

    async def run(self, running: RunningCommand) -> Mapping[str, Any]:
        """Do it once the device is there."""
        if _DEVICE not in running.arguments:
            return await self.host.run(running)
        order = self._read(running.arguments)
        await self._online(order.device, running.tell)
        return await _WORK[self.operation](self.devices, order, running)

    async def resume(self, running: RunningCommand) -> Mapping[str, Any]:
        """Again, where that changes nothing twice; a call never."""
        if _DEVICE not in running.arguments:
            return await self.host.resume(running)
        if self.operation is Operation.CALL:
            raise UnavailableError("The host was restarted during the call; what it did is not known.")
        require_few(running)
        return await self.run(running)

    def _find(self, name: str) -> Mapping[str, Any]:
        for each in self.devices.devices():
            if each["name"] == name:
                return each
        raise NotFoundError(f"This host bridges no device '{name}'.", hint="Its twin 'devices' names them.")

    async def _online(self, name: str, tell: Callable[[str], None]) -> None:
        found = self._find(name)
        if not found["online"]:
            tell(f"It waits for '{name}': {found['reason']}")
        try:
            async with asyncio.timeout(_COMES_ONLINE_S):
                while not self._find(name)["online"]:  # noqa: ASYNC110 - bridges tell nobody in particular
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            reason = self._find(name)["reason"]
            raise UnavailableError(f"The device '{name}' is offline: {reason}") from None

    def _read(self, arguments: Mapping[str, Any]) -> Order:
        table = SpecReader(arguments, error=RefusedError)
        device = table.text(_DEVICE, pattern=NAME)
        match self.operation:
            case Operation.DEPLOY:
                component = table.text("component", pattern=NAME)
                order = Order(
                    device, component, version=table.text("version", default="", longest=LONGEST_VERSION)
                )
            case Operation.CALL:
                component, function, payload = read_call(table)
                order = Order(device, component, function=function, payload=payload)
            case Operation.LOGS:
                order = Order(device, lines=table.whole("lines", default=200, least=1, most=MOST_LINES))
            case _:
                order = Order(device)
        table.refuse_unknown()
        return order


async def _deploy(devices: DeviceControl, order: Order, running: RunningCommand) -> Mapping[str, Any]:
    running.tell(f"It deploys {order.component} to '{order.device}'.")
    try:
        return _shown(await devices.deploy_to_device(order.device, order.component, order.version or None))
    except ConflictError:  # what runs there already is a success
        found = await devices.device(order.device)
        if _runs(found).get("component") != order.component:
            raise
        return _shown(found)


async def _roll_back(devices: DeviceControl, order: Order, running: RunningCommand) -> Mapping[str, Any]:
    found = await devices.device(order.device)
    if found["slots"] is None:
        raise UnavailableError(f"The device '{order.device}' does not say what runs there.")
    before = running.memo.get("running")
    if before is not None and _runs(found).get("digest", "") != before:
        return _shown(found)  # it went back before the host was restarted
    await running.remember({"running": _runs(found).get("digest", "")})
    running.committed = True
    return _shown(await devices.roll_device_back(order.device))


async def _restart(devices: DeviceControl, order: Order, running: RunningCommand) -> Mapping[str, Any]:
    running.committed = True
    await devices.reset_device(order.device)
    return {"restarted": order.device}


async def _call(devices: DeviceControl, order: Order, running: RunningCommand) -> Mapping[str, Any]:
    running.committed = True
    output = await devices.call_device(order.device, order.component, order.function, order.payload)
    return call_output(output)


async def _logs(devices: DeviceControl, order: Order, running: RunningCommand) -> Mapping[str, Any]:  # noqa: ARG001 - as the others
    text = await devices.device_log(order.device)
    return {"device": order.device, "lines": text.splitlines()[-order.lines :]}


_WORK: Final = {
    Operation.DEPLOY: _deploy,
    Operation.ROLLBACK: _roll_back,
    Operation.RESTART: _restart,
    Operation.CALL: _call,
    Operation.LOGS: _logs,
}


def devices_twin(devices: DeviceControl) -> Mapping[str, Any]:
    """The twin property ``devices``: by name, without what moves all the time."""
    return {each["name"]: _twin(each) for each in devices.devices()}


def _twin(device: Mapping[str, Any]) -> Mapping[str, Any]:
    found: dict[str, Any] = {
        "state": "online" if device["online"] else "offline",
        "since": round(device["since"]),
    }
    if not device["online"]:
        found["reason"] = device["reason"]
    identity, slots = device["identity"], device["slots"]
    if identity is not None:
        found |= {key: identity[key] for key in ("board", "core", "uid", "firmware", "engine")}
        found["budgets"] = {key: identity[key] for key in ("slot_bytes", "memory_bytes", "body_bytes")}
    if slots is not None:
        found |= _runs(device)
        found["can_roll_back"] = slots["can_roll_back"]
    return found | _firmware_twin(device.get("firmware"))


def _firmware_twin(firmware: Mapping[str, Any] | None) -> dict[str, Any]:
    """What is wanted, and where a flash is, where there is something to say."""
    if firmware is None:
        return {}
    flash = firmware["flash"]
    said = {
        "firmware": firmware["running"],
        "firmware_image": firmware["image"],
        "firmware_wanted": firmware["wanted"],
        "firmware_flash": "" if flash is None else flash["stage"],
        "firmware_lost": firmware["lost"],
    }
    return {key: value for key, value in said.items() if value}


def _runs(device: Mapping[str, Any]) -> dict[str, Any]:
    slots = device["slots"]
    running = None if slots is None else slots["running"]
    if running is None:
        return {}
    return {key: running[key] for key in ("component", "version", "sequence", "digest")}


def _shown(device: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"device": device["name"], **_runs(device)}


def with_devices(
    operations: Mapping[Operation, FleetOperation], devices: DeviceControl
) -> dict[Operation, FleetOperation]:
    """Those of them that devices can do, for devices as well."""
    return {
        operation: OnDevices(operation, host, devices)
        for operation, host in operations.items()
        if operation in _WORK
    }
