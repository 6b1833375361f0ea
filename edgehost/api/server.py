"""Serves the application on a TCP port, a Unix socket, or both, inside the host's own event loop."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgehost.api.access import require_safe_address
from edgehost.api.app import HostApp
from edgehost.api.bounded_protocol import MAX_HEAD_BYTES, bounded_protocol
from edgehost.api.bounded_socket import bounded_socket_protocol
from edgehost.api.lean_uvicorn import Config, Server
from edgehost.domain.errors import ConflictError, InvalidConfigError, UnavailableError

KEEP_ALIVE_S: Final = 30
#: Calls have a deadline of a second by default; whoever waits longer is cut off when the host ends.
CLOSE_TIMEOUT_S: Final = 5
_BACKLOG: Final = 128
#: The kernel's sun_path holds 108 bytes with the final zero.
_MAX_SOCKET_PATH_BYTES: Final = 107


@dataclass(frozen=True, slots=True)
class ServedAt:
    """Where the application can be reached."""

    url: str = ""  # "http://127.0.0.1:8420"; empty when there is no TCP port
    tcp_port: int = 0
    unix_socket: Path | None = None


@asynccontextmanager
async def serving(
    app: HostApp,
    *,
    address: str = "127.0.0.1",
    tcp_port: int | None = None,
    unix_socket: Path | None = None,
) -> AsyncIterator[ServedAt]:
    """Serve until the block ends; ``tcp_port`` 0 takes any free one, None none.

    Raises:
        InvalidConfigError: the network can reach the address and there is no token.
        UnavailableError: the address or port cannot be had.
        ConflictError: another host answers on the Unix socket.
    """
    with ExitStack() as stack:
        sockets: list[socket.socket] = []
        url, port = "", 0
        if tcp_port is not None:
            require_safe_address(address, app.access)
            listener = stack.enter_context(_bound_tcp(address, tcp_port))
            sockets.append(listener)
            port = listener.getsockname()[1]
            url = f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
        if unix_socket is not None:
            sockets.append(stack.enter_context(_bound_unix(unix_socket)))
        server = _Server(
            Config(
                app,
                http=bounded_protocol(),
                ws=bounded_socket_protocol(),
                ws_max_size=app.body_bytes,
                ws_per_message_deflate=False,  # a small message must not become a large one
                lifespan="off",
                interface="asgi3",
                log_config=None,
                log_level="error",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                backlog=_BACKLOG,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=CLOSE_TIMEOUT_S,
                h11_max_incomplete_event_size=MAX_HEAD_BYTES,
            )
        )
        failure: Exception | None = None
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(server.serve(sockets=sockets), name="edgehost.api.server")
            try:
                await server.until_started()
                yield ServedAt(url, port, unix_socket)
            except Exception as error:  # noqa: BLE001 - raised again, without the group around it
                failure = error
            finally:
                app.close_streams()
                server.stop()
                await _ended(task)
        if failure is not None:
            raise failure


class _Server(Server):
    """uvicorn as a guest in our loop: no signal handlers, and idle while nothing happens."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._stopping = asyncio.Event()
        self._started = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the host."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._started.set()

    async def until_started(self) -> None:
        await self._started.wait()

    def stop(self) -> None:
        self.should_exit = True
        self._stopping.set()

    async def main_loop(self) -> None:
        """Keep the Date header right; uvicorn's own loop wakes the machine ten times a second."""
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        for connection in tuple(self.server_state.connections):
            connection.transport.abort()


async def _ended(task: asyncio.Task[None]) -> None:
    """Wait for the server; a second cancellation must not leave it half closed."""
    await asyncio.wait({task}, timeout=2 * CLOSE_TIMEOUT_S)


@contextmanager
def _bound_tcp(address: str, tcp_port: int) -> Iterator[socket.socket]:
    numeric = "127.0.0.1" if address == "localhost" else address
    family = socket.AF_INET6 if ":" in numeric else socket.AF_INET
    # The protocol must be named: asyncio sets TCP_NODELAY only where it is, and answers would wait 40 ms for ACKs.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((numeric, tcp_port))
        except OSError as error:
            raise UnavailableError(
                f"Port {tcp_port} of {address} cannot be had: {os.strerror(error.errno or 0)}.",
                hint="Set [api] tcp_port to a free one; 0 takes any.",
            ) from None
        listener.setblocking(False)  # noqa: FBT003 - socket's own signature
        yield listener


@contextmanager
def _bound_unix(path: Path) -> Iterator[socket.socket]:
    if len(os.fsencode(path)) > _MAX_SOCKET_PATH_BYTES:
        raise InvalidConfigError(
            f"api.unix_socket {path} is longer than {_MAX_SOCKET_PATH_BYTES} bytes.",
            hint="Use a shorter path.",
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        _remove_stale(path)
        try:
            listener.bind(str(path))
            # Nobody can connect before listen, so there is no moment at which others could.
            path.chmod(0o600)
        except OSError as error:
            raise UnavailableError(
                f"The socket {path} cannot be made: {os.strerror(error.errno or 0)}.",
                hint="Check [api] unix_socket and its folder.",
            ) from None
        made = path.stat()
        listener.setblocking(False)  # noqa: FBT003 - socket's own signature
        try:
            yield listener
        finally:
            with suppress(OSError):  # gone, or its disk has become read-only; the next start removes it
                if path.stat().st_ino == made.st_ino:
                    path.unlink()


def _remove_stale(path: Path) -> None:
    """Remove the socket of a host that was killed.

    Raises:
        ConflictError: somebody answers on it, or it is no socket.
    """
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ConflictError(
                f"{path} is in the way: it is no socket.", hint="Move it, or set [api] unix_socket."
            )
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # noqa: FBT003 - socket's own signature
        code = probe.connect_ex(str(path))
    if code == errno.ECONNREFUSED:
        path.unlink(missing_ok=True)
    elif code != errno.ENOENT:
        raise ConflictError(
            f"Another host answers on {path}.", hint="Stop it first, or set [api] unix_socket."
        )
