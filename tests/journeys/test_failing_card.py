"""A card that fails is turned read-only by the kernel under the running host."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.required_mounts import require_card

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_on_a_card_that_turns_read_only_calls_and_reads_go_on_and_writes_say_what_to_do(
    tmp_path: Path,
) -> None:
    require_card(tmp_path)
    done = subprocess.run(
        ["unshare", "-m", sys.executable, "-m", "tests.journeys.failing_card", str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        timeout=55,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout)
    # Under a mount that is read-only, and when it is gone: the host goes on by itself.
    states = [seen[moment]["state"] for moment in ("before", "covered", "uncovered", "aborted", "again")]
    assert states == ["ok", "read-only", "ok", "read-only", "read-only"]
    assert [seen[moment]["status"] for moment in ("before", "covered", "uncovered", "aborted")] == states[:4]
    assert seen["uncovered"]["findings"] == []
    assert seen["uncovered"]["write"] == {}
    # On a card that the kernel has given up, though the mount is still called "rw".
    for moment in ("aborted", "again"):
        assert seen[moment]["records"] == 4
        assert seen[moment]["write"]["kind"] == "UnavailableError"
        assert "read-only" in seen[moment]["write"]["message"]
        assert "fsck" in seen[moment]["write"]["hint"]
        (finding,) = seen[moment]["findings"]
        assert finding["state"] == "failed"
        assert "nothing can be written" in finding["detail"]
    assert seen["calls"] == [True, True]
    assert seen["live"] == "1.0.0"
    assert sum("read-only" in line.lower() for line in seen["lines"]) <= 4, seen["lines"]
    assert not [line for line in seen["lines"] if line.startswith(("ERROR", "CRITICAL"))]
    # Started anew on it: see also test_unwritable_card.
    assert "read-only: nothing is kept" in seen["restarted"]["safe_mode"]
    assert "remount,rw" in seen["said"]
    assert "Traceback" not in seen["said"]
    assert seen["doctor"]["code"] == 1
    assert "nothing can be written" in seen["doctor"]["said"]
