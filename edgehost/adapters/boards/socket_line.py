"""A line at the far end of a TCP connection without any protocol on it: ``socket://HOST:PORT``."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

from edgehost.domain.errors import LineLostError, NoLineError, RefusedError
from edgehost.ports.device_line import DeviceLine, LineSettings

_CONNECT_S: Final = 5.0
_STALLED_S: Final = 10.0
_CHUNK: Final = 65_536


class SocketLine:
    """DeviceLine over a socket; it has neither a speed nor modem lines."""

    def __init__(self, path: str, connection: socket.socket) -> None:
        self._path, self._connection = path, connection

    async def read(self, most: int, timeout_s: float) -> bytes:
        """At least one byte and at most ``most``; b"" after ``timeout_s`` without one."""
        try:
            content = self._connection.recv(most)
        except BlockingIOError:
            content = None
        except OSError as problem:
            raise self._lost(problem) from None
        if content is None:
            content = await self._later(most, timeout_s)
        if content == b"":
            raise self._lost(None)
        return content or b""

    async def write(self, data: bytes) -> None:
        """Send all of it."""
        try:
            async with asyncio.timeout(_STALLED_S):
                await asyncio.get_running_loop().sock_sendall(self._connection, data)
        except TimeoutError:
            raise LineLostError(f"{self._path} takes no more bytes.") from None
        except OSError as problem:
            raise self._lost(problem) from None

    async def set_baud(self, baud: int) -> None:
        """Nothing: whoever stands at the other end has set it."""

    async def set_signals(self, *, dtr: bool | None = None, rts: bool | None = None) -> bool:  # noqa: ARG002
        """False: there are none."""
        return False

    async def drop_input(self) -> None:
        """Forget what has arrived and was not read."""
        try:
            while self._connection.recv(_CHUNK):
                pass
        except OSError:  # BlockingIOError: nothing more is there; a lost connection is told by the next read
            return

    async def _later(self, most: int, timeout_s: float) -> bytes | None:
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.get_running_loop().sock_recv(self._connection, most)
        except TimeoutError:
            return None
        except OSError as problem:
            raise self._lost(problem) from None

    def _lost(self, problem: OSError | None) -> LineLostError:
        why = f" ({problem.strerror})" if problem is not None else ""
        return LineLostError(f"{self._path} was closed from its other end{why}.")


def address_of(path: str) -> tuple[str, int]:
    """Host and port of a line's URL.

    Raises:
        RefusedError: one of them is missing.
    """
    try:
        parts = urlsplit(path)
        host, tcp_port = parts.hostname, parts.port
    except ValueError:
        host = tcp_port = None
    if not host or not tcp_port:
        raise RefusedError(f"'{path}' names no line.", hint="Write it as socket://HOST:PORT.")
    return host, tcp_port


@asynccontextmanager
async def open_socket(path: str, settings: LineSettings) -> AsyncIterator[DeviceLine]:  # noqa: ARG001
    """Connect; whether others may connect too is for the other end to say."""
    host, tcp_port = address_of(path)
    try:
        async with asyncio.timeout(_CONNECT_S):
            connection = await _connected(host, tcp_port)
    except TimeoutError:
        raise NoLineError(f"Nobody answers at {path}.") from None
    except UnicodeError:  # of a name that no server for names could be asked for
        raise NoLineError(f"There is no line at {path}: that is no name of a host.") from None
    except OSError as problem:
        raise NoLineError(
            f"There is no line at {path}: {_in_words(problem)}.", hint="Is the server running there?"
        ) from None
    try:
        yield SocketLine(path, connection)
    finally:
        connection.close()


def _in_words(problem: OSError) -> str:
    if problem.errno and problem.errno > 0:
        return os.strerror(problem.errno)  # asyncio's own text names the call
    return problem.strerror or str(problem)  # of a name that is not known: its numbers are another table's


async def _connected(host: str, tcp_port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    trouble = OSError("it has no address")
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, tcp_port, type=socket.SOCK_STREAM):
        connection = socket.socket(family, kind, protocol)
        connection.setblocking(False)  # noqa: FBT003
        try:
            await loop.sock_connect(connection, address)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as problem:
            trouble = problem
            connection.close()
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise trouble
