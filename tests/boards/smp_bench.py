"""Zephyr with MCUboot on an emulated nRF51 (qemu's microbit), behind a line that we can cut.

The flash is read past the server, and a power cut is a reset of the machine while its line is dead: qemu keeps the flash.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

from edgehost.adapters.boards.serial_lines import SerialLines
from edgehost.adapters.boards.smp_programmer import SmpProgrammer
from edgehost.domain.board import Board, FlashFacts
from edgehost.ports.programmer import Programmer
from tests.boards.programmer_bench import Bench, some_board, some_image
from tests.boards.smp_fixtures import PREFIX, newer_image, smp_fixture
from tests.required_tools import require_tool

FLASH_BYTES = 256 * 1024
#: This machine with 16 KiB of RAM hangs on more than three lines (as smpclient's own tests note).
MOST_MESSAGE = 256
#: What the firmware prints when it has started.
BANNER = b"smp_sample"


class Machine:
    """An emulator, its monitor, and a proxy for its UART."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.writers: set[asyncio.StreamWriter] = set()
        self._is_on = True
        self._has_started = asyncio.Event()
        self._uart_path, self._monitor_path = str(folder / "uart"), str(folder / "monitor")
        program = require_tool("qemu-system-arm")
        firmware = smp_fixture(PREFIX + "merged.hex")
        machine = ["-machine", "microbit", "-cpu", "cortex-m0", "-display", "none", "-monitor", "none"]
        uart = [
            "-chardev",
            f"socket,id=uart,path={self._uart_path},server=on,wait=off",
            "-serial",
            "chardev:uart",
        ]
        monitor = ["-qmp", f"unix:{self._monitor_path},server=on,wait=off"]
        self._process = subprocess.Popen(
            [program, "-S", *machine, *monitor, *uart, "-device", f"loader,file={firmware}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            self._uart = _connected(self._uart_path, self._process)
            self._monitor = _connected(self._monitor_path, self._process)
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        self._uart.setblocking(False)
        self._replies = self._monitor.makefile("rb")
        self._replies.readline()  # the greeting
        self._order("qmp_capabilities")
        self._order("cont")  # it waited, so that nothing it says at the start is lost

    async def booted(self) -> None:
        """Until the firmware has said so: bytes that come earlier leave the emulated UART deaf."""
        await self.pause(0)
        self._is_on = True

    def flash(self) -> bytes:
        kept = self._folder / "flash.bin"
        self._order("memsave", val=0, size=FLASH_BYTES, filename=str(kept))
        return kept.read_bytes()

    def drop_lines(self) -> None:
        """As if the cable were pulled: the machine runs on."""
        for writer in self.writers:
            writer.transport.abort()

    def cut(self) -> None:
        """Whoever has the line loses it, and nothing reaches the firmware before ``booted``."""
        self._is_on = False
        self.drop_lines()
        self._order("stop")
        with suppress(BlockingIOError):
            while self._uart.recv(4096):
                pass  # what it said before, perhaps that it had started
        self._has_started.clear()
        self._order("system_reset")
        self._order("cont")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._replies.close()
        self._monitor.close()
        self._uart.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client; what the machine says goes to all of them, as on a line with several listeners."""
        self.writers.add(writer)
        try:
            while self._is_on and (data := await reader.read(4096)) and self._is_on:
                await asyncio.get_running_loop().sock_sendall(self._uart, data)
        except ConnectionError:
            pass
        finally:
            self.writers.discard(writer)
            writer.close()

    async def listen(self) -> None:
        """The only reader of the UART, for as long as the machine is there: two would take words from each other."""
        seen = b""
        while data := await asyncio.get_running_loop().sock_recv(self._uart, 4096):
            for writer in self.writers:
                if not writer.is_closing():
                    writer.write(data)
            if BANNER in (seen := seen[-len(BANNER) :] + data):
                seen = b""
                self._has_started.set()

    async def pause(self, _seconds: float) -> None:
        """The programmer waits for a restart: until the firmware has started, however slow this machine is."""
        async with asyncio.timeout(20):
            await self._has_started.wait()
        self._has_started.clear()

    def _order(self, command: str, **arguments: str | int) -> None:
        self._monitor.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        while b'"return"' not in (line := self._replies.readline()):
            assert b'"error"' not in line, line


def _connected(path: str, process: subprocess.Popen[bytes]) -> socket.socket:
    deadline = time.monotonic() + 20
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(path)
        except OSError:
            connection.close()
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        else:
            return connection


class SmpBench:
    def __init__(self, machine: Machine, tcp_port: int) -> None:
        self.machine = machine
        self.line = f"socket://127.0.0.1:{tcp_port}"
        self.programmer: Programmer = SmpProgrammer(SerialLines(), machine.pause, erase_timeout_s=5)
        facts = FlashFacts("smp", page=MOST_MESSAGE, chip="qemu_cortex_m0")
        self.board = some_board(facts, flash_bytes=FLASH_BYTES)
        self.wrong_board: Board | None = replace(self.board, flash=replace(facts, chip="nrf52840dk"))
        self.original = smp_fixture(PREFIX + "signed.bin").read_bytes()
        self.image = some_image((0, newer_image(self.original, 1)), name="new.signed.bin")
        self.verifies = True
        self.needs_reset = False

    def read_back(self) -> bytes:
        """The image, if a slot has it whole; otherwise what is in the slot that runs."""
        flash, image = self.machine.flash(), self.image.segments[0].data
        if image in flash:
            return image
        start = flash.index(self.original[:4], 0x4000)  # behind the bootloader
        return flash[start : start + len(self.original)]

    def cut_power(self) -> None:
        self.machine.cut()

    async def restore_power(self) -> None:
        await self.machine.booted()


@asynccontextmanager
async def smp_bench(folder: Path) -> AsyncIterator[Bench]:
    machine = await asyncio.to_thread(Machine, folder)
    server = await asyncio.start_server(machine.serve, "127.0.0.1", 0)
    listening = asyncio.create_task(machine.listen(), name="uart")
    try:
        await machine.booted()
        yield SmpBench(machine, server.sockets[0].getsockname()[1])
    finally:
        server.close()
        machine.drop_lines()
        await server.wait_closed()
        while machine.writers:
            await asyncio.sleep(0)
        listening.cancel()
        await asyncio.wait([listening])
        machine.close()
