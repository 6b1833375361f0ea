"""One of each service with the real thing behind it: a broker, servers, a pty, a folder."""

from __future__ import annotations

import asyncio
import os
import pty
import tty
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

from edgehost.adapters.boards.device_bridge import DeviceBridge
from edgehost.adapters.boards.serial_lines import SerialLines
from edgehost.adapters.broker.embedded_broker import EmbeddedBroker, open_broker
from edgehost.adapters.broker.free_port import free_port
from edgehost.adapters.services.device_service import DeviceService, open_device_service
from edgehost.adapters.services.files_service import open_files_service
from edgehost.adapters.services.gpio_service import Pins, open_gpio_service
from edgehost.adapters.services.http_service import open_http_service
from edgehost.adapters.services.mqtt_service import open_mqtt_service
from edgehost.adapters.services.serial_service import open_serial_service
from edgehost.adapters.services.system_clock import SystemClock
from edgehost.adapters.services.timer_service import open_timer_service
from edgehost.adapters.services.web_socket_service import open_web_socket_service
from edgehost.adapters.vehicles.mavlink_service import open_mavlink_service
from edgehost.config_services import (
    DeviceOptions,
    FilesOptions,
    GpioOptions,
    HttpOptions,
    MavlinkOptions,
    MqttOptions,
    SerialOptions,
    TimerOptions,
    WebSocketOptions,
)
from edgehost.domain.component_file import read_component
from edgehost.domain.device import DeviceState
from edgehost.ports.device import BridgeSettings
from edgehost.ports.service import Service
from remotes.device_manifests import device_manifest
from remotes.owned_tasks import owned_tasks
from tests.adapters.vehicles.software_vehicle import flying
from tests.bridge.device_scene import BLINK, Workshop, pty_device
from tests.journeys.weather_server import weather_server
from tests.required_tools import require_tool


@dataclass
class Told:
    """What a service told by itself."""

    facts: list[tuple[str, Any]] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, name: str, data: Any) -> None:
        self.facts.append((name, data))
        self.came.set()

    async def wait_for(self, name: str, *, count: int = 1, timeout_s: float = 30) -> list[Any]:
        async with asyncio.timeout(timeout_s):
            while True:
                found = [data for each, data in self.facts if each == name]
                if len(found) >= count:
                    return found
                self.came.clear()
                await self.came.wait()


@dataclass
class Opened:
    """A service, a call that succeeds, and what it told."""

    service: Service
    function: str
    given: Any
    told: Told
    world: Any = None


class MemoryPins:
    """Pins that are wires to a test."""

    def __init__(self) -> None:
        self.levels: dict[int, bool] = {}
        self.events: list[tuple[int, bool]] = []
        self.closed = False
        self._out, self._in = os.pipe()

    def read(self, line: int) -> bool:
        return self.levels.get(line, False)

    def write(self, line: int, *, high: bool) -> None:
        self.levels[line] = high

    def fileno(self) -> int:
        return self._out

    def changes(self) -> Iterable[tuple[int, bool]]:
        os.read(self._out, 4096)
        events, self.events = self.events, []
        return events

    def close(self) -> None:
        self.closed = True
        os.close(self._out)
        os.close(self._in)

    def change(self, line: int, *, high: bool) -> None:
        self.levels[line] = high
        self.events.append((line, high))
        os.write(self._in, b"!")


@asynccontextmanager
async def pty_line() -> AsyncIterator[tuple[int, Path]]:
    """The device's end of a serial line, and the path of the host's end."""
    device, host = pty.openpty()
    tty.setraw(host)
    try:
        yield device, Path(os.ttyname(host))
    finally:
        os.close(host)
        os.close(device)


@asynccontextmanager
async def mosquitto() -> AsyncIterator[EmbeddedBroker]:
    require_tool("mosquitto")
    async with open_broker(kind="mosquitto") as broker:
        yield broker


@asynccontextmanager
async def echo_server() -> AsyncIterator[tuple[str, list[ServerConnection]]]:
    connections: list[ServerConnection] = []

    async def echo(connection: ServerConnection) -> None:
        connections.append(connection)
        async for message in connection:
            await connection.send(message)

    async with serve(echo, "127.0.0.1", 0) as server:
        tcp_port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{tcp_port}/", connections


async def open_http(told: Told, stack: AsyncExitStack, folder: Path) -> Opened:
    weather = stack.enter_context(weather_server())
    options = HttpOptions(hosts=(f"127.0.0.1:{weather.port}",), url=weather.url, timeout_s=5)
    service = await stack.enter_async_context(open_http_service("web", options, told))
    return Opened(service, "get", {"url": "weather"}, told, weather)


