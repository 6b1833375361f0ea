"""A board that is bridged and flashed over the same line: an STM32F405 whose flash outlives its power.

Its line is pyserial's RFC 2217 server, with DTR at the reset and RTS at BOOT0. Reset with BOOT0 it is the bootloader
(the AN3155 target that two genuine clients judge); without it qemu runs what the flash holds.
"""

from __future__ import annotations

import select
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from serial.rfc2217 import PortManager
from serial.urlhandler.protocol_loop import Serial as LoopPort

from tests.boards.an3155_target import An3155Target
from tests.required_tools import require_tool

MACHINE: Final = "netduinoplus2"
BOARD: Final = "sim-netduinoplus2"
_KIB: Final = 1024
#: RM0090, table 5.
SECTORS: Final = tuple(_KIB * size for size in (16, 16, 16, 16, 64, *(128,) * 7))
_FACTS: Final = f"""
id = "{BOARD}"
name = "Netduino Plus 2 in qemu, with a bootloader"
vendor = "qemu"
mcu = "stm32f405rgt6"
core = "cortex-m4"
cpu_hz = 168_000_000
flash_bytes = {sum(SECTORS)}
ram_bytes = 131_072
recovery = "Set BOOT0 to 1 and press reset."
emulated = true
[flash]
protocol = "an3155"
baud = 115_200
parity = "even"
base = 0x08000000
size = {sum(SECTORS)}
reset = "dtr"
chip = "0x413"
[sources]
"""


def board_folder(folder: Path) -> Path:
    """A user's folder of boards, with this one."""
    top, _, flash = _FACTS.partition("[flash]")
    keys = [line.partition(" = ")[0] for line in top.splitlines() if " = " in line]
    keys += [f"flash.{line.partition(' = ')[0]}" for line in flash.splitlines() if " = " in line]
    sources = "".join(f'"{key}" = "chosen for the tests"\n' for key in keys)
    folder.mkdir()
    (folder / f"{BOARD}.toml").write_text(_FACTS.lstrip() + sources)
    return folder


class FlashableBoard:
    """``flash`` is what it holds; ``folder`` is where its components are kept."""

    def __init__(self, folder: Path, image: bytes) -> None:
        require_tool("qemu-system-arm")
        self._folder = folder
        self.target = An3155Target(
            product_id=0x413,
            flash=bytearray(b"\xff" * sum(SECTORS)),
            extended=True,
            sectors=SECTORS,
        )
        self.target.flash[: len(image)] = image
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.line = f"rfc2217://127.0.0.1:{self._listener.getsockname()[1]}"
        self._over = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._uart: socket.socket | None = None
        self._boots, self._started = 0, b""
        self.reset(boot0=False)
        self._thread = threading.Thread(target=self._serve, name="board")
        self._thread.start()

    def holds(self, image: bytes) -> bool:
        return self.target.flash.startswith(image)

    def has_booted(self, image: bytes) -> bool:
        """Whether this image was started."""
        return self._started.startswith(image)

    def reset(self, *, boot0: bool) -> None:
        """What DTR does: the bootloader, or what is in the flash."""
        self._power_off()
        self._boots += 1
        if boot0:
            self.target.power_up()
            return
        image = self._folder / "flash.bin"
        self._started = bytes(self.target.flash)
        image.write_bytes(self._started)
        path = self._folder / f"uart-{self._boots}"
        self._process = subprocess.Popen(
            [
                require_tool("qemu-system-arm"),
                *("-M", MACHINE, "-nographic", "-monitor", "none"),
                *("-semihosting-config", "enable=on,target=native"),
                *("-serial", f"unix:{path},server=on,wait=on"),
                *("-kernel", str(image)),
            ],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._uart = _connected(path)

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self._power_off()
        self._listener.close()

    def _power_off(self) -> None:
        if self._uart is not None:
            self._uart.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
        self._uart = self._process = None

    def _serve(self) -> None:
        port = _Port(self)
        while not self._over.is_set():
            if not select.select([self._listener], [], [], 0.1)[0]:
                continue
            connection, _ = self._listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with suppress(OSError), connection, connection.makefile("wb", buffering=0) as writer:
                self._converse(connection, writer, PortManager(port, writer))

    def _converse(self, connection: socket.socket, writer: Any, manager: PortManager) -> None:
        while not self._over.is_set():
            uart = self._uart
            watched = [connection] if uart is None else [connection, uart]
            for ready in select.select(watched, [], [], 0.05)[0]:
                data = ready.recv(4096)
                if ready is connection:
                    if not data:
                        return
                    self._take(b"".join(manager.filter(data)), writer, manager)
                elif data and uart is self._uart:
                    writer.write(b"".join(manager.escape(data)))
                elif not data:
                    self._uart = None  # what runs there has ended

    def _take(self, data: bytes, writer: Any, manager: PortManager) -> None:
        if self._process is None:
            writer.write(b"".join(manager.escape(self.target.feed(data))))
        elif self._uart is not None and data:
            with suppress(OSError):
                self._uart.sendall(data)


class _Port(LoopPort):  # type: ignore[misc]  # an untyped library
    """The far end's serial port, as far as its modem lines go."""

    def __init__(self, board: FlashableBoard) -> None:
        super().__init__()
        self._board, self._was_dtr = board, False
        self.port = "loop://"
        self.open()

    def _update_dtr_state(self) -> None:
        super()._update_dtr_state()
        if self._was_dtr and not self._dtr_state:  # the reset is released
            self._board.reset(boot0=self._rts_state)
        self._was_dtr = self._dtr_state


def _connected(path: Path) -> socket.socket:
    deadline = time.monotonic() + 30
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(path))
        except OSError:
            connection.close()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        else:
            return connection


@contextmanager
def flashable_board(folder: Path, image: bytes) -> Iterator[FlashableBoard]:
    """A board that holds an image and has power."""
    folder.mkdir()
    board = FlashableBoard(folder, image)
    try:
        yield board
    finally:
        board.close()
        shutil.rmtree(folder, ignore_errors=True)
