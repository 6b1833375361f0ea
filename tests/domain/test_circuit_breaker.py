"""What a circuit breaker promises, whatever happens to it."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from edgehost.domain.circuit_breaker import ALLOWED_MOVES, Breaker, Position
from edgehost.domain.port_spec import BreakerRule

RULE = BreakerRule(error_rate=0.5, call_volume=4, interval_ms=1000, retest_ms=2000)


def after_calls(breaker: Breaker, now: float, *outcomes: bool) -> Breaker:
    for failed in outcomes:
        assert breaker.admits(now)
        breaker = breaker.admitted(now)
        breaker = breaker.ended(now, breaker.generation, failed=failed)
    return breaker


def test_nothing_is_decided_below_the_call_volume() -> None:
    assert after_calls(Breaker(RULE), 0, True, True, True).position is Position.CLOSED


def test_it_opens_when_more_calls_fail_than_the_rate_allows() -> None:
    assert after_calls(Breaker(RULE), 0, True, True, False, False).position is Position.CLOSED
    assert after_calls(Breaker(RULE), 0, False, True, True, True).position is Position.OPEN


def test_errors_older_than_the_interval_do_not_count() -> None:
    breaker = after_calls(Breaker(RULE), 0, True, True, True)
    breaker = after_calls(breaker, 1.5, True, True, True)
    assert breaker.position is Position.CLOSED
    assert breaker.counts(1.5) == (3, 3)


def test_an_open_breaker_lets_one_call_through_after_its_retest_time() -> None:
    breaker = after_calls(Breaker(RULE), 0, True, True, True, True)
    assert not breaker.admits(1.99)
    assert breaker.admits(2.0)
    trial = breaker.admitted(2.0)
    assert trial.position is Position.HALF_OPEN
    assert not trial.admits(2.0)
    assert trial.ended(2.1, trial.generation, failed=False).position is Position.CLOSED
    assert trial.ended(2.1, trial.generation, failed=True).position is Position.OPEN


def test_a_trial_that_never_ends_makes_room_for_another() -> None:
    breaker = after_calls(Breaker(RULE), 0, True, True, True, True)
    trial = breaker.admitted(2.0)
    assert trial.abandoned(trial.generation).admits(2.0)
    assert not trial.admits(3.9)
    second = trial.admitted(4.0)
    assert second.ended(4.0, trial.generation, failed=False) is second  # the first one's word is late
    assert second.ended(4.0, second.generation, failed=False).position is Position.CLOSED


def test_a_late_end_says_nothing_about_the_state_after_it() -> None:
    first = Breaker(RULE)
    opened = after_calls(first, 0, True, True, True, True)
    assert opened.ended(0, first.generation, failed=False) is opened


def test_an_error_rate_of_one_never_opens() -> None:
    never = BreakerRule(error_rate=1.0, call_volume=1)
    assert after_calls(Breaker(never), 0, *([True] * 100)).position is Position.CLOSED


def test_a_breaker_that_flaps_is_asked_less_and_less() -> None:
    breaker, now, waits = Breaker(RULE), 0.0, []
    for _ in range(10):
        breaker = after_calls(breaker, now, True, True, True, True)
        waits.append(breaker.retest_at() - now)
        now = breaker.retest_at()
        breaker = after_calls(breaker, now, False)
        assert breaker.position is Position.CLOSED
    assert waits == [2, 4, 8, 16, 32, 64, 64, 64, 64, 64]


def test_a_quiet_interval_forgets_earlier_openings() -> None:
    breaker = after_calls(Breaker(RULE), 0, True, True, True, True)
    breaker = after_calls(breaker, 2.0, False)
    breaker = after_calls(breaker, 4.0, False)
    breaker = after_calls(breaker, 6.0, True, True, True, True)
    assert breaker.retest_at() == 8.0


@dataclass
class World:
    """Calls on their way, by the generation that they were let in at."""

    breaker: Breaker
    now: float = 0.0
    flying: list[int] = field(default_factory=list)


STEPS = st.lists(
    st.tuples(st.sampled_from(["call", "succeed", "fail", "give up", "wait"]), st.integers(0, 30)),
    max_size=200,
)
RULES = st.builds(
    BreakerRule,
    error_rate=st.floats(0, 1),
    call_volume=st.integers(1, 5),
    interval_ms=st.integers(1, 5000),
    retest_ms=st.integers(1, 5000),
)


@given(RULES, STEPS)
def test_every_move_is_in_the_table_and_memory_is_bounded(
    rule: BreakerRule, steps: list[tuple[str, int]]
) -> None:
    world = World(Breaker(rule))
    for step, number in steps:
        before = world.breaker
        match step:
            case "call":
                if before.admits(world.now):
                    world.breaker = before.admitted(world.now)
                    world.flying.append(world.breaker.generation)
            case "wait":
                world.now += number / 4
            case _ if world.flying:
                generation = world.flying.pop(number % len(world.flying))
                world.breaker = (
                    before.abandoned(generation)
                    if step == "give up"
                    else before.ended(world.now, generation, failed=step == "fail")
                )
            case _:
                pass
        after = world.breaker
        assert after.position is before.position or after.position in ALLOWED_MOVES[before.position]
        assert len(after.slices) <= 11
        calls, errors = after.counts(world.now)
        assert 0 <= errors <= calls


@given(RULES, STEPS)
def test_half_open_never_has_two_trials_that_count(rule: BreakerRule, steps: list[tuple[str, int]]) -> None:
    breaker, now = Breaker(rule), 0.0
    for step, number in steps:
        now += number / 10
        if step == "wait" or not breaker.admits(now):
            continue
        admitted = breaker.admitted(now)
        if admitted.position is Position.HALF_OPEN:
            assert admitted.generation != breaker.generation  # an earlier trial's end is not heard any more
            assert not admitted.admits(now)
        breaker = admitted.ended(now, admitted.generation, failed=step == "fail")


@given(RULES, st.integers(1, 60))
def test_however_it_flaps_the_pauses_between_trials_do_not_shrink(rule: BreakerRule, rounds: int) -> None:
    breaker, now, last = Breaker(rule), 0.0, 0.0
    for _ in range(rounds):
        while breaker.position is Position.CLOSED:
            if rule.error_rate == 1.0:
                return
            breaker = breaker.ended(now, breaker.generation, failed=True)
        pause = breaker.retest_at() - now
        assert pause >= last * 0.999
        assert pause <= rule.retest_ms / 1000 * 32 * 1.001
        last, now = pause, breaker.retest_at()
        breaker = breaker.admitted(now)
        breaker = breaker.ended(now, breaker.generation, failed=False)
