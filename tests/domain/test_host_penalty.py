"""When failures of one host say more of the host than of what failed."""

from __future__ import annotations

import pytest

from edgehost.domain.host_penalty import Failure, Penalty, PenaltyRule

RULE = PenaltyRule(most=2, within_s=100)


def failed(*moments: float) -> Penalty:
    penalty = Penalty()
    for number, at in enumerate(moments):
        penalty = penalty.with_failure(Failure(f"d{number}", "site", number, at, "hot"))
    return penalty


def test_so_many_different_deployments_within_the_time_set_a_host_aside() -> None:
    assert not failed(10).is_set_aside(10, RULE)
    assert failed(10, 20).is_set_aside(20, RULE)
    assert not failed(10, 20).is_set_aside(111, RULE)
    assert not failed(10, 20).is_set_aside(20, PenaltyRule(most=0))


def test_one_document_counts_once() -> None:
    penalty = failed(10)
    assert penalty.with_failure(Failure("d0", "site", 0, 50, "again")) is penalty


def test_a_success_readmits_only_who_was_set_aside_and_only_a_later_one() -> None:
    assert failed(10, 20).with_success(15, RULE) == failed(10, 20)
    assert failed(10).with_success(15, RULE) == failed(10)
    assert failed(10, 20).with_success(30, RULE).failures == ()


def test_what_was_cleared_does_not_come_back_though_the_clock_goes_back() -> None:
    penalty = failed(10, 20).cleared(5)
    assert penalty.with_failure(Failure("d1", "site", 1, 20, "hot")) is penalty
    assert len(penalty.with_failure(Failure("d9", "site", 9, 21, "hot")).failures) == 1


def test_a_clock_that_jumps_does_not_make_it_forget_but_the_future_ends_it() -> None:
    assert failed(10, 20).is_set_aside(-1_000_000, RULE)
    assert not failed(10, 20).is_set_aside(1_000_000, RULE)


def test_it_is_bounded_and_kept_as_it_was() -> None:
    penalty = failed(*range(1, 100))
    assert len(penalty.failures) == 32
    long = Penalty().with_failure(Failure("d", "site", 1, 5, "x" * 10_000))
    assert len(long.failures[0].reason) == 300
    assert Penalty.from_document(penalty.as_document()) == penalty
    assert Penalty.from_document({}) == Penalty()
    with pytest.raises(KeyError):
        Penalty.from_document({"failures": [{}], "cleared_at": 0})
