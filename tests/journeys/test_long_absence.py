"""[offline-1] Four hundred days without a remote, in a real host whose wall clock is turned by the test."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from remotes.folder_transport import open_folder_transport
from remotes.keys import generate_key, load_public_key, load_signer
from remotes.mirror import mirror_repository
from remotes.publisher import refresh_metadata
from remotes.repository import Repository
from remotes.root_ceremony import rotate_root
from tests.journeys.fleet import Fleet, RunningHost, telemetry

DAY = 86_400.0
READING = {"load_1m": 0.5, "memory_used_bytes": 1, "memory_total_bytes": 2}
#: Day of each boot, and what the machine's clock says then instead, in days (None: it is right).
BOOTS = (
    (0, None),
    (3, None),
    (29, None),
    (31, -20_000.0),
    (90, None),
    (200, 5000.0),
    (366, None),
    (399, None),
)


class TurnedClock:
    """The machine's wall clock, moved by the test; monotonic time stays the machine's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._real = time.time  # noqa: TID251 - what is turned
        self.offset_s = 0.0
        monkeypatch.setattr(time, "time", self.now)

    def now(self) -> float:
        return max(self._real() + self.offset_s, 0.0)

    def at_day(self, day: float) -> None:
        self.offset_s = day * DAY


async def served(host: RunningHost, known: dict[str, Any]) -> None:
    """The release of before runs, old records are there and new ones are taken."""
    assert host.live_version("telemetry") == "1.0.0"
    record = await host.request("POST", "/api/models/telemetry", body=READING)
    known[record["id"]] = record["data"]
    for each, data in known.items():
        assert (await host.request("GET", f"/api/models/telemetry/{each}"))["data"] == data


@pytest.mark.slow
async def test_a_host_runs_through_400_days_alone_and_catches_up_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = TurnedClock(monkeypatch)
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    known: dict[str, Any] = {}
    async with fleet.host() as host:
        await host.live("telemetry", "1.0.0")
    (tmp_path / "mirror").rename(tmp_path / "gone")

    for day, wrong in BOOTS:
        clock.at_day(day if wrong is None else wrong)
        async with fleet.host() as host:
            await served(host, known)
            clock.at_day(day + 1)  # the time is set, or a day passes
            await served(host, known)
    assert len(known) == 2 * len(BOOTS)

    clock.at_day(400)
    async with fleet.host() as host:
        # What is left of the old mirror is stale by now: refused, and what runs keeps running.
        (tmp_path / "gone").rename(tmp_path / "mirror")
        await host.request("POST", "/api/host/refresh", body={})
        health = host.host.control.remotes["fleet"][0]
        await host.until(lambda: health.state == "refused")
        assert "freeze" in health.reason
        await served(host, known)
        # The publisher is back, with other keys for everything but the root that the host knows.
        await _rotated(fleet, clock.now())
        await fleet.publish(telemetry("1.0.1"))
        await host.live("telemetry", "1.0.1")
        assert health.state in {"ok", "refused"}
        for each in known:
            await host.request("GET", f"/api/models/telemetry/{each}")
    async with fleet.host() as host:
        assert host.live_version("telemetry") == "1.0.1"


async def _rotated(fleet: Fleet, now: float) -> None:
    """Three root rotations while nobody looked, the last with new root and online keys."""
    folder = fleet.folder / "repository"
    rotate_root(folder, signers=[fleet.signer], now=now - 200 * DAY)
    rotate_root(folder, signers=[fleet.signer], now=now - 100 * DAY)
    generate_key(fleet.folder / "new.key")
    signer, public = load_signer(fleet.folder / "new.key"), load_public_key(fleet.folder / "new.pub")
    rotate_root(
        folder,
        root_keys=[public],
        online_keys=[public],
        signers=[fleet.signer, signer],
        now=now,
    )
    fleet.signer = signer
    change = refresh_metadata(folder, signers=[signer], now=now)
    async with open_folder_transport(fleet.folder / "mirror") as transport:
        await mirror_repository(Repository(folder), transport, fresh=change.fresh, before=change.before)
