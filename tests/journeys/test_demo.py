"""The demo as a user runs it: with mosquitto, and with the broker from PyPI on machines that have none."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.required_tools import require_tool


def demo(broker: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", "edgehost", "demo", "--json", "--broker", broker],
        check=False,
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr.decode()
    document: dict[str, object] = json.loads(done.stdout)
    assert document["broker"] == broker
    return document


def held(figures: dict[str, object]) -> None:
    assert figures["calls_failed"] == 0
    assert int(str(figures["calls_total"])) > 0
    assert figures["rolled_back"] is figures["quarantined"] is figures["tampered_refused"] is True
    assert figures["records_before_kill"] == figures["records_after_kill"] != 0
    assert len(figures["published_to_live_each_ms"]) >= 5  # type: ignore[arg-type]
    for name in (
        "published_to_live_ms",
        "swap_ms",
        "offline_restart_ms",
        "host_pss_mb",
        "sandbox_private_mb",
    ):
        assert float(str(figures[name])) > 0


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_the_demo_keeps_its_promises_with_mosquitto() -> None:
    require_tool("mosquitto")
    held(demo("mosquitto"))


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_the_demo_needs_no_installed_broker() -> None:
    """The broker from PyPI serves as well; it speaks MQTT 3.1.1 only."""
    held(demo("amqtt"))
