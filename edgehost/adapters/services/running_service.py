"""A service with a task of its own, which keeps its connection or its time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from edgehost.ports.service import Service
from remotes.owned_tasks import owned_tasks


class RunningService(Service, Protocol):
    """A service that does something by itself."""

    async def run(self) -> None:
        """Keep at it until cancelled."""
        ...


@asynccontextmanager
async def running(service: RunningService, name: str) -> AsyncIterator[Service]:
    """The service, which runs until the block ends."""
    async with owned_tasks() as spawn:
        spawn(service.run(), f"edgehost.service.{name}")
        yield service
