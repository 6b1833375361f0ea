"""A serial line to a device, wherever it ends: a USB port, a pty, a TCP socket, an RFC 2217 server."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class LineSettings:
    """How the line is opened."""

    baud: int = 115_200
    parity: str = "none"  # none, even
    exclusive: bool = True  # nobody else may have it open


@dataclass(frozen=True, slots=True)
class FoundLine:
    """A line that this machine has."""

    path: str
    description: str = ""
    usb: str = ""  # 2341:0043; "" when it is no USB device
    serial_number: str = ""
    location: str = ""  # which socket of the machine: 1-1.4:1.0


class DeviceLine(Protocol):
    """An open line. Closing it is the work of whoever opened it."""

    async def read(self, most: int, timeout_s: float) -> bytes:
        """At least one byte and at most ``most``; b"" after ``timeout_s`` without one.

        Raises:
            LineLostError: it was unplugged or closed from the other end.
        """
        ...

    async def write(self, data: bytes) -> None:
        """Send all of it.

        Raises:
            LineLostError.
        """
        ...

    async def set_baud(self, baud: int) -> None:
        """Change the speed; without effect on lines that have none."""
        ...

    async def set_signals(self, *, dtr: bool | None = None, rts: bool | None = None) -> bool:
        """Set modem lines (True: asserted); False when this line has none."""
        ...

    async def drop_input(self) -> None:
        """Forget what has arrived and was not read."""
        ...


class DeviceLines(Protocol):
    """The lines of this machine."""

    def open(self, path: str, settings: LineSettings) -> AbstractAsyncContextManager[DeviceLine]:
        """Open a line by path or URL (socket://, rfc2217://).

        Raises:
            LineBusyError: somebody else has it; the message says who, where that can be found out.
            LineDeniedError: this user may not open it; the hint names the group.
            NoLineError: there is no such line.
        """
        ...

    async def found(self) -> Sequence[FoundLine]:
        """The lines that are there now, sorted by path."""
        ...
