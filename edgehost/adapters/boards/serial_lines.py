"""The serial lines of this machine: devices and ptys by path, TCP sockets and RFC 2217 servers by URL."""

from __future__ import annotations

import asyncio
import errno
import termios
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from edgehost.adapters.boards.line_holders import holders_of, way_in
from edgehost.adapters.boards.rfc2217_line import open_rfc2217
from edgehost.adapters.boards.socket_line import open_socket
from edgehost.adapters.boards.tty_line import open_tty
from edgehost.domain.errors import (
    EdgehostError,
    LineBusyError,
    LineDeniedError,
    LineLostError,
    NoLineError,
    RefusedError,
)
from edgehost.ports.device_line import DeviceLine, FoundLine, LineSettings

_URLS: Final = {"socket": open_socket, "rfc2217": open_rfc2217}
_ABSENT: Final = (errno.ENOENT, errno.ENXIO, errno.ENODEV)
_NO_LINE: Final = (errno.ENOTTY, errno.EISDIR, errno.EINVAL)
_BUSY: Final = (errno.EBUSY, errno.EAGAIN)
#: Lines that a process of its own makes and keeps open at its end: that it has them open means nothing.
_PTYS: Final = "/dev/pts/"


class SerialLines:
    """DeviceLines over termios, sockets and pyserial."""

    def open(self, path: str, settings: LineSettings) -> AbstractAsyncContextManager[DeviceLine]:
        """Open a line by path or URL (``socket://HOST:PORT``, ``rfc2217://HOST:PORT``)."""
        scheme, is_url, _ = path.partition("://")
        if not is_url:
            return _opened_tty(path, settings)
        opener = _URLS.get(scheme)
        if opener is None:
            raise RefusedError(
                f"'{path}' is no line that can be opened.",
                hint="Lines are /dev/NAME, socket://HOST:PORT and rfc2217://HOST:PORT.",
            )
        return opener(path, settings)

    async def found(self) -> Sequence[FoundLine]:
        """The lines that are there now, sorted by path; those that cannot be a device's are left out."""
        return await asyncio.to_thread(_found)


def _found() -> tuple[FoundLine, ...]:
    from serial.tools.list_ports import comports  # noqa: PLC0415 - pyserial only where it is asked for

    return tuple(
        FoundLine(
            path=port.device,
            description="" if port.description in (None, "n/a") else port.description,
            usb="" if port.vid is None else f"{port.vid:04X}:{port.pid:04X}",
            serial_number=port.serial_number or "",
            location=port.location or "",
        )
        for port in sorted(comports(), key=lambda port: str(port.device))
    )


@asynccontextmanager
async def _opened_tty(path: str, settings: LineSettings) -> AsyncIterator[DeviceLine]:
    try:
        line = await asyncio.to_thread(open_tty, path, settings)
    except OSError as problem:
        raise await asyncio.to_thread(_explained, path, problem, settings) from None
    try:
        if settings.exclusive:
            await asyncio.to_thread(_refuse_shared, path)
        yield line
        with suppress(
            OSError, termios.error
        ):  # TimeoutError too: whoever needs it to arrive waits for an answer
            await line.drain()
    finally:
        line.close()


def _refuse_shared(path: str) -> None:
    """Whoever opened the line without a lock would take half of the answers."""
    real = str(Path(path).resolve())
    if real.startswith(_PTYS):
        return
    if others := holders_of(real, with_self=False):
        raise _busy(path, others)


def _busy(path: str, holders: Sequence[str]) -> LineBusyError:
    who = f" by {', '.join(holders)}" if holders else " by another program"
    return LineBusyError(f"{path} is in use{who}.", hint="End that program, or choose another line.")


def _explained(path: str, problem: OSError, settings: LineSettings) -> EdgehostError:
    """The error of an open that failed, in words for whoever holds the board."""
    if problem.errno in _ABSENT:
        return NoLineError(
            f"There is no line {path}.",
            hint=f"{_with_folder(path)}Plug the board in; 'edgehost boards detect' shows what is there.",
        )
    if problem.errno in _BUSY:
        return _busy(path, holders_of(str(Path(path).resolve()), with_self=True))
    if problem.errno in (errno.EACCES, errno.EPERM):
        return LineDeniedError(f"This user may not open {path}.", hint=way_in(path))
    if problem.errno == errno.EINVAL and settings.parity != "none":
        return RefusedError(
            f"{path} cannot carry {settings.parity} parity, which the bootloader of this board wants.",
            hint="A pseudo-terminal never can; choose a USB-serial adapter that does.",
        )
    if problem.errno in _NO_LINE:
        return RefusedError(f"{path} is no serial line.")
    return LineLostError(f"{path} cannot be opened: {problem.strerror or problem}.")


def _with_folder(path: str) -> str:
    """What somebody means who writes ``ttyACM0``."""
    device = f"/dev/{path}"
    return f"Did you mean {device}? " if "/" not in path and Path(device).is_char_device() else ""
