"""The devices behind a host: their bridges, and what an operator may ask of them. Without devices nothing is imported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, cast

from edgehost.composition.rooms import Rooms
from edgehost.config_devices import DeviceSettings
from edgehost.domain.board import Board, WasmFacts
from edgehost.domain.errors import NotFoundError
from edgehost.ports.board_catalog import BoardCatalog
from edgehost.ports.device import BridgeSettings
from edgehost.usecases.bridge_device import DeviceEars, Devices
from edgehost.usecases.control_host import ControlHost
from edgehost.usecases.deployment_firmware import FirmwareHands
from edgehost.usecases.manage_components import ComponentManager
from edgehost.usecases.record_telemetry import TelemetryRecords, TelemetryRing
from remotes.owned_tasks import Spawn, keep_running

if TYPE_CHECKING:
    from edgehost.adapters.services.device_service import DeviceService
    from edgehost.composition.firmware_of_devices import DeviceFirmware
    from edgehost.usecases.deploy_to_device import DeployToDevice
    from edgehost.usecases.reconcile_deployment import DeploymentReconciler

#: The kind of services that lead to devices.
_SERVICE = "device"
_EMULATED = "sim-"
_BAUD = 115_200


@dataclass(slots=True)
class DeviceRooms:
    """The devices of a host, and what is done with them."""

    devices: Devices
    deployer: DeployToDevice | None = None
    hands: FirmwareHands | None = None
    firmware: DeviceFirmware | None = None


async def open_devices(rooms: Rooms, manager: ComponentManager) -> DeviceRooms:
    """The devices of the configuration; their bridges do not run yet."""
    devices = Devices()
    if not rooms.config.devices:
        return DeviceRooms(devices)
    from edgehost.adapters.boards.device_bridge import DeviceBridge  # noqa: PLC0415 - for hosts with devices
    from edgehost.composition.boards import make_catalog, make_lines  # noqa: PLC0415 - as above
    from edgehost.composition.firmware_of_devices import open_firmware  # noqa: PLC0415 - as above
    from edgehost.usecases.deploy_devices import DeviceHands  # noqa: PLC0415 - as above
    from edgehost.usecases.deploy_to_device import DeployToDevice  # noqa: PLC0415 - as above

    lines = make_lines()
    catalog = cache(
        lambda: make_catalog(rooms.config.boards.folder)
    )  # some fifty files: read when one is asked for
    for name, settings in rooms.config.devices.items():
        devices.known[name] = DeviceBridge(
            BridgeSettings(
                name,
                settings.line,
                _baud(settings, catalog),
                settings.fast_baud,
                settings.interval_ms,
                settings.silence_s,
            ),
            lines,
            devices.ears.setdefault(name, DeviceEars(name, rooms.bus, rooms.clock)),
            rooms.clock,
            board=settings.board.removeprefix(_EMULATED),
        )
    deployer = DeployToDevice(
        devices, lambda: manager.followers, rooms.bus, rooms.clock, budget_of=_budgets(catalog)
    )
    firmware = await open_firmware(
        rooms,
        devices,
        lambda: [each.remote for each in manager.followers],
        lines=lines,
        catalog=catalog,
        board_of=lambda board: _board(board, catalog()),
    )
    return DeviceRooms(devices, deployer, DeviceHands(devices, deployer, firmware.hands), firmware)


def start_devices(
    rooms: Rooms, opened: DeviceRooms, control: ControlHost, spawn: Spawn, reconciler: DeploymentReconciler
) -> None:
    """Bring the bridges up, and let the operator reach them; ``reconciler`` is told when a device moved."""
    devices, firmware = opened.devices, opened.firmware
    if opened.deployer is None or firmware is None:
        return
    from edgehost.usecases.control_devices import ControlDevices  # noqa: PLC0415 - as above
    from edgehost.usecases.view_firmware import FirmwareView  # noqa: PLC0415 - as above

    def changed() -> None:
        firmware.flash.writer.moved()
        reconciler.wake()

    firmware.hands.wake = reconciler.wake
    view = FirmwareView(
        firmware.flash, lambda: [plan for plans in reconciler.standing.values() for plan in plans]
    )
    control.bridged = ControlDevices(devices, opened.deployer, view)
    control.more_status["devices"] = lambda: {
        name: device.state.document() | {"firmware": view.of(name)} for name, device in devices.known.items()
    }
    control.more_findings += [devices.findings, view.findings]
    devices.ailing = lambda name: bool(firmware.flash.by_hand.told(name)[0])
    keep_running(spawn, firmware.flash.by_hand.watch, "edgehost.bridge.by-hand")
    _record(rooms, devices, spawn)
    for hosted in rooms.ports.services.values():
        if hosted.kind == _SERVICE:
            cast("DeviceService", hosted.service).connect(devices.get)
    for name, device in devices.known.items():
        devices.ears[name].changed = changed
        keep_running(spawn, device.run, f"edgehost.bridge.{name}")


def finish_flashes(opened: DeviceRooms, spawn: Spawn) -> None:
    """Go on with the flashes that an earlier run of the host had begun."""
    if opened.firmware is not None:
        from edgehost.composition.firmware_of_devices import finish_flashes as finish  # noqa: PLC0415 - as above

        finish(opened.firmware, spawn)


def _record(rooms: Rooms, devices: Devices, spawn: Spawn) -> None:
    """Telemetry as records, for the devices that name a model."""
    settings = rooms.config.devices
    rings = {
        name: TelemetryRing(each.model, each.keep, max(each.record_every_s, each.interval_ms / 1000))
        for name, each in settings.items()
        if each.model
    }
    if not rings:
        return
    records = TelemetryRecords(rooms.keeping, rooms.models, rings)
    for name in rings:
        devices.ears[name].record = records.take
    keep_running(spawn, records.run, "edgehost.bridge.records")


def _baud(settings: DeviceSettings, catalog: Callable[[], BoardCatalog]) -> int:
    if settings.baud:
        return settings.baud
    board = _board(settings.board, catalog()) if settings.board else None
    return _BAUD if board is None else board.bridge.baud


def _budgets(catalog: Callable[[], BoardCatalog]) -> Callable[[str], WasmFacts | None]:
    def budget_of(board_id: str) -> WasmFacts | None:
        board = _board(board_id, catalog())
        return board.wasm if board is not None and board.wasm.supported else None

    return budget_of


def _board(board_id: str, catalog: BoardCatalog) -> Board | None:
    """What the firmware calls its board is the catalogue's name, or that of an emulated one."""
    for each in (board_id, _EMULATED + board_id):
        try:
            return catalog.get(each)
        except NotFoundError:
            continue
    return None
