"""The rate of a line is agreed on: over the firmware as a process, on a line that carries a byte only at the right rate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edgehost.adapters.boards.device_bridge import DeviceBridge
from edgehost.adapters.boards.serial_lines import SerialLines
from edgehost.adapters.services.system_clock import SystemClock
from edgehost.domain.device import DeviceState
from edgehost.ports.device import BridgeSettings
from edgehost.ports.device_line import DeviceLine, FoundLine, LineSettings
from firmware_bridge.slipmux import Deframer
from tests.bridge.device_scene import PtyDevice, Workshop, pty_device

FAST = 921_600


class RatedLine:
    """A pty has no rate: what is sent at another than the device's is lost, as on a UART."""

    def __init__(self, line: DeviceLine, wire: Wire) -> None:
        self._line, self._wire = line, wire

    async def read(self, most: int, timeout_s: float) -> bytes:
        data = await self._line.read(most, timeout_s)
        if self._wire.host != self._wire.device:
            return b"\x55" * len(data)
        if self._wire.asked and data:  # the answer came at the old rate; now it changes
            self._wire.asked, self._wire.device = False, FAST
        return data

    async def write(self, data: bytes) -> None:
        if self._wire.host != self._wire.device:
            return
        await self._line.write(data)
        for frame in Deframer(800).feed(data):
            if b"\xb4line" in frame.content and frame.content[1] == 3:  # a PUT of /line
                self._wire.asked = self._wire.carries_fast

    async def set_baud(self, baud: int) -> None:
        self._wire.host = baud

    async def set_signals(self, *, dtr: bool | None = None, rts: bool | None = None) -> bool:
        return False

    async def drop_input(self) -> None:
        await self._line.drop_input()


class Wire:
    """Meets DeviceLines; both ends' rates."""

    def __init__(self) -> None:
        self.host, self.device, self.carries_fast, self.asked = 0, 115_200, True, False

    @asynccontextmanager
    async def open(self, path: str, settings: LineSettings) -> AsyncIterator[DeviceLine]:
        async with SerialLines().open(path, settings) as line:
            self.host = settings.baud
            yield RatedLine(line, self)

    async def found(self) -> Sequence[FoundLine]:
        return ()


class Ears:
    """Hears when the device comes and goes."""

    def __init__(self) -> None:
        self.states: asyncio.Queue[DeviceState] = asyncio.Queue()

    def moved(self, state: DeviceState) -> None:
        self.states.put_nowait(state)

    def told(self, telemetry: object) -> None:
        return

    def said(self, text: str) -> None:
        return


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@asynccontextmanager
async def bridged(board: PtyDevice, wire: Wire) -> AsyncIterator[DeviceState]:
    ears = Ears()
    settings = BridgeSettings("lamp", board.path, fast_baud=FAST, interval_ms=100, silence_s=0.5)
    bridge = DeviceBridge(settings, wire, ears, SystemClock())
    task = asyncio.create_task(bridge.run(), name="bridge")
    try:
        async with asyncio.timeout(20):
            while not (state := await ears.states.get()).online:
                continue
        yield state
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_a_faster_rate_is_agreed_on_and_found_again(tmp_path: Path, workshop: Workshop) -> None:
    wire = Wire()
    with pty_device(workshop, tmp_path / "flash") as board:
        async with bridged(board, wire) as state:
            assert (state.baud, wire.host, wire.device) == (FAST, FAST, FAST)
        async with bridged(board, wire) as state:  # it was not reset: it is still there
            assert (state.baud, wire.host) == (FAST, FAST)


async def test_a_line_that_does_not_carry_the_faster_rate_goes_on_at_the_old_one(
    tmp_path: Path, workshop: Workshop
) -> None:
    wire = Wire()
    wire.carries_fast = False
    with pty_device(workshop, tmp_path / "flash") as board:
        async with bridged(board, wire) as state:
            assert (state.baud, wire.host) == (115_200, 115_200)
