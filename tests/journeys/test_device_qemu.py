"""A Cortex-M3 under qemu as a device of a host: deployed to, cut off in the middle of a transfer, resumed, called."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgehost.adapters.broker.free_port import free_port
from edgehost.domain.errors import IncompatibleReleaseError, UnavailableError
from firmware_bridge.device.provision import provisioned
from remotes.device_manifests import DeviceSigning
from remotes.keys import generate_key, load_signer
from tests.bridge.device_scene import blink, publish
from tests.firmware.conftest import UID, built
from tests.journeys.fleet import Fleet, RunningHost
from tests.journeys.test_device_bridge import deploy, lamp, online, running
from tests.required_tools import require_tool

BOARD = "lm3s6965evb"
SIZE = 7_000


class Emulator:
    """The board; its line is a TCP port that stays, its flash a file in the folder."""

    def __init__(self, image: Path, folder: Path) -> None:
        self._image, self._folder = image, folder
        self._tcp_port = free_port()
        self.line = f"socket://127.0.0.1:{self._tcp_port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                require_tool("qemu-system-arm"),
                *("-M", BOARD, "-nographic", "-monitor", "none"),
                *("-semihosting-config", "enable=on,target=native"),
                *("-serial", f"tcp:127.0.0.1:{self._tcp_port},server=on,wait=off,nodelay=on"),
                *("-kernel", str(self._image)),
            ],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def cut_power(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None


@contextlib.contextmanager
def emulator(image: Path, folder: Path) -> Iterator[Emulator]:
    board = Emulator(image, folder)
    try:
        board.start()
        yield board
    finally:
        board.cut_power()


async def cut_on_the_way(host: RunningHost, board: Emulator) -> None:
    """The power goes when half of the component is there."""
    while ((host.host.control.devices().devices()[0]["transfer"] or {}).get("done_bytes", 0)) < SIZE // 2:
        await asyncio.sleep(0)
    board.cut_power()


async def test_a_microcontroller_takes_a_component_although_its_power_goes_on_the_way(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    generate_key(tmp_path / "device.key")
    signing = DeviceSigning(load_signer(tmp_path / "device.key"), memory_bytes=2048)
    image = tmp_path / "firmware.elf"
    image.write_bytes(
        provisioned(built(BOARD, compiler="arm-none-eabi-gcc").read_bytes(), UID, [signing.public_key])
    )
    wasm = blink("1.0.0", SIZE)
    await publish(fleet, wasm, signing)
    with emulator(image, tmp_path) as board:
        more = lamp(board.line).replace("silence_s = 1.0", "silence_s = 2.0")
        async with fleet.host(fleet.config(more=more)) as host:
            device = await online(host)
            assert device["identity"]["core"] == "cortex-m3"
            control = host.host.control.devices()
            async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
                tasks.create_task(cut_on_the_way(host, board), name="cut")
                with pytest.raises(UnavailableError):
                    await deploy(host)
            await host.until(lambda: not control.devices()[0]["online"])
            board.start()
            device = await online(host)
            assert running(device) == ""
            assert device["slots"]["have_bytes"] >= SIZE // 2 - 1024  # whole sectors of what was there
            assert running(await deploy(host)) == "device-blink 1.0.0"
            path = "/api/host/devices/lamp/call/device-blink/set"
            assert await host.request("POST", path, {"on": True}) == {"on": True}

            await publish(fleet, blink("1.1.0", 9_000), signing)
            with pytest.raises(IncompatibleReleaseError, match="has a slot of 8192"):
                await deploy(host)
            board.cut_power()
            board.start()
            await host.until(lambda: not control.devices()[0]["online"])
            assert running(await online(host)) == "device-blink 1.0.0"
