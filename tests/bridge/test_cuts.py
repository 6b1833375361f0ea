"""The line is cut within each block of a transfer, in both directions; the next try goes on from what the device has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edgehost.adapters.boards.device_bridge import DeviceBridge
from edgehost.adapters.boards.serial_lines import SerialLines
from edgehost.adapters.services.system_clock import SystemClock
from edgehost.domain.component_file import read_component
from edgehost.domain.errors import LineLostError, UnavailableError
from edgehost.ports.device import BridgeSettings
from edgehost.ports.device_line import DeviceLine, FoundLine, LineSettings
from remotes.device_manifests import device_manifest
from tests.bridge.device_scene import BLINK, Workshop, pty_device
from tests.bridge.test_rates import Ears

BLOCKS = -(-len(BLINK) // 512)


class Scissors:
    """Meets DeviceLines; the line is lost when so many more bytes were written to it, or read from it."""

    def __init__(self) -> None:
        self.writes_left: int | None = None
        self.reads_left: int | None = None
        self.written = 0

    @asynccontextmanager
    async def open(self, path: str, settings: LineSettings) -> AsyncIterator[DeviceLine]:
        async with SerialLines().open(path, settings) as line:
            yield CutLine(line, self)

    async def found(self) -> Sequence[FoundLine]:
        return ()


class CutLine:
    """A line until it is cut."""

    def __init__(self, line: DeviceLine, scissors: Scissors) -> None:
        self._line, self._scissors = line, scissors

    async def read(self, most: int, timeout_s: float) -> bytes:
        data = await self._line.read(most, timeout_s)
        left = self._scissors.reads_left
        if left is not None and data:
            self._scissors.reads_left = max(0, left - len(data))
            if not self._scissors.reads_left:
                self._scissors.reads_left = None
                raise LineLostError("It was cut.")
        return data

    async def write(self, data: bytes) -> None:
        left = self._scissors.writes_left
        self._scissors.written += len(data)
        if left is not None:
            self._scissors.writes_left = max(0, left - len(data))
            if len(data) >= left:
                self._scissors.writes_left = None
                await self._line.write(data[:left])
                raise LineLostError("It was cut.")
        await self._line.write(data)

    async def set_baud(self, baud: int) -> None:
        await self._line.set_baud(baud)

    async def set_signals(self, *, dtr: bool | None = None, rts: bool | None = None) -> bool:
        return await self._line.set_signals(dtr=dtr, rts=rts)

    async def drop_input(self) -> None:
        await self._line.drop_input()


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


async def test_a_cut_within_any_block_costs_that_block(tmp_path: Path, workshop: Workshop) -> None:
    cuts = 0
    for number in range(2 * BLOCKS):
        scissors, ears = Scissors(), Ears()
        with pty_device(workshop, tmp_path / f"flash-{number}") as board:
            bridge = DeviceBridge(
                BridgeSettings("lamp", board.path, silence_s=2.0), scissors, ears, SystemClock()
            )
            manifest = device_manifest(read_component(BLINK), BLINK, workshop.signing, 1)
            task = asyncio.create_task(bridge.run(), name="bridge")
            try:
                async with asyncio.timeout(20):
                    await _online(bridge, ears)
                    if number % 2:
                        scissors.reads_left = 30 + 22 * (number // 2)
                    else:
                        scissors.writes_left = 400 + 560 * (number // 2)
                    try:
                        await bridge.prepare(BLINK, manifest, lambda _done, _size: None)
                    except UnavailableError:
                        cuts += 1
                    scissors.writes_left = scissors.reads_left = None  # the last one may come too late
                    await _online(bridge, ears)
                    have = (await bridge.slots()).have_bytes or 0
                    before = scissors.written
                    await bridge.prepare(BLINK, manifest, lambda _done, _size: None)
                    await bridge.commit()
                assert scissors.written - before < (len(BLINK) - have) * 1.2 + 900
                running = (await bridge.slots()).running
                assert running is not None
                assert running.component == "device-blink"
            finally:
                task.cancel()
                await asyncio.wait({task})
    assert cuts >= 2 * BLOCKS - 2


async def _online(bridge: DeviceBridge, ears: Ears) -> None:
    while not bridge.state.online:
        await ears.states.get()
