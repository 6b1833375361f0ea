"""A host that is started where it can write nothing: it is reached, says so, and pretends nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.required_mounts import require_mounts
from tests.required_tools import require_tool

ROOT = Path(__file__).parents[2]


def told_by(prefix: list[str], what: str, folder: Path) -> dict[str, Any]:
    words = [*prefix, sys.executable, "-m", "tests.journeys.unwritable_card", what, str(folder)]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=55, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout))


@pytest.mark.slow
def test_a_host_that_starts_on_a_read_only_card_is_in_safe_mode_within_reach(tmp_path: Path) -> None:
    require_mounts()
    for tool in ("mosquitto", "mosquitto_sub"):
        require_tool(tool)
    seen = told_by(["unshare", "-m"], "read-only", tmp_path)
    read_only: dict[str, Any] = seen["read_only"]
    why = f"host.data is {tmp_path / 'data'}, on a disk that is read-only: nothing is kept."
    mode = f"{why} Components run from what is there."
    assert (read_only["agent"]["safe_mode"], read_only["agent"]["keeps"]) == (mode, False)
    assert read_only["twin"]["safe_mode"] == mode
    assert why in read_only["alarm"]["text"]
    # What changes nothing is done on the fleet's order; the rest is refused with the reason.
    assert any(why in line for line in read_only["logs"]["result"]["host"])
    assert read_only["diag"]["status"] == "successful"
    for operation in ("deploy", "restart"):
        assert read_only[operation]["status"] == "failed"
        assert why in read_only[operation]["reason"]
    # The component that was live runs, so its records are read; what is written is refused.
    assert len(read_only["read"]["answer"]["records"]) == 1
    assert read_only["call"]["answer"]
    assert read_only["write"]["kind"] == "UnavailableError"
    assert "read-only; nothing was changed" in read_only["write"]["message"]
    # What kills the host again and again does not run at the fourth start, which is counted in memory.
    assert "Components are off: The host ended uncleanly 3 times" in seen["killed"]["safe_mode"]
    # Nothing was taken, and nothing on the card was touched.
    assert [(each["version"], each["stage"]) for each in read_only["releases"]] == [("1.0.0", "live")]
    assert "Read-only" in read_only["newer"]["message"]
    for order in ("apply", "leave"):
        assert why in read_only[order]["message"]
        assert "remount,rw" in read_only[order]["hint"]
    wrong = {each["check"] for each in read_only["doctor"] if each["state"] == "failed"}
    assert {"safe mode", "disk"} <= wrong
    assert seen["untouched"]
    # Mended and started again, it takes what it had missed.
    assert (seen["after"]["safe_mode"], seen["after"]["keeps"]) == ("", True)
    assert len(seen["records"]) == 1
    assert "Traceback" not in seen["log"]


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")
def test_a_host_whose_data_folder_is_another_users_says_whose_and_goes_on_once_it_is_its_own(
    tmp_path: Path,
) -> None:
    # Root without its licence to write everywhere: a user who does not own the folder.
    mere = [require_tool("setpriv"), "--bounding-set", "-dac_override,-dac_read_search"]
    seen = told_by(mere, "another's", tmp_path)
    data = tmp_path / "data"
    why = f"host.data is {data}, and this user may not write {data}: nothing is kept."
    assert why in seen["agent"]["safe_mode"]
    assert len(seen["read"]["answer"]["records"]) == 1
    assert seen["write"]["kind"] == "UnavailableError"
    assert "Permission denied" in seen["write"]["message"]
    assert why in seen["leave"]["message"]
    assert "chown" in seen["leave"]["hint"]
    assert (seen["after"]["safe_mode"], seen["after"]["keeps"]) == ("", True)
    assert seen["written"]["answer"]
    assert "Traceback" not in seen["log"]
