"""What properties demand of a record, whatever the record is."""

from __future__ import annotations

import ipaddress
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehost.domain.access_rules import OPERATOR, Caller, may
from edgehost.domain.errors import InvalidRecordError, InvalidSpecificationError
from edgehost.domain.model_spec import PERMISSIONS, AccessRule, ModelSpec
from edgehost.domain.named_patterns import fits_pattern
from edgehost.domain.property_rules import Before, Wanted, holds, require_rules
from edgehost.domain.property_spec import NAMED_PATTERNS, Condition, PropertySpec, read_properties
from edgehost.domain.spec_reader import SpecReader
from tests.domain.spec_strategies import JSON

VALUES = JSON
ALWAYS = Condition()


def problems(
    specs: dict[str, PropertySpec],
    data: dict[str, Any],
    before: dict[str, Any] | None = None,
    *,
    kept: set[str] | None = None,
    withheld: set[str] | None = None,
) -> list[str]:
    try:
        require_rules(
            specs,
            Wanted(data, kept or set()),
            None if before is None else Before(before, withheld or set()),
        )
    except InvalidRecordError as error:
        return [where for where, _ in error.problems]
    return []


@given(VALUES)
def test_a_required_member_is_there_and_not_null(value: Any) -> None:
    spec = {"a": PropertySpec(required=ALWAYS)}
    assert problems(spec, {"a": value}) == (["/a"] if value is None else [])
    assert problems(spec, {}) == ["/a"]


@given(VALUES, VALUES)
def test_a_condition_asks_for_a_member_only_when_it_holds(state: Any, wanted: Any) -> None:
    condition = Condition("state", (wanted,))
    data = {"state": state}
    assert problems({"a": PropertySpec(required=condition)}, data) == (
        ["/a"] if holds(condition, data) else []
    )


def test_true_is_not_one() -> None:
    assert not holds(Condition("n", (1,)), {"n": True})
    assert holds(Condition("a.b", ("x",)), {"a": {"b": "x"}})
    assert not holds(Condition("a.b", (None,)), {"a": {}})


@given(VALUES, VALUES)
def test_a_frozen_member_keeps_its_value(old: Any, new: Any) -> None:
    spec = {"a": PropertySpec(frozen=ALWAYS)}
    assert problems(spec, {"a": new}) == []
    assert problems(spec, {"a": old, "b": new}, {"a": old}) == []
    assert problems(spec, {}, {"a": old}) == ["/a"]
    assert problems(spec, {"a": old}, {}) == ["/a"]
    assert bool(problems(spec, {"a": [new, 1]}, {"a": [old, 2]}))


def test_the_same_value_written_otherwise_is_no_change() -> None:
    spec = {"a": PropertySpec(frozen=ALWAYS)}
    before = {"a": {"x": 1, "y": [2, {"z": None}]}}
    assert problems(spec, {"a": {"y": [2.0, {"z": None}], "x": 1}}, before) == []
    assert problems(spec, {"a": {"x": True, "y": [2, {"z": None}]}}, before) == ["/a"]


@given(st.sampled_from(["open", "shipped"]), VALUES, VALUES)
def test_a_member_freezes_once_the_stored_record_is_in_a_state(state: str, old: Any, new: Any) -> None:
    spec = {"a": PropertySpec(frozen=Condition("state", ("shipped",)))}
    changed = {"a": [new], "state": "shipped"}
    assert problems(spec, changed, {"a": [old, 0], "state": state}) == (["/a"] if state == "shipped" else [])


@given(
    st.text(max_size=5),
    st.text(max_size=5),
    st.dictionaries(st.text(max_size=5), st.lists(st.text(max_size=5))),
)
def test_a_value_is_followed_only_by_those_that_may(old: str, new: str, moves: dict[str, list[str]]) -> None:
    spec = {"state": PropertySpec(transitions={key: tuple(values) for key, values in moves.items()})}
    allowed = not moves or new == old or new in moves.get(old, ())
    assert problems(spec, {"state": new}, {"state": old}) == ([] if allowed else ["/state"])


def test_transitions_take_numbers_and_truth_as_words() -> None:
    spec = {"level": PropertySpec(transitions={"1": ("2",), "false": ("true",)})}
    assert problems(spec, {"level": 2}, {"level": 1}) == []
    assert problems(spec, {"level": True}, {"level": False}) == []
    assert problems(spec, {"level": 1}, {"level": 2}) == ["/level"]
    assert problems(spec, {}, {"level": 1}) == ["/level"]


def test_what_nobody_sees_counts_as_there_and_as_unchanged() -> None:
    spec = {"secret": PropertySpec(required=ALWAYS, frozen=ALWAYS)}
    assert problems(spec, {}, {}, kept={"secret"}, withheld={"secret"}) == []
    assert problems(spec, {"secret": "new"}, {}, withheld={"secret"}) == ["/secret"]


