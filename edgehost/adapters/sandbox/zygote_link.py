"""The agent's side of the zygote: starts it, asks it for processes, and hears of every end."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from edgehost.adapters.sandbox.process import zygote as zygote_file
from edgehost.domain.errors import UnavailableError

_log = logging.getLogger("edgehost.sandbox")
_LONGEST_MESSAGE: Final = 65_536
_START_TIMEOUT_S: Final = 10.0  # a cold interpreter on an SD card takes about two
_SPAWN_TIMEOUT_S: Final = 5.0
_KEPT_VARIABLES: Final = ("LD_LIBRARY_PATH", "PYTHONHOME")  # without them some interpreters do not start


@dataclass(slots=True, eq=False)
class Process:
    """A sandbox's process, as the zygote's child."""

    pid: int
    pidfd: int
    ended: asyncio.Future[int | None] = field(repr=False)

    def kill(self) -> None:
        """SIGKILL, to this process and no other."""
        if self.ended.done():
            return
        with suppress(ProcessLookupError):
            if self.pidfd >= 0:
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            else:
                os.kill(self.pid, signal.SIGKILL)

    def end(self, exit_code: int | None) -> None:
        """The process is gone."""
        if not self.ended.done():
            self.ended.set_result(exit_code)
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1


class ZygoteLink:
    """One zygote and its control socket."""

    def __init__(self, popen: subprocess.Popen[bytes], control: socket.socket) -> None:
        self._popen, self._control = popen, control
        self._loop = asyncio.get_running_loop()
        self._hello: asyncio.Future[dict[str, str]] = self._loop.create_future()
        self._asked: dict[int, asyncio.Future[Process]] = {}
        self._processes: dict[int, Process] = {}
        self._last_id = 0
        self.alive = True
        self.confinement: Mapping[str, str] = {}
        self._loop.add_reader(control, self._readable)

    @classmethod
    async def started(cls, withheld: Mapping[str, str]) -> Self:
        """A zygote that has rehearsed.

        Raises:
            UnavailableError: it does not start; the message says why.
        """
        try:
            link = cls(*_spawned(withheld))
        except OSError as error:  # no memory, no descriptors, no processes any more
            raise UnavailableError(f"the sandbox zygote does not start: {error}.") from None
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                link.confinement = await link._hello
        except TimeoutError:
            await link.close()
            raise UnavailableError(
                "the sandbox zygote does not start in time.", hint="Is the machine overloaded?"
            ) from None
        except BaseException:
            await link.close()
            raise
        return link

    @property
    def pid(self) -> int:
        """The zygote's process id."""
        return self._popen.pid

    async def spawn(self, sandbox_end: socket.socket, *, memory_bytes: int) -> Process:
        """A new process that serves the given socket.

        Raises:
            UnavailableError: none can be started now.
        """
        self._last_id += 1
        number = self._last_id  # others may ask while this one waits
        asked = self._asked[number] = self._loop.create_future()
        request = json.dumps({"id": number, "memory_bytes": memory_bytes}).encode()
        try:
            socket.send_fds(self._control, [request], [sandbox_end.fileno()])
            async with asyncio.timeout(_SPAWN_TIMEOUT_S):
                process: Process = await asked
        except TimeoutError:
            raise UnavailableError("no sandbox can be started: the zygote does not answer.") from None
        except OSError as error:
            raise UnavailableError(f"no sandbox can be started: {error}.") from None
        finally:
            self._asked.pop(number, None)
        return process

    async def close(self) -> None:
        """End the zygote and with it every sandbox; returns once it is gone."""
        self._lost()
        with suppress(ProcessLookupError):
            self._popen.kill()
        await asyncio.to_thread(self._popen.wait)

    def _readable(self) -> None:
        try:
            data, fds, _, _ = socket.recv_fds(self._control, _LONGEST_MESSAGE, 1)
        except BlockingIOError:
            return
        except OSError:
            data, fds = b"", []
        if not data:
            _log.error("the sandbox zygote %d is gone, and every sandbox with it", self.pid)
            self._lost()
            return
        self._hear(json.loads(data), fds)

    def _hear(self, message: dict[str, Any], fds: list[int]) -> None:
        match message["op"]:
            case "hello":
                if not self._hello.done():
                    self._hello.set_result(message["confinement"])
            case "failed":
                if not self._hello.done():
                    self._hello.set_exception(
                        UnavailableError(f"the sandbox zygote does not start: {message['why']}.")
                    )
            case "spawned":
                self._hear_spawned(message, fds)
            case "gone":
                process = self._processes.pop(message["pid"], None)
                if process is not None:
                    process.end(message["code"])
            case unknown:
                _log.error("the sandbox zygote says %r, which means nothing", unknown)

    def _hear_spawned(self, message: dict[str, Any], fds: list[int]) -> None:
        asked = self._asked.pop(message["id"], None)
        if "pid" not in message:
            if asked is not None and not asked.done():
                asked.set_exception(OSError(message["why"]))
            return
        process = Process(message["pid"], fds[0] if fds else -1, self._loop.create_future())
        self._processes[process.pid] = process
        if asked is None or asked.done():  # whoever asked has given up
            process.kill()
        else:
            asked.set_result(process)

    def _lost(self) -> None:
        if not self.alive:
            return
        self.alive = False
        self._loop.remove_reader(self._control)
        self._control.close()
        if not self._hello.done():
            self._hello.set_exception(UnavailableError("the sandbox zygote ended while it started."))
            self._hello.exception()  # whoever waited has it; nobody else needs to
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(OSError("the zygote is gone"))
        for process in self._processes.values():
            process.kill()
            process.end(None)
        self._processes.clear()


def _spawned(withheld: Mapping[str, str]) -> tuple[subprocess.Popen[bytes], socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        ours.settimeout(0)
        with theirs:
            return _spawn(theirs, withheld), ours
    except BaseException:
        ours.close()
        raise


def _spawn(control: socket.socket, withheld: Mapping[str, str]) -> subprocess.Popen[bytes]:
    arguments = [str(control.fileno()), str(os.getpid()), json.dumps(dict(withheld)), *_import_folders()]
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-E", str(zygote_file.__file__), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[control.fileno()],
        cwd="/",
        # Nothing of the agent's environment, which may hold secrets, goes into a sandbox's memory.
        env={name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ},
        start_new_session=True,  # a Ctrl-C in the agent's terminal is the agent's to handle
    )


def _import_folders() -> list[str]:
    """Where the zygote finds wasm3, pyseccomp and this package."""
    folders = []
    for name in ("wasm3", "pyseccomp", "edgehost"):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            origin = Path(spec.origin).resolve()
            folders.append(str(origin.parent.parent if origin.name == "__init__.py" else origin.parent))
    return list(dict.fromkeys(folders))
