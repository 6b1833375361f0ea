"""Where the story of the devices happens: keys, a repository, two emulated boards, a host; and what is done with them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from edgehost.cli.demo_board import EmulatedBoard, emulated_board
from edgehost.cli.demo_device_figures import DeviceFigures
from edgehost.cli.demo_firmware import CONFIG, firmware_for
from edgehost.cli.demo_fleet import REMOTE, DemoFleet
from edgehost.cli.demo_host import DemoHost
from edgehost.cli.demo_line import DemoLine, demo_line
from edgehost.cli.demo_pico import PicoBoard, pico_board
from edgehost.cli.output import Output
from edgehost.domain.errors import EdgehostError, UnavailableError
from remotes.keys import generate_key
from remotes.mqtt_options import MqttOptions

DEVICE: Final = "lamp"
COMPONENT: Final = "device-blink"
WAIT_S: Final = 20.0
_MACHINE: Final = "lm3s6965evb"
_KNOCK_S: Final = 0.01


@dataclass(slots=True)
class DeviceScene:
    """What the story of the devices happens in, and how its verbs are done."""

    out: Output
    fleet: DemoFleet
    host: DemoHost
    board: EmulatedBoard
    line: DemoLine
    pico: PicoBoard
    figures: DeviceFigures = field(default_factory=DeviceFigures)

    @classmethod
    @asynccontextmanager
    async def begun(cls, folder: Path, out: Output) -> AsyncIterator[Self]:
        """Keys, a repository, the firmware, and a board that is off; all is stopped at the end whatever happens."""
        fleet = DemoFleet(folder, MqttOptions("127.0.0.1"))  # no broker: all comes from a folder
        root = await asyncio.to_thread(fleet.make)
        (folder / "root.json").write_bytes(root.read_bytes())
        (folder / "mirror").mkdir()
        for name in ("device", "stranger"):
            generate_key(folder / "keys" / f"{name}.key")
        figures = DeviceFigures()
        out.note(f"* Compiling the firmware for {_MACHINE} ...")
        began = time.perf_counter()
        flat = await asyncio.to_thread(firmware_for, folder, _MACHINE)
        figures.compiled_in_s, figures.firmware_bytes = time.perf_counter() - began, flat.stat().st_size
        image = flat.with_suffix(".elf")
        async with (
            emulated_board(_MACHINE, image, folder) as board,
            demo_line(board) as line,
            pico_board(folder) as pico,
        ):
            config = folder / "edgehost.toml"
            config.write_text(
                CONFIG.format(
                    remote=REMOTE, device=DEVICE, line=line.address, machine=_MACHINE, pico=pico.line
                )
            )
            host = DemoHost(config, folder / "data" / "edgehost.sock")
            story = cls(out, fleet, host, board, line, pico, figures)
            try:
                yield story
            finally:
                await host.stop()

    def say(self, line: str) -> None:
        """One line of the story."""
        self.out.note(f"* {line}")

    def keys(self) -> tuple[object, ...]:
        """What signs a remote, and where it is published."""
        folder = self.fleet.folder
        return ("--key", folder / "keys" / "online.key", "--to", folder / "mirror")

    async def publish(self, content: bytes, *, signed_by: str = "device") -> None:
        """Sign a component for hosts and for devices, and publish it."""
        folder = self.fleet.folder
        file = folder / f"{COMPONENT}.wasm"
        file.write_bytes(content)
        for_devices = ("--device-key", folder / "keys" / f"{signed_by}.key")
        await self.command("publish", self.fleet.repository, file, *self.keys(), *for_devices)

    async def command(self, *words: object) -> str:
        """A command of edgehost, as an operator gives it; what it printed."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "edgehost", *map(str, words)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        told, said = await process.communicate()
        if process.returncode:
            raise UnavailableError(f"'edgehost {words[0]}' failed: {said.decode(errors='replace')[-1500:]}")
        return told.decode()

    async def deploy(self, device: str = DEVICE, *, timeout_s: float = WAIT_S) -> float:
        """The newest version, to the device; milliseconds until it runs."""
        began = time.perf_counter()
        await asyncio.to_thread(
            self.host.client.control,
            "POST",
            f"devices/{device}/deploy",
            body={"component": COMPONENT},
            timeout_s=timeout_s,
        )
        return (time.perf_counter() - began) * 1000

    async def call(self, function: str, body: dict[str, Any], *, device: str = DEVICE) -> None:
        """One call of the component on the device."""
        path = f"/api/host/devices/{device}/call/{COMPONENT}/{function}"
        await asyncio.to_thread(self.host.client.request, "POST", path, body=body)

    async def load(self) -> None:
        """Calls, one after the other, until cancelled."""
        while True:
            self.figures.calls_total += 1
            try:
                await self.call("set", {"on": True})
            except EdgehostError as error:
                self.figures.calls_failed += 1
                self.say(f"  a call failed: {error}")
            await asyncio.sleep(0)

    async def device(self, device: str = DEVICE) -> Any:  # noqa: ANN401 - JSON
        """All that the API says of it."""
        return await self.host.get(f"/api/host/devices/{device}")

    async def running(self, device: str = DEVICE) -> str:
        """The version that runs there."""
        return str((await self.device(device))["slots"]["running"]["version"])

    async def online(self, device: str = DEVICE, *, timeout_s: float = WAIT_S) -> Any:  # noqa: ANN401 - JSON
        """Wait until it is."""

        def is_there(found: Any) -> bool:  # noqa: ANN401 - JSON
            return bool(found["online"] and found["slots"] is not None)

        return await self.until(f"devices/{device}", is_there, "online", timeout_s=timeout_s)

    async def offline(self) -> None:
        """Wait until it is."""
        await self.until(f"devices/{DEVICE}", lambda found: not found["online"], "offline")

    async def until(
        self, what: str, holds: Callable[[Any], Any], word: str, *, timeout_s: float = WAIT_S
    ) -> Any:  # noqa: ANN401 - JSON
        """Wait until the API says what is wanted; it is returned."""
        until = time.perf_counter() + timeout_s
        while time.perf_counter() < until:
            found = await self.host.get(f"/api/host/{what}")
            if holds(found):
                return found
            await asyncio.sleep(_KNOCK_S)
        raise UnavailableError(f"'{what}' is not {word} after {timeout_s:.0f} s.")
