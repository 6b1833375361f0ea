"""A component that ends the firmware, in its trial or at a start, is given up; the last good one comes back."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from tests.firmware.conftest import Device, Manifest, Start
from tests.firmware.device_client import CHANGED, GET
from tests.firmware.wat_guests import saying

V1, V2, V3 = saying("one"), saying("two"), saying("three")
CRASHED = 97


def crash_at_start(program: Path, flash: Path, times: int) -> None:
    """Starts that end in the engine's first piece of work."""
    for _ in range(times):
        device = Device(program, flash, {"EDGEHOST_CRASH_AT": "1"})
        assert device.process.wait(10) == CRASHED
        device.end()


def test_a_release_that_crashes_the_device_at_its_start_gives_way_to_the_last_good_one(
    start: Start, program: Path, tmp_path: Path
) -> None:
    with start() as device:
        assert device.client.deploy(V1, Manifest(V1, 1).bytes()).code == CHANGED
        assert device.client.deploy(V2, Manifest(V2, 2).bytes()).code == CHANGED
    crash_at_start(program, tmp_path / "flash", 2)
    with start() as device:  # a third try is granted
        assert device.client.call("device-blink", "who").text == "two"
    crash_at_start(program, tmp_path / "flash", 3)
    with start() as device:
        assert device.client.call("device-blink", "who").text == "one"
        assert device.client.ask(GET, "slot").document["quarantined"] == [hashlib.sha256(V2).digest()[:12]]
        assert "quarantine" in device.client.deploy(V2, Manifest(V2, 2).bytes()).text
        assert device.client.deploy(V3, Manifest(V3, 3).bytes()).code == CHANGED


def test_with_nothing_to_go_back_to_the_device_still_answers_and_takes_a_new_release(
    start: Start, program: Path, tmp_path: Path
) -> None:
    with start() as device:
        assert device.client.deploy(V1, Manifest(V1, 4).bytes()).code == CHANGED
    crash_at_start(program, tmp_path / "flash", 3)
    with start() as device:
        client = device.client
        assert "running" not in client.ask(GET, "twin").document
        assert client.call("device-blink", "who").text == "component: it does not run here"
        assert client.deploy(V2, Manifest(V2, 3).bytes()).text.startswith("sequence:")
        assert client.deploy(V2, Manifest(V2, 5).bytes()).code == CHANGED


def test_a_release_that_crashes_the_device_in_its_trial_is_tried_three_times(
    start: Start, program: Path, tmp_path: Path
) -> None:
    flash = tmp_path / "flash"
    with start() as device:
        assert device.client.deploy(V1, Manifest(V1, 1).bytes()).code == CHANGED
    for _ in range(3):
        # The first two pieces of work are the start of V1: its load and its probe.
        device = Device(program, flash, {"EDGEHOST_CRASH_AT": "3"})
        with pytest.raises(BrokenPipeError):
            device.client.deploy(V2, Manifest(V2, 2).bytes())
        assert device.end() == CRASHED
    with start() as device:
        assert device.client.call("device-blink", "who").text == "one"
        assert "quarantine" in device.client.deploy(V2, Manifest(V2, 2).bytes()).text


def test_a_device_without_a_flash_file_says_how_it_is_started(program: Path) -> None:
    done = subprocess.run([str(program)], capture_output=True, text=True, timeout=10, check=False)
    assert (done.returncode, done.stderr) == (1, "usage: edgehost-device FLASH_FILE [pty]\n")
