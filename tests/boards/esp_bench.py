"""The mock of Espressif's ROM loader that others wrote (esp32-mock-bootloader), with its flash in our hands."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

from esp32_mock_bootloader import server

from edgehost.adapters.boards.esp_programmer import EspProgrammer
from edgehost.adapters.boards.esptool_programmer import EsptoolProgrammer
from edgehost.adapters.boards.serial_lines import SerialLines
from edgehost.domain.board import Board, FlashFacts
from edgehost.ports.programmer import Programmer
from tests.boards.programmer_bench import Bench, some_board, some_bytes, some_image

FLASH_BYTES = 4 * 1024 * 1024


class EspMock:
    """Serves the mock in a thread; cutting its power drops the connection and keeps the flash."""

    def __init__(self, chip: str) -> None:
        self._chip = chip
        self.flash = server.FlashImage()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stop = threading.Event()
        self._connection: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve, name="esp-mock", daemon=True)
        self._thread.start()

    @property
    def line(self) -> str:
        return f"socket://127.0.0.1:{self._listener.getsockname()[1]}"

    def cut_power(self) -> None:
        if self._connection is not None:
            with suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)

    def unplug(self) -> None:
        """Nothing is at the line's end any more."""
        self._stop.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut_power()

    def close(self) -> None:
        self.unplug()
        self._thread.join()

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connection = connection
            served = server.BootloaderConnection(sock=connection)
            server.handle_client(served, self._stop, self._chip, flash=self.flash)


class EspBench:
    def __init__(self, mock: EspMock, chip: str, tool: str) -> None:
        self.mock = mock
        lines = SerialLines()
        self.programmer: Programmer = EspProgrammer(lines) if tool == "built-in" else EsptoolProgrammer(lines)
        facts = FlashFacts("esp", baud=460_800, size=FLASH_BYTES, reset="classic", chip=chip)
        self.board = some_board(facts, flash_bytes=FLASH_BYTES)
        self.wrong_board: Board | None = replace(self.board, flash=replace(facts, chip="esp32c3"))
        app = some_bytes(150_000) + bytes(20_000)
        self.image = some_image((0, some_bytes(5_000, seed=3)), (0x8000, b"\xaa\x50" * 100), (0x10000, app))
        self.verifies = chip != "esp8266" or tool == "esptool"
        self.needs_reset = False

    @property
    def line(self) -> str:
        return self.mock.line

    def read_back(self) -> bytes:
        return b"".join(bytes(self.mock.flash.data[part.address : part.end]) for part in self.image.segments)

    def cut_power(self) -> None:
        self.mock.cut_power()

    async def restore_power(self) -> None:
        pass


def esp_bench(chip: str, tool: str = "built-in") -> Callable[[Path], AbstractAsyncContextManager[Bench]]:
    @asynccontextmanager
    async def opened(_folder: Path) -> AsyncIterator[Bench]:
        mock = EspMock(chip)
        mock.flash.data[:200_000] = some_bytes(200_000, seed=9)
        try:
            yield EspBench(mock, chip, tool)
        finally:
            mock.close()

    return opened
