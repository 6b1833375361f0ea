"""The bridge on its own: the codec beside aiocoap's, and the firmware as a process on a pty.

Round trips and rates are of the bridge and this machine: a pty has no baud. ``device_bench`` has emulated boards.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, Final

from edgehost.adapters.boards.device_bridge import DeviceBridge
from edgehost.adapters.boards.serial_lines import SerialLines
from edgehost.adapters.services.system_clock import SystemClock
from edgehost.domain.component_file import padded
from edgehost.domain.device import DeviceState
from edgehost.ports.device import BridgeSettings
from firmware_bridge.coap_message import Message, MessageType, Option, decode_message, encode_message
from firmware_bridge.device.provision import provisioned
from firmware_bridge.slipmux import Deframer, FrameKind, encode_frame
from tests.firmware.conftest import BLINK, KEY, UID, Manifest, built, public_bytes

Row = dict[str, Any]
_SIZE: Final = 100_000


def run(quick: bool) -> list[Row]:  # noqa: FBT001 - the signature that every benchmark has
    """Rows of name, value and unit."""
    rows = _codec(2_000 if quick else 10_000)
    with tempfile.TemporaryDirectory(prefix="edgehost-bench-") as scratch:
        return rows + asyncio.run(_device(Path(scratch), 100 if quick else 1_000))


def _codec(rounds: int) -> list[Row]:
    import aiocoap  # noqa: PLC0415 - the rival

    options = ((Option.URI_PATH, b"slot"), (Option.URI_PATH, b"image"), (Option.BLOCK1, b"\x1d"))
    content = encode_message(Message(MessageType.CON, 3, 7, b"\1\2\3\4", options, bytes(range(256)) * 2))

    def ours() -> None:
        (frame,) = Deframer(700).feed(encode_frame(FrameKind.COAP, content))
        encode_message(decode_message(frame.content))

    def theirs() -> None:
        aiocoap.Message.decode(content)

    def bare() -> None:
        decode_message(content)

    return [
        _row("bridge: a block of 512 bytes framed, found, read and written", _timed(ours, rounds), "us"),
        _row("bridge: such a message read, no frames", _timed(bare, rounds), "us"),
        _row("bridge: such a message read by aiocoap", _timed(theirs, rounds), "us"),
    ]


def _timed(what: Any, rounds: int) -> float:  # noqa: ANN401 - a callable
    began = time.perf_counter()
    for _ in range(rounds):
        what()
    return (time.perf_counter() - began) / rounds * 1e6


class _Ears:
    def __init__(self) -> None:
        self.online = asyncio.Event()

    def moved(self, state: DeviceState) -> None:
        (self.online.set if state.online else self.online.clear)()

    def told(self, telemetry: object) -> None:  # noqa: ARG002 - as in DeviceListener
        return

    def said(self, text: str) -> None:  # noqa: ARG002 - as above
        return


def _started(folder: Path) -> subprocess.Popen[str]:
    program = folder / "edgehost-device"
    program.write_bytes(provisioned(built("posix").read_bytes(), UID, [public_bytes(KEY)]))
    program.chmod(0o755)
    return subprocess.Popen(
        [str(program), str(folder / "flash"), "pty"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"},
    )


async def _device(folder: Path, rounds: int) -> list[Row]:
    process = await asyncio.to_thread(_started, folder)
    assert process.stderr is not None
    ears, wasm = _Ears(), padded(BLINK, _SIZE)
    bridge = DeviceBridge(
        BridgeSettings("bench", process.stderr.readline().strip()), SerialLines(), ears, SystemClock()
    )
    task = asyncio.create_task(bridge.run(), name="bridge")
    try:
        async with asyncio.timeout(20):
            await ears.online.wait()
            began = time.perf_counter()
            await bridge.prepare(wasm, Manifest(wasm).bytes(), lambda _done, _size: None)
            sent = time.perf_counter() - began
            await bridge.commit()
        trips = []
        for _ in range(rounds):
            began = time.perf_counter()
            await bridge.call("device-blink", "set", b'{"on": true}')
            trips.append(time.perf_counter() - began)
    finally:
        task.cancel()
        process.terminate()
        process.wait(10)
        process.stderr.close()
    return [
        _row("bridge: a component of 100 KB into the spare slot, sanitizers on", _SIZE / sent / 1000, "kB/s"),
        _row("bridge: a call of a component over a pty, p50", median(trips) * 1000, "ms"),
        _row(
            "bridge: a call of a component over a pty, p99",
            sorted(trips)[len(trips) * 99 // 100] * 1000,
            "ms",
        ),
    ]


def _row(name: str, value: float, unit: str) -> Row:
    return {"name": name, "value": value, "unit": unit}