GOOD: dict[str, tuple[str, ...]] = {
    "email": ("ada@example.org", "a.b+c@sub.example.co", "o'neil@example.ie"),
    "phone": ("+49 30 123456", "030/1234567", "(555) 010-9999"),
    "ipv4": ("127.0.0.1", "255.255.255.255"),
    "ipv6": ("::1", "2001:db8::8a2e:370:7334"),
    "credit-card": ("4111 1111 1111 1111", "5500000000000004", "3400-0000-0000-009"),
    "uuid": ("018f4b6e-7c1a-7cc0-9b1d-1f2e3d4c5b6a",),
    "hostname": ("localhost", "pump-3.hall.example", "_dmarc.example.org"),
    "uri": ("https://example.org/a?b=c#d", "urn:isbn:0451450523", "coap://[::1]:5683/x"),
    "date-time": ("2024-02-29T23:59:60Z", "2024-01-01T00:00:00.5+02:00"),
}
BAD: dict[str, tuple[str, ...]] = {
    "email": (
        "",
        "ada",
        "ada@",
        "@example.org",
        "a b@example.org",
        "a..b@example.org",
        "a@localhost",
        "a@b.c\n",
    ),
    "phone": ("", "12", "abc", "+1234567890123456", "++491234567"),
    "ipv4": ("256.1.1.1", "1.2.3", "01.2.3.4", "::1"),
    "ipv6": ("1.2.3.4", "::1%eth0", ":::", "g::1"),
    "credit-card": ("4111111111111112", "0", "", "1234"),
    "uuid": ("018f4b6e7c1a7cc09b1d1f2e3d4c5b6a", "x" * 36),
    "hostname": ("", "-a", "a..b", "a" * 64, ".".join(["a" * 60] * 5), "ä.example"),
    "uri": ("", "example.org", "http://", "http://[::1", "http://a:99999/", "ht tp://a", "http://a b"),
    "date-time": ("2023-02-29T00:00:00Z", "2024-01-01", "2024-01-01T25:00:00Z", "2024-01-01T00:00:00", "now"),
}


@pytest.mark.parametrize("name", NAMED_PATTERNS)
def test_a_named_pattern_takes_the_thing_and_nothing_else(name: str) -> None:
    for text in GOOD[name]:
        assert fits_pattern(name, text), text
    for text in BAD[name]:
        assert not fits_pattern(name, text), text


@given(st.sampled_from(NAMED_PATTERNS), JSON | st.text(max_size=2000))
def test_a_named_pattern_judges_whatever_comes(name: str, value: Any) -> None:
    assert fits_pattern(name, value) in {True, False}


@given(st.ip_addresses(), st.uuids(), st.datetimes())
def test_named_patterns_take_what_the_libraries_write(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, identity: uuid.UUID, moment: datetime
) -> None:
    if "%" not in str(address):
        assert fits_pattern(f"ipv{address.version}", str(address))
    assert fits_pattern("uuid", str(identity))
    assert fits_pattern("date-time", moment.replace(tzinfo=UTC).isoformat())


@given(st.text("0123456789", min_size=11, max_size=18), st.integers(1, 9))
def test_one_wrong_digit_is_found_in_a_card_number(digits: str, off: int) -> None:
    (right,) = [check for check in "0123456789" if fits_pattern("credit-card", digits + check)]
    wrong = str((int(digits[0]) + off) % 10) + digits[1:]
    assert not fits_pattern("credit-card", wrong + right)


def test_an_expression_has_to_fit_as_a_whole() -> None:
    assert fits_pattern("[a-z]+", "abc")
    assert not fits_pattern("[a-z]+", "abc1")
    assert not fits_pattern("^[a-z]+$", "abc\n")


@pytest.mark.parametrize(
    ("declared", "key"),
    [
        ({"pattern": "(a+)+$"}, "pattern"),
        ({"pattern": "emial"}, "pattern"),
        ({"hashed": True, "encrypted": True}, "encrypted"),
        ({"hashed": True, "unique": True}, "unique"),
        ({"encrypted": True, "unique": True}, "unique"),
        ({"frozen": True, "transitions": {"a": ["b"]}}, "transitions"),
        ({"frozen": True, "updated": "now"}, "updated"),
        ({"required": {"field": "a", "values": []}}, "m"),
        ({"required": {"field": "a"}}, "values"),
        ({"required": "yes"}, "required"),
    ],
)
def test_what_could_have_no_effect_or_never_be_fulfilled_is_refused(
    declared: dict[str, Any], key: str
) -> None:
    with pytest.raises(InvalidSpecificationError) as refusal:
        read_properties(SpecReader({"m": declared}))
    assert refusal.value.path.endswith(key)


NAMES = st.sampled_from(["pump", "valve", "*", "role:nurse", "role:clerk"])


@given(st.lists(NAMES), st.lists(NAMES), st.sampled_from(PERMISSIONS))
def test_between_components_nothing_is_allowed_but_by_the_rule_and_deny_wins(
    allow: list[str], deny: list[str], permission: str
) -> None:
    model = ModelSpec("m", "m", access={permission: AccessRule(tuple(allow), tuple(deny))})
    pump = Caller("pump")
    named = {"pump", "*"}
    assert may(model, "tank", pump, permission) is bool(named & set(allow) and not named & set(deny))
    assert not any(may(model, "tank", pump, other) for other in PERMISSIONS if other != permission)
    assert may(model, "tank", Caller("tank"), permission)
    assert may(model, "tank", OPERATOR, permission)


@given(st.lists(NAMES), st.lists(NAMES))
def test_a_client_needs_a_role_only_where_roles_are_asked_for(allow: list[str], deny: list[str]) -> None:
    model = ModelSpec("m", "m", access={"read": AccessRule(tuple(allow), tuple(deny))})
    named = {"role:nurse", "*"}
    asked = any(name.startswith("role:") for name in allow)
    expected = not named & set(deny) and (not asked or bool(named & set(allow)))
    assert may(model, "tank", Caller(roles=frozenset({"nurse"})), "read") is expected
