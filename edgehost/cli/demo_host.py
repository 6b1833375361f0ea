"""The demo's host: a process of its own, so that it can be killed; and what is heard from it."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edgehost.cli.host_client import HostClient
from edgehost.cli.output import Output
from edgehost.domain.errors import EdgehostError, UnavailableError

_START_TIMEOUT_S: Final = 20.0
_KNOCK_S: Final = 0.005


@dataclass(slots=True)
class DemoHost:
    """Started from a configuration file; talks over its Unix socket."""

    config_file: Path
    socket: Path
    process: asyncio.subprocess.Process | None = None
    client: HostClient = field(init=False)

    def __post_init__(self) -> None:
        self.client = HostClient(self.socket)

    @property
    def pid(self) -> int:
        """The host's process id.

        Raises:
            UnavailableError: it does not run.
        """
        if self.process is None:
            raise UnavailableError("The demo's host does not run.")
        return self.process.pid

    async def start(self, ready_path: str = "/api/host/status") -> float:
        """Start it; returns the milliseconds until it answered at this path.

        Raises:
            UnavailableError: it ended, or did not answer in time.
        """
        log = self.config_file.with_name("host.log")
        began = time.perf_counter()
        with log.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "edgehost",
                "-c",
                str(self.config_file),
                "run",
                stdout=output,
                stderr=output,
            )
        while time.perf_counter() - began < _START_TIMEOUT_S:
            try:
                await asyncio.to_thread(self.client.request, "GET", ready_path)
            except EdgehostError:
                if self.process.returncode is not None:
                    break
                await asyncio.sleep(_KNOCK_S)
            else:
                return (time.perf_counter() - began) * 1000
        tail = log.read_text(errors="replace")[-2000:]
        raise UnavailableError(f"The demo's host does not answer. Its log ends with:\n{tail}")

    async def kill(self) -> None:
        """End it without warning, as a power cut would."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """Ask it to end."""
        await self._end(signal.SIGTERM)

    async def get(self, path: str, **query: str | int) -> Any:  # noqa: ANN401 - JSON
        """A resource of the API."""
        answer = await asyncio.to_thread(self.client.request, "GET", path, query=query)
        return answer.json()

    async def go_on(self, out: Output) -> None:
        """Say where it is served, and wait for Ctrl-C."""
        status = await self.get("/api/host/status")
        out.note(f"\nIt goes on running at {', '.join(status['urls'])}; end it with Ctrl-C.")
        await asyncio.Event().wait()

    async def _end(self, how: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is not None and process.returncode is None:
            process.send_signal(how)
            await process.wait()


class HeardEvents:
    """Every event of the host with the moment it was heard, collected by a thread."""

    def __init__(self, client: HostClient) -> None:
        self._client = client
        self._changed = threading.Condition()
        self._events: list[tuple[float, str, dict[str, Any]]] = []
        self._listening = threading.Event()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen until the block or the host ends."""
        thread = threading.Thread(target=self._listen, name="edgehost.demo.events", daemon=True)
        thread.start()
        self._listening.wait(10)
        yield

    async def wait_for(
        self, kind: str, matches: Callable[[dict[str, Any]], bool], *, timeout_s: float
    ) -> float:
        """When (perf_counter seconds) the first such event was heard.

        Raises:
            UnavailableError: it was not, in time.
        """
        return await asyncio.to_thread(self._wait_for, kind, matches, timeout_s)

    def heard(self, kind: str) -> list[dict[str, Any]]:
        """The data of every event of this kind that was heard so far, in order."""
        with self._changed:
            return [data for _, event, data in self._events if event == kind]

    def _wait_for(self, kind: str, matches: Callable[[dict[str, Any]], bool], timeout_s: float) -> float:
        def first() -> float | None:
            return next((at for at, event, data in self._events if event == kind and matches(data)), None)

        with self._changed:
            if not self._changed.wait_for(lambda: first() is not None, timeout_s):
                raise UnavailableError(f"The demo waited {timeout_s:.0f} s for '{kind}' in vain.")
            found = first()
        if found is None:
            raise UnavailableError(f"'{kind}' was not heard.")
        return found

    def _listen(self) -> None:
        try:
            with self._client.events("/api/events") as stream:
                self._listening.set()
                for event in stream:
                    with self._changed:
                        document = json.loads(event.data)
                        self._events.append((time.perf_counter(), event.type, document.get("data", document)))
                        self._changed.notify_all()
        except (EdgehostError, OSError):
            return  # the host was killed, which is part of the story
