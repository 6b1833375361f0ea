from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgehost.domain.disk_room import RESERVED_INODES, DiskRoom, Room
from edgehost.domain.errors import StorageFullError
from edgehost.host import started_host
from tests.journeys.fleet import Fleet, RunningHost, telemetry

ROOT = Path(__file__).parents[2]


def may_mount() -> bool:
    if os.geteuid() or shutil.which("unshare") is None:
        return False
    probe = ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(probe, check=False, capture_output=True).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not may_mount(), reason="needs root and mount namespaces for a small disk")
@pytest.mark.parametrize("what", ["bytes", "inodes"])
def test_on_a_full_disk_records_are_still_taken_and_releases_wait(tmp_path: Path, what: str) -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import runpy; runpy.run_module('tests.journeys.small_disk', run_name='__main__')"
    done = subprocess.run(
        ["unshare", "-m", sys.executable, "-c", code, str(tmp_path), what],
        check=False,
        capture_output=True,
        text=True,
        timeout=50,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout)
    assert (seen["before"], seen["short"], seen["after"]) == ("ok", "short", "ok")
    assert seen["finding"][0]["state"] == "failed"
    assert "bytes and" in seen["finding"][0]["detail"]
    assert (seen["live_while_short"], seen["unfinished"]) == ("1.0.0", 1)
    assert seen["record"] is True
    assert seen["live_after"] == "1.0.1"


def test_what_is_left_is_judged_by_bytes_and_by_inodes() -> None:
    plenty = DiskRoom(1000, 2000, 10_000, 20_000)
    assert plenty.state(100) is Room.OK
    assert plenty.state(600) is Room.LOW
    assert plenty.state(1001) is Room.SHORT
    assert plenty.lacks(900, 0, 100) == ""
    assert "901 are needed" in plenty.lacks(901, 0, 100)
    few = DiskRoom(1000, 2000, RESERVED_INODES + 5, 20_000)
    assert few.state(1) is Room.LOW
    assert "inodes" in few.lacks(1, 6, 1)
    assert few.lacks(1, 5, 1) == ""
    assert DiskRoom(1000, 2000, 0, 0).state(1) is Room.OK  # a file system that does not count them
    assert DiskRoom(1000, 2000, 0, 0, read_only=True).state(1) is Room.READ_ONLY
    assert "read-only" in DiskRoom(1000, 2000, 0, 0, read_only=True).lacks(1, 1, 1)


async def test_the_bytes_of_a_deployment_are_measured_and_shown(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    content = telemetry("1.0.0")
    await fleet.publish(content)
    async with started_host(fleet.config()) as started:
        host = RunningHost(started)
        await host.live("telemetry", "1.0.0")
        async with asyncio.timeout(20):
            while (await host.request("GET", "/api/host/releases"))["releases"][0]["written_bytes"] is None:
                await asyncio.sleep(0.01)
        (release,) = (await host.request("GET", "/api/host/releases"))["releases"]
        writes = (await host.request("GET", "/api/host/status"))["writes"]
        # The file, its chunks on the way, the metadata and two lines of ledger.
        assert 2 * len(content) < release["written_bytes"] < 2 * len(content) + 40_000
        assert writes["last_deployment_bytes"] == release["written_bytes"]


async def test_a_release_that_would_touch_the_reserve_is_not_fetched(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(telemetry("1.0.0"))
    async with started_host(fleet.config(more="[limits]\nfree_bytes = 1_099_511_627_776\n")) as started:
        host = RunningHost(started)
        follower = started.control.manager.followers[0]
        offers = await follower.offers()
        with pytest.raises(StorageFullError, match="kept for records"):
            await follower.shelved(offers[0])
        assert host.live_version("telemetry") == ""


FULL = """
set -e
mkdir -p data
mount -t tmpfs -o size=12m,nr_inodes=100 tmpfs data
host() { "$PYTHON" -m edgehost run > "$1" 2>&1 & HOST=$!; }
answers() { for _ in $(seq 100); do "$PYTHON" -m edgehost status --json > "$1" 2> /dev/null && return; sleep 0.1; done; false; }
host first.log; answers first.json; kill $HOST; wait $HOST
dd if=/dev/zero of=data/ballast bs=4k 2> /dev/null || true
for number in $(seq 200); do touch data/$number 2> /dev/null || break; done
sed -i s/log_level/#log_level/ edgehost.toml
host second.log; answers second.json
sleep 1
kill -0 $HOST
"$PYTHON" -m edgehost config ls --json > generations.json
kill $HOST; wait $HOST
"""


@pytest.mark.slow
@pytest.mark.skipif(not may_mount(), reason="needs root and mount namespaces for a small disk")
def test_a_host_starts_and_answers_on_a_disk_without_a_byte_or_an_inode_left(tmp_path: Path) -> None:
    (tmp_path / "edgehost.toml").write_text(
        '[host]\nconfig_trial_s = 0.5\nlog_level = "info"\n[api]\ntcp_port = 0\n'
    )
    done = subprocess.run(
        ["unshare", "-m", "bash", "-c", FULL],
        check=False,
        capture_output=True,
        text=True,
        timeout=50,
        cwd=tmp_path,
        env={**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(ROOT)},
    )
    log = (tmp_path / "second.log").read_text() if (tmp_path / "second.log").exists() else ""
    assert done.returncode == 0, done.stderr[-2000:] + log[-2000:]
    assert json.loads((tmp_path / "second.json").read_text())["disk"]["state"] == "short"
    assert "the reserve in" in log
    assert json.loads((tmp_path / "generations.json").read_text())["generations"]
