"""``edgehost demo delivery`` as a user runs it."""

from __future__ import annotations

import json
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
