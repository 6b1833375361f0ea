"""The service ``serial``: lines of text to and from a device, on a line that is opened again when it is lost."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections import deque
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, suppress
from typing import TYPE_CHECKING, Any, Final

from edgehost.adapters.services.running_service import running
from edgehost.config_services import SerialOptions
from edgehost.domain.backoff import Backoff
from edgehost.domain.errors import RefusedError, TooLargeError, UnavailableError
from edgehost.domain.spec_reader import SpecReader
from edgehost.ports.service import Service, ServiceHealth, ServiceNotice

if TYPE_CHECKING:
    from serial import Serial

_ENDINGS: Final = {"lf": b"\n", "crlf": b"\r\n", "cr": b"\r"}
_BACKOFF: Final = Backoff(0.25, 10.0)
_CHUNK: Final = 4096
_WRITE_S: Final = 5.0  # a device that takes nothing for so long is not listening
_ANSWERS: Final = 16  # lines that wait for whoever asks


class SerialService:
    """A Service over pyserial: opened and written in threads, read by the event loop."""

    functions: Mapping[str, str] = {
        "write": 'one line to the device: {"line"}',
        "ask": 'one line to the device, and the next line that it sends: {"line", "timeout_s"?}',
    }
    events: Mapping[str, str] = {
        "line": 'the device sent one: {"line"}',
        "opened": "the device is there",
        "closed": 'the device is gone: {"why"}',
    }

    def __init__(self, name: str, options: SerialOptions, notice: ServiceNotice) -> None:
        self._name, self._options, self._notice = name, options, notice
        self._ending = _ENDINGS[options.ending]
        self._line: Serial | None = None
        self._trouble = "not opened yet"
        self._dropped = 0
        self._turn = asyncio.Lock()
        self._answers: deque[str] = deque(maxlen=_ANSWERS)
        self._came = asyncio.Event()

    async def run(self) -> None:
        """Keep the line open until cancelled."""
        attempt = 0
        while True:
            try:
                line = await asyncio.to_thread(self._open)
            except (OSError, ValueError) as problem:  # pyserial's own errors are both
                self._trouble = str(problem)
                await asyncio.sleep(_BACKOFF.delay_s(attempt, secrets.SystemRandom().random()))
                attempt += 1
                continue
            attempt, self._line, self._trouble = 0, line, ""
            self._notice("opened", {})
            try:
                self._trouble = await self._read(line)
            finally:
                self._line = None
                line.close()
            self._notice("closed", {"why": self._trouble})

    async def call(self, function: str, given: Any, *, timeout_s: float) -> Any:  # noqa: ANN401 - JSON
        """Write a line, and for ``ask`` wait for the next one.

        Raises:
            RefusedError, TooLargeError: it is no line.
            UnavailableError: the device is not there, takes nothing or answers nothing.
        """
        if not isinstance(given, Mapping):
            raise RefusedError(f"The service '{self._name}' wants an object with a line.")
        request = SpecReader(given, error=RefusedError)
        content = self._content(request)
        wait_s = timeout_s
        if function == "ask":
            wait_s = min(timeout_s, request.number("timeout_s", default=timeout_s, least=0.0, most=3600.0))
        request.refuse_unknown()
        try:
            async with asyncio.timeout(wait_s), self._turn:
                self._answers.clear()
                await self._write(content)
                if function == "write":
                    return {}
                while not self._answers:
                    self._came.clear()
                    await self._came.wait()
                return {"line": self._answers.popleft()}
        except TimeoutError:
            raise UnavailableError(f"{self._options.device_path} did not answer in time.") from None

    def health(self) -> ServiceHealth:
        """Whether the device is there."""
        if self._line is None:
            return ServiceHealth(
                "warning", self._trouble, "Plug the device in; look at device_path and its group."
            )
        if self._dropped:
            return ServiceHealth("warning", f"{self._dropped} lines were too long and were dropped")
        return ServiceHealth()

    def _content(self, request: SpecReader) -> bytes:
        text = request.text("line", longest=self._options.line_bytes)
        if "\n" in text or "\r" in text:
            raise request.refused("line", "holds a line's end.", hint="Send one line at a time.")
        content = text.encode() + self._ending
        if len(content) > self._options.line_bytes:
            raise TooLargeError(f"The line has more than {self._options.line_bytes} bytes.")
        return content

    def _open(self) -> Serial:
        import serial  # noqa: PLC0415 - only hosts with a device pay for it

        line = serial.Serial(
            str(self._options.device_path),
            self._options.baud,
            timeout=0,
            write_timeout=_WRITE_S,
            exclusive=True,
        )
        os.set_blocking(line.fileno(), False)
        return line

    async def _write(self, content: bytes) -> None:
        line = self._line
        if line is None:
            raise UnavailableError(f"{self._options.device_path} is not there: {self._trouble}.")
        try:
            await asyncio.to_thread(line.write, content)
        except OSError as problem:
            raise UnavailableError(f"{self._options.device_path} did not take the line: {problem}.") from None

    async def _read(self, line: Serial) -> str:
        """Hand out lines until the device is gone; returns why."""
        loop, gone = asyncio.get_running_loop(), asyncio.Event()
        buffer, why = bytearray(), ["closed"]

        def readable() -> None:
            try:
                content = os.read(descriptor, _CHUNK)
            except BlockingIOError:
                return
            except OSError as problem:
                why[0] = problem.strerror or "closed"
                gone.set()
                return
            if not content:
                gone.set()
                return
            self._take(buffer, content)

        descriptor = line.fileno()
        loop.add_reader(descriptor, readable)
        try:
            await gone.wait()
        finally:
            with suppress(OSError, ValueError):
                loop.remove_reader(descriptor)
        return why[0]

    def _take(self, buffer: bytearray, content: bytes) -> None:
        buffer += content
        while (end := buffer.find(self._ending)) >= 0:
            raw = bytes(buffer[:end])
            del buffer[: end + len(self._ending)]
            if len(raw) > self._options.line_bytes:
                self._dropped += 1
                continue
            text = raw.decode("utf-8", "replace")
            self._answers.append(text)
            self._came.set()
            self._notice("line", {"line": text})
        if (
            len(buffer) > 2 * self._options.line_bytes
        ):  # a line without an end: keep its tail only, count it once it ends
            del buffer[: -self._options.line_bytes - 1]


def open_serial_service(
    name: str, options: SerialOptions, notice: ServiceNotice
) -> AbstractAsyncContextManager[Service]:
    """A service that opens the line by itself; a device that is not there yet is no error."""
    return running(SerialService(name, options, notice), name)
