"""What the demos say they measured."""

from __future__ import annotations

from edgehost.cli.demo_delivery import DeliveryFigures
from edgehost.cli.demo_figures import DemoFigures


def good_figures() -> DemoFigures:
    return DemoFigures(
        published_to_live_each_ms=[50.0],
        swap_each_ms=[20.0],
        calls_total=100,
        calls_in_probation=80,
        calls_failed_in_probation=7,
        rolled_back=True,
        rolled_back_ms=90,
        quarantined=True,
        tampered_refused=True,
        records_before_kill=5,
        records_after_kill=5,
    )


def test_programs_read_whether_all_promises_held() -> None:
    figures = good_figures()
    assert figures.document()["all_promises_held"] is True
    figures.records_after_kill = 4
    assert figures.document()["all_promises_held"] is False
    assert DeliveryFigures().document()["all_promises_held"] is False


def test_the_calls_around_a_bad_release_are_said_to_be_the_demos() -> None:
    (line,) = [line for line in good_figures().lines() if line.startswith("bad release")]
    assert "of the demo's 80 calls around it 7 failed" in line
    assert "rolled back 90 ms after it went live" in line
