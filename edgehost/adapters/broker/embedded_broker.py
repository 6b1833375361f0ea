"""A broker of our own on loopback, for the demo and for tests: mosquitto when installed, amqtt otherwise."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from edgehost.adapters.broker.free_port import free_port
from edgehost.domain.errors import UnavailableError

_HOST: Final = "127.0.0.1"
_START_TIMEOUT_S: Final = 15.0  # amqtt on a loaded board
_STOP_TIMEOUT_S: Final = 5.0
_PROBE_PAUSE_S: Final = 0.02

Kind = Literal["mosquitto", "amqtt"]


@dataclass(slots=True)
class EmbeddedBroker:
    """A running broker; ``stop`` and ``start`` keep its port, and mosquitto its retained messages."""

    kind: Kind
    tcp_port: int
    _folder: Path
    _extra_config: str = ""
    _process: asyncio.subprocess.Process | None = None

    @property
    def host(self) -> str:
        """Loopback; nothing else can reach it."""
        return _HOST

    @property
    def pid(self) -> int | None:
        """The broker's process id; None while it is stopped."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Start the process and return once it takes connections.

        Raises:
            UnavailableError: another program has its port, it ended, or did not listen in time.
        """
        if self._process is not None:
            return
        if await self._listens():  # knocking would find the other, before ours has ended for its sake
            raise UnavailableError(f"Another program listens on {_HOST}:{self.tcp_port}.")
        log = self._folder / "broker.log"
        with log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *self._command(),
                stdin=asyncio.subprocess.PIPE,  # amqtt's process ends when this pipe does, so it never outlives us
                stdout=output,
                stderr=output,
            )
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                # A broker does not say when it listens; knocking is the only way to know.
                while self._process.returncode is None and not await self._listens():  # noqa: ASYNC110
                    await asyncio.sleep(_PROBE_PAUSE_S)
        except BaseException as error:
            await self.stop()
            if isinstance(error, TimeoutError):
                raise UnavailableError(f"{self.kind} does not listen: {_tail(log)}") from None
            raise
        if self._process.returncode is not None:
            await self.stop()
            raise UnavailableError(f"{self.kind} ended at once: {_tail(log)}")

    async def stop(self, *, kill: bool = False) -> None:
        """End the process; ``kill`` gives it no time to save its messages."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        with suppress(ProcessLookupError):
            if kill:
                process.kill()
            else:
                process.terminate()
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    def _command(self) -> list[str]:
        if self.kind == "amqtt":
            return [sys.executable, "-I", "-m", "edgehost.adapters.broker.amqtt_process", str(self.tcp_port)]
        config = self._folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.tcp_port} {_HOST}\n"
            f"{self._extra_config or 'allow_anonymous true'}\n"
            "persistence true\n"
            f"persistence_location {self._folder}/\n"
            "set_tcp_nodelay true\n" + ("user root\n" if os.geteuid() == 0 else ""),
            # Started by root, mosquitto would become a user that cannot write into our folder.
            encoding="utf-8",
        )
        program = _mosquitto()
        if program is None:
            raise UnavailableError("mosquitto is not installed.", hint="Install it, or use amqtt.")
        return [program, "-c", str(config)]

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection(_HOST, self.tcp_port)
        except OSError:
            return False
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        return True


@asynccontextmanager
async def open_broker(
    tcp_port: int = 0, *, kind: Kind | None = None, folder: Path | None = None, extra_config: str = ""
) -> AsyncIterator[EmbeddedBroker]:
    """A running broker on loopback; port 0 picks a free one, ``kind`` None prefers mosquitto.

    ``folder`` keeps mosquitto's retained messages beyond this context. ``extra_config`` takes the place of
    "everybody may do anything" in mosquitto's configuration: TLS, passwords, access lists.

    Raises:
        UnavailableError: neither broker can be started.
    """
    chosen: Kind = kind or ("mosquitto" if _mosquitto() else "amqtt")
    with tempfile.TemporaryDirectory(prefix="edgehost-broker-") as scratch:
        broker = EmbeddedBroker(chosen, tcp_port or free_port(), folder or Path(scratch), extra_config)
        await broker.start()
        try:
            yield broker
        finally:
            await broker.stop()


def _mosquitto() -> str | None:
    # Debian keeps it in /usr/sbin, which is not on every user's PATH.
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def _tail(log: Path) -> str:
    """The last words of the broker, on one line."""
    with suppress(OSError):
        lines = log.read_bytes()[-2000:].decode("utf-8", "replace").split("\n")
        return "; ".join([line.strip() for line in lines if line.strip()][-2:])
    return "no log"
