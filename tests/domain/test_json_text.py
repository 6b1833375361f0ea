"""Strict JSON and merge patches."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehost.domain.errors import RefusedError, TooLargeError
from edgehost.domain.json_text import MAX_DEPTH, read_json, same_json, write_json
from edgehost.domain.merge_patch import changes_between, merged

_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=10), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(_JSON)
def test_what_is_written_is_read_back(value: Any) -> None:
    assert same_json(read_json(write_json(value)), value)


@given(
    st.binary(max_size=60) | st.text(alphabet='{}[]",:0123456789.eE+-tfn \\u"', max_size=60).map(str.encode)
)
def test_any_bytes_are_json_or_refused(text: bytes) -> None:
    try:
        value = read_json(text)
    except RefusedError:
        return
    assert json.loads(text) == value


def test_depth_is_bounded_exactly() -> None:
    assert read_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    with pytest.raises(TooLargeError):
        read_json(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))
    assert read_json(b"[" + b"[]," * 100 + b"[]]")


def test_long_keys_and_lone_surrogates_are_refused() -> None:
    with pytest.raises(TooLargeError):
        read_json(b'{"%s": 1}' % (b"k" * 257))
    with pytest.raises(RefusedError):
        read_json(b'["\\uD83D"]')
    assert read_json(b'["\\uD83D\\uDE00"]') == ["\U0001f600"]


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [  # RFC 7396, appendix A, as far as records go
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch_does_what_its_rfc_says(
    target: dict[str, Any], patch: dict[str, Any], result: object
) -> None:
    before = json.dumps(target)
    assert merged(target, patch) == result
    assert json.dumps(target) == before


def test_changes_are_the_members_that_differ() -> None:
    assert changes_between({"a": 1, "b": 2, "c": 3}, {"a": True, "b": 2}) == {"a": True, "c": None}
