"""Whose a call is: stable for each key, and a weight moves keys between its candidate and the main release only."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehost.domain.errors import RefusedError
from edgehost.domain.traffic import Share, StickyKey, TrafficPlan, free_end, member_of, point_of

KEYS = st.lists(st.text(max_size=20), min_size=1, max_size=50)
PARTS = st.tuples(st.integers(0, 100), st.integers(0, 100)).filter(lambda pair: sum(pair) <= 100)


def plan(low: float, high: float) -> TrafficPlan:
    return TrafficPlan.of("orders", {"low": Share(low), "high": Share(high, from_top=True)})


@given(KEYS, PARTS, st.integers(1, 100))
def test_raising_a_weight_moves_keys_of_the_main_release_to_that_candidate_and_no_other(
    keys: list[str], parts: tuple[int, int], more: int
) -> None:
    low, high = parts
    raised = min(low + more, 100 - high)
    before, after = plan(low / 100, high / 100), plan(raised / 100, high / 100)
    for key in keys:
        was, is_now = before.taker(key), after.taker(key)
        assert was == is_now or (was, is_now) == (None, "low")


@given(KEYS, PARTS, st.integers(1, 100))
def test_the_same_holds_for_the_candidate_at_the_other_end(
    keys: list[str], parts: tuple[int, int], more: int
) -> None:
    low, high = parts
    raised = min(high + more, 100 - low)
    before, after = plan(low / 100, high / 100), plan(low / 100, raised / 100)
    for key in keys:
        was, is_now = before.taker(key), after.taker(key)
        assert was == is_now or (was, is_now) == (None, "high")


@given(st.text(max_size=40), PARTS)
def test_a_key_reaches_the_same_version_on_every_host(key: str, parts: tuple[int, int]) -> None:
    low, high = parts
    assert plan(low / 100, high / 100).taker(key) == plan(low / 100, high / 100).taker(key)
    assert 0 < point_of("orders", key) < 1


def test_assignments_never_change_between_versions_of_edgehost() -> None:
    assert round(point_of("orders", "caller-1"), 6) == 0.263474


@pytest.mark.parametrize("weight", [0.0, 0.1, 0.5, 1.0])
def test_a_candidate_gets_its_weight(weight: float) -> None:
    only = TrafficPlan.of("orders", {"new": Share(weight)})
    taken = sum(only.taker(f"key-{number}") == "new" for number in range(4000))
    assert abs(taken / 4000 - weight) < 0.03


def test_a_shadow_takes_no_call_and_gets_copies() -> None:
    shadow = TrafficPlan.of("orders", {"new": Share(0.5, shadow=True)})
    keys = [f"key-{number}" for number in range(1000)]
    assert {shadow.taker(key) for key in keys} == {None}
    assert 400 < sum(bool(shadow.shadowed(key)) for key in keys) < 600


@pytest.mark.parametrize(
    ("shares", "says"),
    [
        ({"a": Share(1.1)}, "within 0 and 1"),
        ({"a": Share(float("nan"))}, "within 0 and 1"),
        ({"a": Share(0.6), "b": Share(0.5, from_top=True)}, "1.1 of the calls"),
        ({"a": Share(0.1), "b": Share(0.1)}, "same keys"),
        ({"a": Share(0.1, sticky="id"), "b": Share(0.1, from_top=True)}, "different keys"),
        ({"a": Share(0), "b": Share(0), "c": Share(0)}, "3 candidates"),
        ({"a": Share(0.1, sticky="header:")}, "no sticky key"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_with_the_reason(shares: dict[str, Share], says: str) -> None:
    with pytest.raises(RefusedError, match=says):
        TrafficPlan.of("orders", shares)


def test_the_second_candidate_takes_the_free_end() -> None:
    assert not free_end([])
    assert free_end([Share(0.1)])
    assert not free_end([Share(0.1, from_top=True)])
    assert not free_end([Share(0.1, shadow=True)])


@pytest.mark.parametrize("text", ["", "id", "header:x-user", "member:owner.name"])
def test_a_sticky_key_reads_back_as_it_was_written(text: str) -> None:
    assert str(StickyKey.parse(text)) == text


@pytest.mark.parametrize("text", ["ids", "id:", "header", "member:", "member:a..b", "header:a b", "cookie:x"])
def test_other_sticky_keys_are_refused(text: str) -> None:
    with pytest.raises(RefusedError, match="sticky"):
        StickyKey.parse(text)


def test_a_member_is_found_in_a_hooks_data_and_in_a_commands_record() -> None:
    data = {"owner": {"name": "ada"}, "count": 3, "tags": ["a"]}
    assert member_of({"event": "create", "data": data}, "owner.name") == "ada"
    assert member_of({"id": "r", "record": {"id": "r", "data": data}}, "count") == "3"
    for path in ("tags", "owner", "missing", "count.x"):
        assert member_of({"data": data}, path) == ""
    assert member_of(None, "count") == ""


def test_a_share_survives_the_ledger_and_members_of_later_versions_are_left_out() -> None:
    share = Share(0.25, shadow=True, auto=True, sticky="id", ignore=("at",), since=3.0)
    assert Share.from_document(asdict(share) | {"later": 1}) == share
