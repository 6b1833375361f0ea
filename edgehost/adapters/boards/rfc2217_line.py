"""A serial port of another machine, with its speed and modem lines: ``rfc2217://HOST:PORT`` by pyserial, in threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from edgehost.adapters.boards.socket_line import address_of
from edgehost.domain.errors import LineLostError, NoLineError
from edgehost.ports.device_line import DeviceLine, LineSettings

if TYPE_CHECKING:
    from serial.rfc2217 import Serial

#: How long the reading thread may be busy after the line was closed.
_SLICE_S: Final = 0.1
_MOST_WAITING: Final = 65_536


class Rfc2217Line:
    """DeviceLine over pyserial's client. One thread reads; what it has is taken from a bounded buffer."""

    def __init__(self, path: str, line: Serial) -> None:
        self._path, self._line = path, line
        self._buffer = bytearray()
        self._came, self._room = asyncio.Event(), threading.Event()
        self._trouble = ""
        self._loop = asyncio.get_running_loop()
        self._is_over = threading.Event()
        self._reader = threading.Thread(target=self._pump, name="edgehost.rfc2217", daemon=True)
        self._room.set()
        self._reader.start()

    async def read(self, most: int, timeout_s: float) -> bytes:
        """At least one byte and at most ``most``; b"" after ``timeout_s`` without one."""
        if not self._buffer:
            self._came.clear()
            self._require_there()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._came.wait()
            except TimeoutError:
                return b""
            if not self._buffer:
                self._require_there()
        content = bytes(self._buffer[:most])
        del self._buffer[:most]
        if len(self._buffer) < _MOST_WAITING:
            self._room.set()
        return content

    async def write(self, data: bytes) -> None:
        """Send all of it."""
        self._require_there()
        try:
            await asyncio.to_thread(self._line.write, data)
        except (OSError, ValueError) as problem:
            raise self._lost(str(problem)) from None

    async def set_baud(self, baud: int) -> None:
        """Change the speed at the far end."""
        await self._set("baudrate", baud)

    async def set_signals(self, *, dtr: bool | None = None, rts: bool | None = None) -> bool:
        """Set modem lines at the far end."""
        if dtr is not None:
            await self._set("dtr", dtr)
        if rts is not None:
            await self._set("rts", rts)
        return True

    async def drop_input(self) -> None:
        """Forget what has arrived and was not read, here and at the far end."""
        with suppress(OSError, ValueError):
            await asyncio.to_thread(self._line.reset_input_buffer)
        self._buffer.clear()
        self._room.set()

    def close(self) -> None:
        """End the reading thread and the connection; blocks for as long as a slice."""
        self._is_over.set()
        self._room.set()
        self._reader.join()
        self._line.close()

    async def _set(self, name: str, value: int) -> None:
        self._require_there()
        try:
            await asyncio.to_thread(setattr, self._line, name, value)
        except (OSError, ValueError) as problem:
            raise self._lost(str(problem)) from None

    def _pump(self) -> None:
        trouble = ""
        while not self._is_over.is_set() and not trouble:
            self._room.wait()
            try:
                content = self._line.read(1)
                if content and (waiting := self._line.in_waiting):
                    content += self._line.read(waiting)
            except (OSError, TypeError, ValueError) as problem:
                content, trouble = b"", str(problem) or "closed"
            if content or trouble:
                with suppress(RuntimeError):  # the loop has ended
                    self._loop.call_soon_threadsafe(self._take, bytes(content), trouble)

    def _take(self, content: bytes, trouble: str) -> None:
        self._buffer += content
        self._trouble = self._trouble or trouble
        if len(self._buffer) >= _MOST_WAITING:
            self._room.clear()
        self._came.set()

    def _require_there(self) -> None:
        if self._trouble:
            raise self._lost(self._trouble)

    def _lost(self, why: str) -> LineLostError:
        return LineLostError(f"{self._path} is gone: {why}.")


@asynccontextmanager
async def open_rfc2217(path: str, settings: LineSettings) -> AsyncIterator[DeviceLine]:
    """Connect and negotiate; the server decides how many may."""
    address_of(path)
    try:
        line = await asyncio.to_thread(_connected, path, settings)
    except (OSError, ValueError) as problem:
        cause = problem.__context__ if isinstance(problem.__context__, OSError) else problem
        why = getattr(cause, "strerror", None) or str(problem).removeprefix(f"Could not open port {path}: ")
        raise NoLineError(
            f"There is no line at {path}: {why}.", hint="Is the server running there?"
        ) from None
    opened = Rfc2217Line(path, line)
    try:
        yield opened
    finally:
        await asyncio.shield(asyncio.to_thread(opened.close))


def _connected(path: str, settings: LineSettings) -> Serial:
    import serial  # noqa: PLC0415 - only hosts with such a line pay for it
    from serial.rfc2217 import Serial as Client  # noqa: PLC0415

    parity = serial.PARITY_EVEN if settings.parity == "even" else serial.PARITY_NONE
    return Client(path, settings.baud, parity=parity, timeout=_SLICE_S)
