"""``edgehost demo delivery`` as a user runs it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_the_delivery_demo_keeps_its_promises() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edgehost", "demo", "delivery", "--json"],
        check=False,
        capture_output=True,
        timeout=55,
    )
    assert done.returncode == 0, done.stderr.decode()
    figures = json.loads(done.stdout)
    assert figures["deliveries"] == figures["completed"] + figures["taken_back"] == 6
    assert figures["half_done"] == figures["booked_twice"] == 0
    assert figures["kills"] == len(figures["resumed_ms"]) == 4
    assert figures["undone_in_reverse"] is True
    assert 0 < figures["step_ms"] < 1000
    assert figures["seconds"] < 60


@pytest.mark.slow
def test_ctrl_c_after_a_story_that_ended_well_is_a_good_end() -> None:
    command = [sys.executable, "-m", "edgehost", "demo", "delivery", "--keep"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            told = []
            for line in process.stderr:
                told.append(line)
                if "Ctrl-C" in line:
                    break
            process.send_signal(signal.SIGINT)
            figures, rest = process.communicate(timeout=30)
            assert process.returncode == 0, [*told, rest]
        finally:
            process.kill()  # else leaving the block would wait for what does not end
    assert "all promises held  yes" in figures
