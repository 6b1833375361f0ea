"""Whether a device began anew: seen by what a reset forgets, not by clocks that run as they like."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from edgehost.adapters.boards.device_bridge import DeviceBridge
from edgehost.adapters.boards.serial_lines import SerialLines
from edgehost.adapters.services.system_clock import SystemClock
from edgehost.domain.device import DeviceState
from edgehost.ports.device import BridgeSettings
from tests.bridge.device_scene import Workshop, pty_device

FACTOR = 4


class FastClock(SystemClock):
    """Beside it every device is slow, as an emulated one is."""

    def monotonic(self) -> float:
        return FACTOR * time.monotonic()


class Listener:
    def __init__(self) -> None:
        self.states: asyncio.Queue[DeviceState] = asyncio.Queue()
        self.telemetry: asyncio.Queue[object] = asyncio.Queue()

    def moved(self, state: DeviceState) -> None:
        self.states.put_nowait(state)

    def told(self, telemetry: object) -> None:
        self.telemetry.put_nowait(telemetry)

    def said(self, text: str) -> None:
        return

    async def until_online(self) -> None:
        while not (await self.states.get()).online:
            continue


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


async def test_a_device_with_a_slow_clock_has_not_begun_anew(tmp_path: Path, workshop: Workshop) -> None:
    listener = Listener()
    settings = BridgeSettings("lamp", "", silence_s=2.5)
    with pty_device(workshop, tmp_path / "flash") as board:
        bridge = DeviceBridge(_on(board.path, settings), SerialLines(), listener, FastClock())
        task = asyncio.create_task(bridge.run(), name="bridge")
        try:
            async with asyncio.timeout(40):
                await listener.until_online()
                for _ in range(
                    10
                ):  # most of them because it was asked anew: its own come too late for this clock
                    await listener.telemetry.get()
            assert bridge.state.restarts == 0
        finally:
            task.cancel()
            await asyncio.wait({task})


@pytest.mark.parametrize("interval_ms", [100, 1000])
async def test_a_reset_between_two_telemetries_is_seen_although_the_time_went_on(
    tmp_path: Path, workshop: Workshop, interval_ms: int
) -> None:
    listener = Listener()
    settings = BridgeSettings("lamp", "", interval_ms=interval_ms, silence_s=0.5)
    with pty_device(workshop, tmp_path / "flash") as board:
        bridge = DeviceBridge(_on(board.path, settings), SerialLines(), listener, SystemClock())
        task = asyncio.create_task(bridge.run(), name="bridge")
        try:
            async with asyncio.timeout(40):
                await listener.until_online()
                await listener.telemetry.get()
                board.cut_power()
                board.start()
                while bridge.state.restarts == 0:
                    await listener.states.get()
                while not listener.telemetry.empty():
                    listener.telemetry.get_nowait()
                await listener.telemetry.get()  # and it tells again
        finally:
            task.cancel()
            await asyncio.wait({task})


def _on(path: str, settings: BridgeSettings) -> BridgeSettings:
    return BridgeSettings(settings.name, path, interval_ms=settings.interval_ms, silence_s=settings.silence_s)