async def open_mqtt(told: Told, stack: AsyncExitStack, folder: Path) -> Opened:
    broker = await stack.enter_async_context(mosquitto())
    options = MqttOptions(
        host="127.0.0.1",
        tcp_port=broker.tcp_port,
        subscribe=("heard/#",),
        publish=("said/+", "heard/#", "in/#"),
    )
    service = await stack.enter_async_context(open_mqtt_service("broker", options, told))
    await service.call("publish", {"topic": "said/first"}, timeout_s=10)  # so that it is connected
    return Opened(service, "publish", {"topic": "said/x", "payload": {"n": 1}}, told, broker)


async def open_files(told: Told, stack: AsyncExitStack, folder: Path) -> Opened:
    home = folder / "home"
    home.mkdir()
    options = FilesOptions(folder=home, write=True, file_kib=4, total_kib=16, entries=10)
    service = await stack.enter_async_context(open_files_service("files", options, told))
    return Opened(service, "write", {"path": "a/b.txt", "text": "hello"}, told, home)


async def open_timer(told: Told, stack: AsyncExitStack, folder: Path) -> Opened:
    service = await stack.enter_async_context(open_timer_service("often", TimerOptions(every_s=0.05), told))
    return Opened(service, "next", None, told)


async def open_serial(told: Told, stack: AsyncExitStack, folder: Path) -> Opened:
    device, path = await stack.enter_async_context(pty_line())
    service = await stack.enter_async_context(
        open_serial_service("line", SerialOptions(device_path=path, line_bytes=64), told)
    )
    await told.wait_for("opened")
    return Opened(service, "write", {"line": "go"}, told, device)


async def open_web_socket(told: Told, stack: AsyncExitStack, folder: Path) -> Opened:
    url, connections = await stack.enter_async_context(echo_server())
    service = await stack.enter_async_context(
        open_web_socket_service("socket", WebSocketOptions(url=url, message_kib=4), told)
    )
    await told.wait_for("opened")
    return Opened(service, "send", {"json": {"n": 1}}, told, connections)


async def open_gpio(told: Told, stack: AsyncExitStack, folder: Path) -> Opened:
    pins = MemoryPins()

    def opener(_options: GpioOptions, _inputs: tuple[int, ...], _outputs: tuple[int, ...]) -> Pins:
        return pins

    options = GpioOptions(inputs=("door=4",), outputs=("lamp=17",))
    service = await stack.enter_async_context(open_gpio_service("pins", options, told, opener=opener))
    return Opened(service, "write", {"pin": "lamp", "high": True}, told, pins)


async def open_mavlink(told: Told, stack: AsyncExitStack, folder: Path) -> Opened:
    udp_port = free_port()
    options = MavlinkOptions(url=f"udpin:127.0.0.1:{udp_port}", commands=("arm", "set_parameter"))
    service = await stack.enter_async_context(open_mavlink_service("drone", options, told))
    vehicle = await stack.enter_async_context(flying(udp_port))
    await told.wait_for("edgehost.vehicle.found")
    return Opened(service, "parameter", {"name": "ANGLE_MAX"}, told, vehicle)


class Listening:
    """Whoever waits for a device to come online."""

    def __init__(self) -> None:
        self.online = asyncio.Event()

    def moved(self, state: DeviceState) -> None:
        if state.online:
            self.online.set()

    def told(self, telemetry: Any) -> None:
        """Nothing is done with it here."""

    def said(self, text: str) -> None:
        """Nor with this."""


async def open_device(told: Told, stack: AsyncExitStack, folder: Path) -> Opened:
    workshop, ears = Workshop(folder), Listening()
    board = stack.enter_context(pty_device(workshop, folder / "flash"))
    bridge = DeviceBridge(BridgeSettings("lamp", board.path), SerialLines(), ears, SystemClock())
    spawn = await stack.enter_async_context(owned_tasks())
    spawn(bridge.run(), "bridge")
    async with asyncio.timeout(20):
        await ears.online.wait()
        manifest = device_manifest(read_component(BLINK), BLINK, workshop.signing, 1)
        await bridge.prepare(BLINK, manifest, lambda _done, _total: None)
        await bridge.commit()
    options = DeviceOptions(device="lamp", component="device-blink", functions=("set",))
    service = await stack.enter_async_context(open_device_service("lamp", options, told))
    assert isinstance(service, DeviceService)
    service.connect(lambda _name: bridge)
    return Opened(service, "set", {"on": True}, told, board)


OPENERS: dict[str, Callable[[Told, AsyncExitStack, Path], Any]] = {
    "http": open_http,
    "mqtt": open_mqtt,
    "files": open_files,
    "timer": open_timer,
    "serial": open_serial,
    "websocket": open_web_socket,
    "gpio": open_gpio,
    "mavlink": open_mavlink,
    "device": open_device,
}


@asynccontextmanager
async def opened(kind: str, folder: Path) -> AsyncIterator[Opened]:
    async with AsyncExitStack() as stack:
        yield await OPENERS[kind](Told(), stack, folder)
