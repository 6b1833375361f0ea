from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgehost.domain.probation import Conduct, ProbationRule, Verdict, judge

RULE = ProbationRule(seconds=60, calls_min=20, error_rate=0.05, faults_in_a_row=5)


def conduct_of(outcomes: list[bool]) -> Conduct:
    conduct = Conduct()
    for fault in outcomes:
        conduct = conduct.after(fault=fault)
    return conduct


def test_a_faultless_release_is_watched_until_its_time_is_over_and_then_kept() -> None:
    conduct = conduct_of([False] * 100)
    assert judge(conduct, RULE, over=False) is Verdict.WATCH
    assert judge(conduct, RULE, over=True) is Verdict.KEEP


def test_a_release_that_fails_every_call_goes_before_it_reaches_the_least_number_of_calls() -> None:
    assert judge(conduct_of([True] * 5), RULE, over=False) is Verdict.ROLL_BACK


def test_a_share_of_faults_above_the_rate_condemns_once_there_are_enough_calls() -> None:
    few = conduct_of([True, False] * 5)
    many = conduct_of([True, False] * 10)
    assert judge(few, RULE, over=False) is Verdict.WATCH
    assert judge(many, RULE, over=False) is Verdict.ROLL_BACK


def test_few_calls_are_judged_by_their_rate_at_the_end() -> None:
    assert judge(conduct_of([True, False, True, False]), RULE, over=True) is Verdict.ROLL_BACK


def test_one_fault_alone_never_condemns() -> None:
    assert judge(conduct_of([True]), RULE, over=True) is Verdict.KEEP


@given(st.lists(st.booleans(), max_size=200), st.booleans())
def test_a_release_without_faults_never_goes_and_one_with_only_faults_never_stays(
    outcomes: list[bool], over: bool
) -> None:
    verdict = judge(conduct_of(outcomes), RULE, over=over)
    if not any(outcomes):
        assert verdict is not Verdict.ROLL_BACK
    if len(outcomes) >= RULE.faults_in_a_row and all(outcomes):
        assert verdict is Verdict.ROLL_BACK


def test_answers_that_turn_out_to_break_the_contract_count_as_faults_in_a_row() -> None:
    conduct = Conduct()
    for _ in range(5):
        conduct = conduct.after(fault=False).corrected()
    assert (conduct.calls, conduct.faults, conduct.faults_in_a_row) == (5, 5, 5)
    assert judge(conduct, RULE, over=False) is Verdict.ROLL_BACK
