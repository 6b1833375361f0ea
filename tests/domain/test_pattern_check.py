"""Patterns from components cannot make the host hang."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgehost.domain.errors import InvalidSpecificationError
from edgehost.domain.pattern_check import MAX_TEXT_LENGTH, require_safe_pattern

EXPLOSIVE = [
    r"^(a+)+$",
    r"^(a*)*$",
    r"^((ab)*)*$",
    r"(a|a)*b",
    r"^(a|b|ab)*c$",
    r"^(a|a?)+$",
    r"^(x+x+)+y$",
    r"^(([a-z])+.)+[A-Z]([a-z])+$",
    r"^(\w+\s?)*$",
    r"^([a-zA-Z0-9])(([\-.]|[_]+)?([a-zA-Z0-9]+))*(@){1}[a-z0-9]+[.]{1}(([a-z]{2,3})|([a-z]{2,3}[.]{1}[a-z]{2,3}))$",
    r"^(.*?,){11}P",
    r"a*a*a*",
    r".*.*=.*",
    r"(.*)\1",
    r"^(a?){30}a{30}$",
    r"^(?:(?:\w){2,}){3}$",
    r"(?:[^b])+(?:(?:a|b))+?\d",
    "((((((a{64}){64}){64}){64}){64}){64})",
]
USUAL = [
    r"^[a-z]+(-[a-z]+)*$",
    r"^[A-Z][A-Za-z0-9_-]{0,62}$",
    r"^(foo|bar|baz)$",
    r"^#[0-9a-f]{6}$",
    r"^([0-9a-f]{2}:){5}[0-9a-f]{2}$",
    r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})$",
    r"^(25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}$",
    r"^[^@\s]+@[^@\s]+\.[^@\s]+$",
    r"^v?\d+\.\d+(\.\d+)?$",
    r"^https?://",
    r"\.(jpg|jpeg|png)$",
    r"[0-9]+",
    r"",
]


@pytest.mark.parametrize("pattern", EXPLOSIVE)
def test_a_pattern_that_can_explode_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidSpecificationError):
        require_safe_pattern(pattern)


@pytest.mark.parametrize("pattern", USUAL)
def test_usual_patterns_are_accepted(pattern: str) -> None:
    require_safe_pattern(pattern)


@pytest.mark.parametrize(
    "pattern",
    ["[", "(?i)a", "(?=a)b", "(?i:a)", "a{1,99999999999}", "a" * 600, "(?P<x>a)(?P=x)", "[[a]", "[a--b]"],
)
def test_what_is_not_understood_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidSpecificationError) as refusal:
        require_safe_pattern(pattern)
    assert refusal.value.message.startswith("The pattern")


_PIECES = st.sampled_from(["a", "b", "[ab]", ".", "[^b]", r"\w", "-", r"\d", "(?:a|b)"])
_PATTERNS = st.recursive(
    _PIECES,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda branches: f"({'|'.join(branches)})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2,3}", "{3}", "*?", "{2,}"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["", "^"]),
    _PATTERNS,
    st.sampled_from(["", "$", "!$"]),
    st.sampled_from(["a", "ab", "aab", "a-", "1"]),
)
def test_an_accepted_pattern_ends_soon_on_hostile_text(start: str, middle: str, end: str, unit: str) -> None:
    pattern = start + middle + end
    try:
        require_safe_pattern(pattern)
    except InvalidSpecificationError:
        assume(False)
    text = (unit * MAX_TEXT_LENGTH)[: MAX_TEXT_LENGTH - 1] + "?"
    before = time.thread_time()
    re.search(pattern, text)
    assert time.thread_time() - before < 2.0
