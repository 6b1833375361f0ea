"""``edgehost demo devices`` as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.boards.avr_boards import BOOTLOADERS
from tests.required_tools import require_tool


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_demo_of_devices_keeps_its_promises() -> None:
    for tool in ("make", "gcc", "avr-gcc", "arm-none-eabi-gcc", "qemu-system-arm"):
        require_tool(tool)
    if not BOOTLOADERS.exists():
        require_tool("Arduino's bootloaders (arduino-core-avr)")
    done = subprocess.run(
        [sys.executable, "-m", "edgehost", "demo", "devices", "--json"],
        check=False,
        capture_output=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stderr.decode()
    figures = json.loads(done.stdout)
    assert figures["flash_identical"] is figures["telemetry_shown"] is figures["resumed"] is True
    assert figures["old_ran_after_cut"] is figures["new_ran_after_cut"] is True
    assert figures["forged_refused"] is figures["bad_given_back"] is True
    assert figures["host_killed_board_ran_on"] is True
    assert figures["flashed_board_runs_component"] is True
    assert figures["cuts"] == 2
    assert figures["calls_failed"] == 0 < figures["calls_total"]
    assert 0 < figures["kept_bytes"] < figures["resumed_of_bytes"]
    assert figures["seconds"] < 120
