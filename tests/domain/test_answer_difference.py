from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehost.domain.answer_difference import MAX_PATHS, differing_paths

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


def text(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("ours", "theirs", "paths"),
    [
        ({"a": 1}, {"a": 1.0}, ("a",)),
        ({"a": {"b": "secret", "c": 2}}, {"a": {"b": "other", "c": 2}}, ("a.b",)),
        ({"a": [1, 2]}, {"a": [1, 3]}, ("a.1",)),
        ({"a": [1, 2]}, {"a": [1]}, ("a",)),
        ({"a": 1}, {}, ("a",)),
        (True, 1, ("",)),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, ()),
    ],
)
def test_paths_say_where_answers_differ_and_never_what_they_hold(
    ours: Any, theirs: Any, paths: tuple[str, ...]
) -> None:
    assert differing_paths(text(ours), text(theirs)) == paths


def test_declared_members_may_differ_or_be_missing() -> None:
    ours, theirs = {"at": 1, "result": {"took": 3, "x": 1}}, {"result": {"took": 4, "x": 1}}
    assert differing_paths(text(ours), text(theirs), ("at", "result.took")) == ()


def test_answers_that_are_no_json_differ_as_a_whole() -> None:
    assert differing_paths(b"\xff", b"{}") == ("",)
    assert differing_paths(b"", b"null") == ()
    assert differing_paths(b"\xff", b"\xff") == ()


def test_a_sample_is_bounded() -> None:
    many = {f"{'long' * 30}{number}": number for number in range(50)}
    outer = "wide" * 30
    paths = differing_paths(text({outer: many}), text({outer: {}}))
    assert len(paths) == MAX_PATHS
    assert max(map(len, paths)) == 200


@given(JSON, JSON)
def test_only_equal_answers_have_no_difference(ours: Any, theirs: Any) -> None:
    left, right = text(ours), text(theirs)
    same = json.dumps(ours, sort_keys=True) == json.dumps(theirs, sort_keys=True)
    assert (differing_paths(left, right) == ()) == same
    assert differing_paths(left, left) == ()
