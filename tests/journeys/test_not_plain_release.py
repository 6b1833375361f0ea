"""A pipe has come to lie where the file of the live release was."""

from __future__ import annotations

import os
from pathlib import Path

from tests.journeys.fleet import Fleet, telemetry


async def test_a_host_starts_with_a_pipe_in_the_place_of_its_live_release_and_fetches_it_anew(
    tmp_path: Path,
) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    async with fleet.host() as host:
        await host.live("telemetry", "1.0.0")
    (file,) = [each for each in (tmp_path / "data" / "releases" / "files").iterdir() if len(each.name) == 64]
    file.unlink()
    os.mkfifo(file)
    async with fleet.host() as host:
        record = {"load_1m": 0.5, "memory_used_bytes": 1, "memory_total_bytes": 2}
        await host.live("telemetry", "1.0.0")
        assert (await host.request("POST", "/api/models/telemetry", body=record))["id"]
        assert file.is_file()
