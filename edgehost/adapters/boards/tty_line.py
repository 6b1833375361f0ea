"""A line that is a terminal device: a UART, a USB converter, a pty. Opened by pyserial, read by the event loop."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import select
import termios
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from edgehost.domain.errors import LineLostError
from edgehost.ports.device_line import LineSettings

if TYPE_CHECKING:
    from serial import Serial

#: A line that takes no byte for so long has nobody at its end; the slowest baud in use needs 4 s for a full buffer.
_STALLED_S: Final = 10.0
#: What a pty answers when it is asked for modem lines.
_NO_MODEM_LINES: Final = (errno.ENOTTY, errno.EINVAL, errno.EOPNOTSUPP)


class TtyLine:
    """DeviceLine over a descriptor that does not block."""

    def __init__(self, path: str, line: Serial) -> None:
        self._path, self._line = path, line
        self._descriptor: int = line.fileno()
        self._exclusive = bool(line.exclusive)

    async def read(self, most: int, timeout_s: float) -> bytes:
        """At least one byte and at most ``most``; b"" after ``timeout_s`` without one."""
        if not self._is_readable():
            try:
                async with asyncio.timeout(timeout_s):
                    await self._readable()
            except TimeoutError:
                return b""
        try:
            content = os.read(self._descriptor, most)
        except BlockingIOError:
            return b""
        except OSError as problem:
            raise self._lost(problem) from None
        if not content:  # it said that it can be read, and there is nothing: it was hung up
            raise self._lost(None)
        return content

    async def write(self, data: bytes) -> None:
        """Send all of it: into the kernel's buffer, whose end a device never sees."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:
                await self._writable()
            except OSError as problem:
                raise self._lost(problem) from None

    async def drain(self) -> None:
        """Wait until what was written is out.

        Raises:
            TimeoutError, OSError, termios.error: it does not go out.
        """
        async with asyncio.timeout(_STALLED_S):
            await asyncio.to_thread(termios.tcdrain, self._descriptor)

    async def set_baud(self, baud: int) -> None:
        """Change the speed once what was written is out."""
        try:
            await self.drain()
            self._line.baudrate = baud
        except TimeoutError:
            raise LineLostError(f"{self._path} takes no more bytes.") from None
        except (OSError, termios.error, ValueError) as problem:
            raise LineLostError(f"{self._path} cannot be set to {baud} baud: {problem}.") from None

    async def set_signals(self, *, dtr: bool | None = None, rts: bool | None = None) -> bool:
        """Set modem lines (True: asserted); False when this line has none."""
        try:
            if dtr is not None:
                self._line.dtr = dtr
            if rts is not None:
                self._line.rts = rts
        except OSError as problem:
            if problem.errno in _NO_MODEM_LINES:
                return False
            raise self._lost(problem) from None
        return True

    async def drop_input(self) -> None:
        """Forget what has arrived and was not read."""
        with suppress(OSError, termios.error):
            termios.tcflush(self._descriptor, termios.TCIFLUSH)

    def close(self) -> None:
        """Let go of the line, whatever was not sent yet; closing it twice is no error."""
        if not self._line.is_open:
            return
        with suppress(OSError):
            if self._exclusive:  # stays on the terminal for as long as anybody has it open
                fcntl.ioctl(self._descriptor, termios.TIOCNXCL)
        with suppress(OSError, termios.error):
            termios.tcflush(self._descriptor, termios.TCOFLUSH)  # else close waits for a device that is gone
        self._line.close()

    def _is_readable(self) -> bool:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(0))

    async def _readable(self) -> None:
        loop, turn = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._descriptor, turn.set)
        try:
            await turn.wait()
        finally:
            loop.remove_reader(self._descriptor)

    async def _writable(self) -> None:
        loop, turn = asyncio.get_running_loop(), asyncio.Event()
        loop.add_writer(self._descriptor, turn.set)
        try:
            async with asyncio.timeout(_STALLED_S):
                await turn.wait()
        except TimeoutError:
            raise LineLostError(
                f"{self._path} takes no more bytes.", hint="The device hangs, or is held at its other end."
            ) from None
        finally:
            loop.remove_writer(self._descriptor)

    def _lost(self, problem: OSError | None) -> LineLostError:
        why = "" if problem is None or problem.errno == errno.EIO else f" ({problem.strerror})"
        return LineLostError(
            f"{self._path} is gone{why}.", hint="Was it unplugged? Plug it in and try again."
        )


def open_tty(path: str, settings: LineSettings) -> TtyLine:
    """Open and lock the device; blocks.

    Raises:
        OSError: as the system gave it; EAGAIN when somebody else has the lock.
    """
    import serial  # noqa: PLC0415 - only hosts with a device pay for it

    try:
        line = serial.Serial(
            path,
            settings.baud,
            parity=serial.PARITY_EVEN if settings.parity == "even" else serial.PARITY_NONE,
            timeout=0,
            exclusive=settings.exclusive or None,
        )
    except serial.SerialException as problem:
        if problem.errno is None and isinstance(
            problem.__context__, termios.error
        ):  # its number is lost on the way
            raise OSError(*problem.__context__.args[:2]) from None
        raise
    except termios.error as problem:  # what pyserial lets through
        raise OSError(*problem.args[:2]) from None
    try:
        if settings.exclusive:  # the lock stops those who ask for one, this stops everybody but root
            fcntl.ioctl(line.fileno(), termios.TIOCEXCL)
        os.set_blocking(line.fileno(), False)
    except OSError:
        line.close()
        raise
    return TtyLine(path, line)
