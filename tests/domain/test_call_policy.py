"""How often a port is tried, and for which errors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehost.domain import errors
from edgehost.domain.call_policy import (
    LONGEST_CALL_S,
    breaker_rules,
    error_class,
    is_illness,
    may_repeat,
    policy_of,
    told_error,
)
from edgehost.domain.port_spec import BreakerRule, Direction, PortSpec

OUTBOUND = PortSpec(Direction.OUTBOUND)
ALL = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.EdgehostError)
]


@pytest.mark.parametrize("kind", ALL)
def test_a_refusal_is_never_repeated_and_never_counts_as_illness(kind: type[errors.EdgehostError]) -> None:
    error = kind("it is so")
    if isinstance(error, errors.RefusedError | errors.NotFoundError | errors.ConflictError):
        assert not may_repeat(error, Direction.OUTBOUND)
        assert not is_illness(error)
        assert error_class(error, breaker_rules(OUTBOUND)) == ""


@pytest.mark.parametrize(
    "kind",
    [
        errors.UnavailableError,
        errors.BusyError,
        errors.PortTimeoutError,
        errors.DeadlineExceededError,
        errors.SandboxDiedError,
    ],
)
def test_what_may_pass_is_repeated(kind: type[errors.EdgehostError]) -> None:
    assert may_repeat(kind("later"), Direction.OUTBOUND)
    assert error_class(kind("later"), breaker_rules(OUTBOUND)) == "default"


def test_a_guest_that_answers_the_world_is_repeated_only_when_it_was_never_asked() -> None:
    assert may_repeat(errors.BusyError("full"), Direction.INBOUND)
    assert not may_repeat(errors.DeadlineExceededError("late"), Direction.INBOUND)


def test_an_open_breaker_and_an_unbound_port_are_told_at_once() -> None:
    for kind in (errors.CircuitOpenError, errors.PortUnboundError):
        assert not may_repeat(kind("no"), Direction.OUTBOUND)
        assert error_class(kind("no"), breaker_rules(OUTBOUND)) == ""


def test_an_error_counts_against_its_own_class_before_the_ones_above() -> None:
    rules = {"unavailable": BreakerRule(), "port-timeout": BreakerRule(), "default": BreakerRule()}
    assert error_class(errors.PortTimeoutError("late"), rules) == "port-timeout"
    assert error_class(errors.BusyError("full"), rules) == "unavailable"
    assert error_class(errors.DeadlineExceededError("late"), rules) == "default"
    assert error_class(errors.DeadlineExceededError("late"), {"unavailable": BreakerRule()}) == ""


def test_a_rule_for_a_refusal_counts_it_by_name() -> None:
    assert error_class(errors.GuestFailedError("no"), {"guest-failed": BreakerRule()}) == "guest-failed"


@given(
    st.integers(0, 20), st.integers(0, 60_000), st.integers(0, 5000), st.integers(0, 20_000), st.floats(0, 1)
)
def test_tries_and_pauses_stay_within_what_the_port_declares(
    retries: int, timeout_ms: int, backoff_ms: int, most_ms: int, chance: float
) -> None:
    port = PortSpec(
        Direction.OUTBOUND,
        retries=retries,
        timeout_ms=timeout_ms,
        backoff_ms=backoff_ms,
        backoff_most_ms=most_ms,
    )
    policy = policy_of(port)
    assert 0 < policy.try_s <= LONGEST_CALL_S
    assert policy.budget_s <= LONGEST_CALL_S
    tries, error = 1, errors.UnavailableError("later")
    while (pause := policy.pause_s(tries, error, left_s=1e9, chance=chance)) is not None:
        assert 0 <= pause <= max(backoff_ms, most_ms) / 1000
        tries += 1
    assert tries == retries + 1


def test_no_pause_outlasts_the_budget() -> None:
    policy = policy_of(PortSpec(Direction.OUTBOUND, backoff_ms=1000))
    assert policy.pause_s(1, errors.BusyError("full"), left_s=0.5, chance=1.0) is None
    assert policy.pause_s(1, errors.BusyError("full"), left_s=0.5, chance=0.1) is not None


def test_what_an_adapter_says_becomes_the_error_that_it_means() -> None:
    assert isinstance(told_error("unavailable", "x"), errors.UnavailableError)
    assert isinstance(told_error("not-found", "x"), errors.NotFoundError)
    odd = told_error("untrusted-release", "x")
    assert type(odd) is errors.GuestFailedError
    assert "untrusted-release" in odd.message
