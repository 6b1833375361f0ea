"""Patterns of event names, and their index against the plain reading."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehost.domain import event_pattern
from edgehost.domain.errors import InvalidSpecificationError
from edgehost.domain.event_pattern import PatternIndex, holds, matches, require_own_name

STEPS = st.sampled_from(["a", "b", "c"])
NAMES = st.lists(STEPS, min_size=1, max_size=5).map(".".join)
PATTERNS = st.one_of(
    st.just("**"),
    st.builds(
        lambda steps, rest: ".".join(steps) + rest,
        st.lists(st.sampled_from(["a", "b", "*"]), min_size=1, max_size=4),
        st.sampled_from(["", ".**"]),
    ),
)


@pytest.mark.parametrize(
    ("pattern", "name", "yes"),
    [
        ("a.b", "a.b", True),
        ("a.*", "a.b", True),
        ("a.*", "a", False),
        ("a.*", "a.b.c", False),
        ("*.b", "a.b", True),
        ("a.**", "a.b.c", True),
        ("a.**", "a", False),
        ("**", "a", True),
        ("*.*.**", "a.b.c", True),
        ("*.*.**", "a.b", False),
    ],
)
def test_one_step_and_the_rest(pattern: str, name: str, yes: bool) -> None:
    assert matches(pattern, name) is yes


@given(st.lists(PATTERNS, max_size=20), st.lists(NAMES, max_size=5), st.data())
def test_the_index_finds_what_matches_in_order_and_nothing_else(
    patterns: list[str], names: list[str], data: st.DataObject
) -> None:
    index: PatternIndex[int] = PatternIndex()
    keys = [index.add(pattern, number) for number, pattern in enumerate(patterns)]
    gone = data.draw(st.sets(st.sampled_from(range(len(keys))))) if keys else set()
    for name in names:
        index.matching(name)  # remembered answers must not outlive a change
    for number in gone:
        index.discard(keys[number])
        index.discard(keys[number])
    for name in names:
        expected = [n for n, pattern in enumerate(patterns) if n not in gone and matches(pattern, name)]
        assert list(index.matching(name)) == expected
    assert len(index) == len(patterns) - len(gone)


def test_an_emptied_index_holds_nothing() -> None:
    index: PatternIndex[int] = PatternIndex()
    for key in [index.add(pattern, 1) for pattern in ("a.b.c", "a.*.c", "a.**", "**")]:
        index.discard(key)
    assert index._root.empty


def test_thousands_of_subscriptions_cost_little(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 0
    walk = event_pattern._walk

    def counted(*args: Any) -> Any:
        nonlocal steps
        steps += 1
        return walk(*args)

    monkeypatch.setattr(event_pattern, "_walk", counted)  # it calls itself by this name

    def per_look(patterns: int) -> int:
        nonlocal steps
        index: PatternIndex[int] = PatternIndex()
        for number in range(patterns):
            index.add(f"fleet.drone-{number}.*", number)
        steps = 0
        assert index.matching("fleet.drone-7.landed") == (7,)
        return steps

    assert per_look(10_000) == per_look(10) == 4  # the root, and one node for each step of the name


def test_members_are_compared_as_json() -> None:
    details = {"model": "doors", "data": {"open": True, "count": 1, "none": None}}
    assert holds({"model": "doors", "data.open": True, "data.count": 1}, details)
    assert holds({"data.none": None, "data.missing.deeper": None}, details)
    assert not holds({"data.open": 1}, details)
    assert not holds({"data.count": True}, details)
    assert not holds({"model.name": "doors"}, details)


@pytest.mark.parametrize("name", ["edgehost.record.created", "Alarm", "a..b", "", "a.*"])
def test_a_component_cannot_take_the_host_s_names(name: str) -> None:
    with pytest.raises(InvalidSpecificationError):
        require_own_name(name)
    assert require_own_name("alarm.fire") == "alarm.fire"
