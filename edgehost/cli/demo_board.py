"""A board under qemu that runs edgehost's firmware: its line is a TCP port that stays, its power can be cut."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgehost.domain.errors import NotFoundError

_QEMU: Final = "qemu-system-arm"
#: The machines whose firmware the emulator's loader takes as it is, and the one that wants another way.
_LOADED: Final = "microbit"


@dataclass(slots=True)
class EmulatedBoard:
    """One machine of qemu; what the firmware writes to its flash is a file in ``folder``, which outlives the power."""

    machine: str
    image: Path
    folder: Path
    listener: socket.socket
    process: asyncio.subprocess.Process | None = None

    @property
    def line(self) -> str:
        """Where the board's UART is, whether it has power or not."""
        return f"socket://127.0.0.1:{self.listener.getsockname()[1]}"

    async def power_on(self) -> None:
        """Start the firmware. The port is ours and is handed to the emulator: it stays while the board is off."""
        line = self.listener.fileno()
        load = (
            ("-device", f"loader,file={self.image}")
            if self.machine == _LOADED
            else ("-kernel", str(self.image))
        )
        self.process = await asyncio.create_subprocess_exec(
            _QEMU,
            *("-M", self.machine, "-nographic", "-monitor", "none"),
            *("-semihosting-config", "enable=on,target=native"),
            *("-chardev", f"socket,id=line,fd={line},server=on,wait=off", "-serial", "chardev:line"),
            *load,
            cwd=self.folder,
            pass_fds=(line,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    async def cut_power(self) -> None:
        """No warning: the emulator is killed."""
        process, self.process = self.process, None
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()


@asynccontextmanager
async def emulated_board(machine: str, image: Path, folder: Path) -> AsyncIterator[EmulatedBoard]:
    """The board with power.

    Raises:
        NotFoundError: there is no emulator.
    """
    if shutil.which(_QEMU) is None:
        raise NotFoundError(f"{_QEMU} is not installed.", hint=f"On Debian: apt-get install {_QEMU}")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        # What it accepts inherits this; the emulator sends byte by byte, and would wait for acknowledgements.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        board = EmulatedBoard(machine, image, folder, listener)
        await board.power_on()
        try:
            yield board
        finally:
            await board.cut_power()
