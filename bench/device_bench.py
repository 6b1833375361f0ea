"""Devices: the bridge's round trip and transfer rate, the firmware's size, and guests beside native code.

The boards are emulated. Round trips and rates are of the emulator and this machine's load, not of a UART; instructions
are counted by the emulator's clock (qemu -icount shift=0) and are no cycles of silicon.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from edgehost.adapters.boards.device_bridge import DeviceBridge
from edgehost.adapters.boards.serial_lines import SerialLines
from edgehost.adapters.services.system_clock import SystemClock
from edgehost.cli.demo_board import emulated_board
from edgehost.domain.component_file import padded
from edgehost.domain.device import DeviceState
from edgehost.ports.device import BridgeSettings
from firmware_bridge.device.provision import provisioned
from tests.firmware.conftest import BLINK, KEY, ROOT, UID, Manifest, public_bytes

Row = dict[str, Any]
DEVICE: Final = ROOT / "firmware_bridge" / "device"
FIRMWARE: Final = ROOT / "build" / "firmware"
#: Board, and bytes of a component that fits its slot.
BRIDGED: Final = {"lm3s6965evb": 8_000, "mps2-an385": 120_000}
SIZED: Final = ("lm3s6965evb", "mps2-an385", "mps2-an500", "netduinoplus2", "microbit", "pico")
SPEEDY: Final = tuple(board for board in SIZED if board != "pico")  # that one is not qemu's
CALLS: Final = {12: 465, 24: 150_049}  # of fib by fib(n)
WAIT_S: Final = 20


def run(quick: bool = False) -> list[Row]:  # noqa: FBT001, FBT002 - the benches are called alike
    """Rows of name, value and unit."""
    lacking = [
        tool for tool in ("make", "arm-none-eabi-gcc", "qemu-system-arm") if shutil.which(tool) is None
    ]
    if lacking:
        return [{"name": "devices", "value": 0.0, "unit": "skipped", "missing": " ".join(lacking)}]
    began = time.perf_counter()
    _make("boards", "speeds")
    rows = [_row("firmware for six boards, compiled if it was not", time.perf_counter() - began, "s")]
    for board, size in BRIDGED.items():
        with tempfile.TemporaryDirectory(prefix="edgehost-bench-") as scratch:
            rows += asyncio.run(_bridge(board, size, Path(scratch), 50 if quick else 300))
    for board in SIZED:
        rows += _size(board)
    for board in SPEEDY:
        rows += _speed(board)
    return rows


def _make(*targets: str) -> None:
    words = ["make", "-s", "-j2", "-C", str(DEVICE), *targets, f"PYTHON={sys.executable}"]
    subprocess.run(words, check=True, capture_output=True)


class _Ears:
    """Knows when the device has come."""

    def __init__(self) -> None:
        self.is_online = asyncio.Event()

    def moved(self, state: DeviceState) -> None:
        if state.online:
            self.is_online.set()

    def told(self, telemetry: object) -> None: ...

    def said(self, text: str) -> None: ...


async def _bridge(board: str, size: int, folder: Path, rounds: int) -> list[Row]:
    image = folder / "firmware.elf"
    firmware = (FIRMWARE / board / "edgehost-device").read_bytes()
    image.write_bytes(provisioned(firmware, UID, [public_bytes(KEY)]))
    async with emulated_board(board, image, folder) as powered, asyncio.TaskGroup() as tasks:
        ears = _Ears()
        settings = BridgeSettings(board, powered.line)
        bridge = DeviceBridge(settings, SerialLines(), ears, SystemClock())
        began = time.perf_counter()
        task = tasks.create_task(bridge.run(), name="bridge")
        async with asyncio.timeout(WAIT_S):
            await ears.is_online.wait()
        rows = [_row(f"{board}: until the bridge is up", (time.perf_counter() - began) * 1000, "ms")]
        await bridge.prepare(BLINK, Manifest(BLINK, members={8: 2048}).bytes(), _nothing)
        began = time.perf_counter()
        await bridge.commit()
        rows.append(_row(f"{board}: commit: check, compile, probe, switch", _ms(began), "ms"))
        spent = []
        for number in range(rounds):
            began = time.perf_counter()
            await bridge.call("device-blink", "set", b'{"on": true}' if number % 2 else b'{"on": false}')
            spent.append(_ms(began))
        rows += [
            _row(f"{board}: call of an export, round trip", statistics.median(spent), "ms"),
            _row(f"{board}: the same, 95th percentile", statistics.quantiles(spent, n=20)[-1], "ms"),
        ]
        rates = []
        for turn in range(max(1, rounds // 100)):
            component = padded(BLINK, size - turn)  # another file: nothing of it is there yet
            manifest = Manifest(component, 2 + turn, members={8: 2048}).bytes()
            began = time.perf_counter()
            await bridge.prepare(component, manifest, _nothing)
            rates.append(len(component) / (time.perf_counter() - began) / 1000)
        name = f"{board}: component of {size} bytes into its slot"
        rows.append(_row(name, statistics.median(rates), "kB/s"))
        task.cancel()
    return rows


def _nothing(_done: int, _size: int) -> None: ...


def _ms(began: float) -> float:
    return (time.perf_counter() - began) * 1000


def _size(board: str) -> list[Row]:
    elf = FIRMWARE / board / "edgehost-device"
    listed = subprocess.run(["arm-none-eabi-size", str(elf)], capture_output=True, text=True, check=True)
    text, data, bss = (int(word) for word in listed.stdout.splitlines()[1].split()[:3])
    ram = {"ram_bytes": data + bss}
    return [_row(f"{board}: firmware, code and constants", text + data, "bytes", **ram)]


def _speed(board: str) -> list[Row]:
    """What the bench image of the same firmware says of itself."""
    image = FIRMWARE / board / "guest-speed"
    load = ["-device", f"loader,file={image}"] if board == "microbit" else ["-kernel", str(image)]
    with socket.socket() as listener, tempfile.TemporaryDirectory(prefix="edgehost-bench-") as scratch:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        listener.settimeout(WAIT_S)
        machine = ["qemu-system-arm", "-M", board, "-nographic", "-monitor", "none", "-icount", "shift=0"]
        machine += ["-semihosting-config", "enable=on,target=native"]
        line = f"tcp:127.0.0.1:{listener.getsockname()[1]},nodelay=on"
        quiet: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.DEVNULL,
            "stderr": subprocess.DEVNULL,
        }
        with subprocess.Popen([*machine, "-serial", line, *load], cwd=scratch, **quiet) as process:
            try:
                said = _line(listener)
            finally:
                process.kill()
    *figures, verdict = said.split()
    assert verdict == "ok", said
    number, guest_ms, guest_rounds, native_ms, native_rounds = (int(figure) for figure in figures)
    guest = guest_ms * 1e6 / (guest_rounds * CALLS[number])
    native = native_ms * 1e6 / (native_rounds * CALLS[number])
    figures_of = {"guest": round(guest), "native": round(native, 1)}
    return [
        _row(f"{board}: fib, instructions of a guest against native", guest / native, "times", **figures_of)
    ]


def _line(listener: socket.socket) -> str:
    said = b""
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(WAIT_S)
        while not said.endswith(b"\n"):
            said += connection.recv(256)
    return said.decode()


def _row(name: str, value: float, unit: str, **more: object) -> Row:
    return {"name": name, "value": round(value, 2), "unit": unit, **more}


if __name__ == "__main__":
    for line in run(quick=False):
        print(f"{line['name']:<70} {line['value']:>12} {line['unit']}")
