"""Boards under qemu: the firmware runs as it would on a board, its line a TCP connection."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.firmware.device_client import GET, Descriptors, DeviceClient
from tests.required_tools import require_tool

BOARDS: Final = ("lm3s6965evb", "mps2-an385", "mps2-an500", "netduinoplus2", "microbit")
#: What the boards' block sizes are as an exponent (RFC 7959).
SZX: Final = {512: 5, 256: 4, 128: 3}


class Board:
    """A running emulator."""

    def __init__(self, process: subprocess.Popen[bytes], line: socket.socket) -> None:
        self.process, self._line = process, line
        self.client = DeviceClient(Descriptors(line.fileno(), line.fileno()), timeout_s=30)

    def cut_power(self) -> None:
        """No warning: the emulator is killed."""
        self.process.kill()
        self.process.wait(10)

    def ready(self) -> dict[str, object]:
        """Its identity; asked for again while it starts, since a UART that is not on yet loses bytes."""
        for _ in range(40):
            self.client.send(self.client.request(GET, "id"))
            answer = self.client.receive(0.5)
            if answer is not None and answer.code == 0x45:
                while self.client.receive(0.1) is not None:  # answers to the other tries
                    continue
                found = self.client.ask(GET, "id").document
                assert isinstance(found, dict)
                return found
        raise TimeoutError("the board does not start")


@contextmanager
def emulated(board: str, image: Path, folder: Path) -> Iterator[Board]:
    """The board with this image; its flash is a file in the folder, and outlives it there."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        listener.settimeout(30)
        port = listener.getsockname()[1]
        load = ["-device", f"loader,file={image}"] if board == "microbit" else ["-kernel", str(image)]
        process = subprocess.Popen(
            [
                require_tool("qemu-system-arm"),
                *("-M", board, "-nographic", "-monitor", "none"),
                *("-semihosting-config", "enable=on,target=native"),
                # A pty would hold back the last byte until more follows.
                *("-serial", f"tcp:127.0.0.1:{port},nodelay=on"),
                *load,
            ],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            line, _ = listener.accept()
            with line:
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                yield Board(process, line)
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(10)
