"""A steady load of calls while releases change, and how many of them failed."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from edgehost.cli.host_client import HostClient
from edgehost.domain.errors import EdgehostError

_CALLERS: Final = 4
_PAUSE_S: Final = 0.01
_MOST_KEPT: Final = 5


@dataclass(slots=True)
class SteadyLoad:
    """Four callers, each up to 100 calls a second: two commands, one durable write, one read, and over again."""

    client: HostClient
    record_id: str
    total: int = 0
    failed: int = 0
    failures: list[str] = field(default_factory=list)
    _stopping: bool = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Call for as long as the block; every call that was begun is finished and counted."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(_CALLERS):
                tasks.create_task(self._keep_calling(), name=f"edgehost.demo.caller.{number}")
            try:
                yield
            finally:
                self._stopping = True

    async def reached(self, total: int) -> None:
        """Wait until so many calls have been made."""
        while self.total < total:  # noqa: ASYNC110 - a look every few milliseconds is all that a demo needs
            await asyncio.sleep(_PAUSE_S)

    async def _keep_calling(self) -> None:
        for number in itertools.count():
            if self._stopping:
                return
            await self._call(number)
            await asyncio.sleep(_PAUSE_S)

    async def _call(self, number: int) -> None:
        path = f"/api/models/telemetry/{self.record_id}"
        body: dict[str, Any] | None = None
        method = "GET"
        match number % 4:
            case 0:
                method, body = "PATCH", {"load_1m": number / 100}
            case 1 | 3:
                method, path, body = "POST", f"{path}/commands/summary", {}
            case _:
                pass
        try:
            await asyncio.to_thread(self.client.request, method, path, body=body)
        except EdgehostError as error:
            self.failed += 1
            if len(self.failures) < _MOST_KEPT:
                self.failures.append(f"{method} {path}: {error}")
        finally:
            self.total += 1
