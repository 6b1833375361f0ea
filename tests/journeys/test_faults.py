"""A fault in one part of a host ends no other part, and passes when its cause does."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from edgehost.usecases.follow_remote import FollowRemote
from edgehost.usecases.follow_rollout import FleetRollout
from edgehost.usecases.reconcile_deployment import DeploymentReconciler
from edgehost.usecases.watch_disk import DiskWatch
from edgehost.usecases.watch_probation import ProbationWatch
from edgehost.usecases.watch_traffic import TrafficWatch
from remotes import owned_tasks
from tests.journeys.fleet import Fleet, telemetry

Work = Callable[..., Awaitable[Any]]
READ_ONLY = OSError(errno.EROFS, "Read-only file system")


@pytest.mark.parametrize("fault", [READ_ONLY, TypeError("a bug")], ids=["disk", "bug"])
@pytest.mark.parametrize(
    ("part", "work"),
    [
        (FollowRemote, "catch_up"),
        (FleetRollout, "look"),
        (DeploymentReconciler, "look"),
        (DiskWatch, "look"),
        (ProbationWatch, "look"),
        (TrafficWatch, "look"),
    ],
)
async def test_the_host_serves_on_and_the_part_works_again(
    part: type, work: str, fault: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owned_tasks, "_FIRST_PAUSE_S", 0.01)
    real: Work = getattr(part, work)
    left, recovered = 2, asyncio.Event()

    async def failing(*args: Any) -> Any:
        nonlocal left
        if left:
            left -= 1
            raise fault
        recovered.set()
        return await real(*args)

    monkeypatch.setattr(part, work, failing)
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    async with fleet.host() as host:
        async with asyncio.timeout(20):
            await recovered.wait()
        assert (await host.request("GET", "/api/host/status"))["name"]
        await host.live("telemetry", "1.0.0")
