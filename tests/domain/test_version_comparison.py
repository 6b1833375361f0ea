from __future__ import annotations

from dataclasses import replace

import pytest

from edgehost.domain.version_comparison import (
    WINDOW,
    ComparisonRule,
    Decision,
    Figures,
    Outcome,
    RollingFigures,
    ShadowFigures,
    compare,
)

RULE = ComparisonRule(min_calls=50, promote_after_s=60)
GOOD = Figures(calls=100, counted=100, refused=1, p50_s=0.010, p95_s=0.020)


def decided(candidate: Figures, *, main: Figures = GOOD, elapsed_s: float = 100) -> tuple[Decision, str]:
    found = compare(main, candidate, RULE, elapsed_s=elapsed_s)
    return found.decision, found.reason


def test_a_candidate_that_does_as_well_for_long_enough_is_promoted_with_its_figures() -> None:
    decision, reason = decided(GOOD)
    assert decision is Decision.PROMOTE
    assert "1.0%" in reason
    assert decided(GOOD, elapsed_s=30) == (Decision.WAIT, "no fault so far; 30 s to go.")


def test_nothing_is_decided_with_few_calls_of_either_version() -> None:
    few = replace(GOOD, calls=49, counted=49, faults=49)
    assert decided(few)[0] is Decision.WAIT
    assert "the candidate has 49 of the 50" in decided(few)[1]
    assert "the main release has 3" in decided(GOOD, main=replace(GOOD, calls=3))[1]


def test_a_candidate_that_fails_more_is_stopped_and_refusals_count() -> None:
    for bad in (replace(GOOD, faults=5), replace(GOOD, refused=6)):
        decision, reason = decided(bad, elapsed_s=0)
        assert decision is Decision.STOP
        assert "6.0% of its calls failed, of the main release's 1.0%" in reason
    as_bad = replace(GOOD, refused=6)
    assert decided(as_bad, main=as_bad)[0] is Decision.PROMOTE


def test_one_error_alone_never_stops_a_candidate() -> None:
    one = Figures(calls=50, counted=50, faults=1, p50_s=0.01, p95_s=0.02)
    assert decided(one, main=replace(GOOD, refused=0))[0] is Decision.PROMOTE
    strict = replace(RULE, max_error_rate_excess=0)
    assert compare(replace(GOOD, refused=0), one, strict, elapsed_s=100).decision is Decision.PROMOTE


@pytest.mark.parametrize(("member", "says"), [("p50_s", "median"), ("p95_s", "95th percentile")])
def test_a_slower_candidate_is_stopped(member: str, says: str) -> None:
    slow = replace(GOOD, **{member: getattr(GOOD, member) * 1.6})
    decision, reason = decided(slow, elapsed_s=0)
    assert decision is Decision.STOP
    assert says in reason


def test_differences_below_a_millisecond_are_noise() -> None:
    fast = replace(GOOD, p50_s=0.0001, p95_s=0.0002)
    assert decided(replace(fast, p50_s=0.0009, p95_s=0.001), main=fast)[0] is Decision.PROMOTE


def test_a_shadow_is_stopped_by_rule_and_promoted_by_hand_only() -> None:
    def told(**shadow: int) -> Decision:
        return compare(GOOD, GOOD, RULE, elapsed_s=1e9, shadow=ShadowFigures(**shadow)).decision

    assert told(compared=49, mismatches=49) is Decision.WAIT
    assert told(compared=100, mismatches=1) is Decision.STOP
    assert told(compared=100) is Decision.WAIT


def test_figures_are_of_the_last_calls_and_take_no_more_room_than_those() -> None:
    rolling = RollingFigures()
    for _ in range(WINDOW):
        rolling.note(Outcome.FAULT, 1.0)
    for number in range(WINDOW):
        rolling.note(Outcome.REFUSED if number % 4 == 0 else Outcome.ANSWERED, number / 1000)
    figures = rolling.figures()
    assert (figures.calls, figures.counted, figures.faults) == (2 * WINDOW, WINDOW, 0)
    assert figures.error_rate == 0.25
    assert figures.p50_s < figures.p95_s < 1.024
    rolling.corrected()
    assert rolling.figures().faults == 1


def test_no_calls_have_no_figures() -> None:
    rolling = RollingFigures()
    rolling.corrected()
    assert rolling.figures() == Figures()
    assert Figures().error_rate == 0
    assert ShadowFigures().to_document()["mismatch_rate"] == 0
