"""Which schemas a model may have, and what they refuse."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgehost.domain.errors import InvalidRecordError, InvalidSpecificationError, TooLargeError
from edgehost.domain.record_schema import MAX_PROBLEMS, RecordSchema, require_usable_schema


def test_data_that_fits_is_accepted() -> None:
    schema = RecordSchema({"properties": {"celsius": {"type": "number"}}, "required": ["celsius"]})
    schema.require_valid({"celsius": 21.5, "more": [1]})


def test_every_fault_is_named_by_its_pointer() -> None:
    schema = RecordSchema({"properties": {"a/b": {"items": {"type": "integer"}}, "c": {"const": 1}}})
    with pytest.raises(InvalidRecordError) as refusal:
        schema.require_valid({"a/b": [1, "x"], "c": 2})
    assert [pointer for pointer, _ in refusal.value.problems] == ["/a~1b/1", "/c"]


def test_only_so_many_faults_are_looked_for() -> None:
    schema = RecordSchema({"properties": {"x": {"items": {"type": "integer"}}}})
    with pytest.raises(InvalidRecordError) as refusal:
        schema.require_valid({"x": ["long" * 500] * 1000})
    assert len(refusal.value.problems) == MAX_PROBLEMS
    assert all(len(message) < 400 for _, message in refusal.value.problems)


@pytest.mark.parametrize("data", [None, 1, "x", [], True])
def test_only_objects_are_records(data: object) -> None:
    with pytest.raises(InvalidRecordError):
        RecordSchema({}).require_valid(data)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        {"properties": 1},
        {"$schema": "http://json-schema.org/draft-07/schema#"},
        {"$ref": "http://127.0.0.1:1/schema.json"},
        {"$ref": "other.json"},
        {"$ref": "#anchor"},
        {"$ref": "#/$defs/missing"},
        {"$ref": 7},
        {"$id": "http://x/"},
        {"properties": {"a": {"$anchor": "x"}}},
        {"$dynamicRef": "#x"},
        {"unevaluatedProperties": False},
        {"properties": {"id": {"type": "string"}}},
        {"pattern": "(a+)+$"},
        {"patternProperties": {"^(a|a)*$": {}}},
        {"$ref": "#"},
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        {"properties": {"child": {"$ref": "#"}}},
        {"description": "x" * 60_000},
        {"enum": [float("nan")]},
        {"default": {1, 2}},
    ],
)
def test_a_schema_that_cannot_be_used_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidSpecificationError) as refusal:
        require_usable_schema(schema)
    assert refusal.value.message


def test_references_that_multiply_are_refused() -> None:
    definitions: dict[str, Any] = {
        f"a{level}": {"allOf": [{"$ref": f"#/$defs/a{level + 1}"}] * 2} for level in range(12)
    }
    definitions["a12"] = {"type": "object"}
    with pytest.raises(InvalidSpecificationError, match="sub-schemas"):
        require_usable_schema({"$defs": definitions, "$ref": "#/$defs/a0"})


def test_nesting_is_bounded() -> None:
    schema: dict[str, Any] = {}
    for _ in range(5000):
        schema = {"not": schema}
    with pytest.raises(InvalidSpecificationError):
        require_usable_schema(schema)


def test_local_references_are_followed_and_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object) -> None:
        pytest.fail("a schema opened a socket")

    monkeypatch.setattr(socket, "socket", no_network)
    schema = RecordSchema(
        {"$defs": {"a~/b": {"type": "integer"}}, "properties": {"n": {"$ref": "#/$defs/a~0~1b"}}}
    )
    schema.require_valid({"n": 1})
    with pytest.raises(InvalidRecordError):
        schema.require_valid({"n": "x"})


def test_unique_items_tell_true_from_one_and_take_little_time() -> None:
    schema = RecordSchema({"properties": {"x": {"uniqueItems": True}}})
    schema.require_valid({"x": [1, True, "1", [1], {"a": 1}, {"a": True}]})
    schema.require_valid({"x": [{"n": number} for number in range(8000)]})
    for same in ([1, 1.0], [{"a": 1, "b": 2}, {"b": 2, "a": 1}]):
        with pytest.raises(InvalidRecordError):
            schema.require_valid({"x": same})


def test_a_text_that_is_too_long_for_a_pattern_is_refused() -> None:
    schema = RecordSchema({"properties": {"x": {"pattern": "^a*$"}}})
    schema.require_valid({"x": "a" * 1024})
    with pytest.raises(InvalidRecordError, match="longer than 1024"):
        schema.require_valid({"x": "a" * 1025})


@pytest.mark.parametrize(
    ("schema", "data"),
    [
        ({"items": {"anyOf": [{"const": number} for number in range(400)]}}, list(range(400, 9000))),
        ({"items": {"enum": [f"{number}" for number in range(5000)]}}, ["x"] * 9000),
        ({"items": {"pattern": "a+$"}}, ["a" * 1023 + "b"] * 900),
        (
            {"patternProperties": {f"^{number}": {} for number in range(900)}},
            {f"k{n}": n for n in range(5000)},
        ),
        ({"items": {"required": [f"{number}" for number in range(5000)]}}, [{}] * 9000),
        ({"allOf": [{"uniqueItems": True}] * 300}, list(range(9000))),
    ],
)
def test_data_that_takes_too_long_to_check_is_refused(schema: dict[str, Any], data: object) -> None:
    checked = RecordSchema({"properties": {"x": schema}})
    before = time.thread_time()
    with pytest.raises((TooLargeError, InvalidRecordError)):
        checked.require_valid({"x": data})
    assert time.thread_time() - before < 5.0


def test_the_types_of_a_field_are_known_by_its_path() -> None:
    schema = RecordSchema(
        {
            "$defs": {
                "place": {"properties": {"room": {"type": ["string", "null"]}}, "additionalProperties": False}
            },
            "properties": {"place": {"$ref": "#/$defs/place"}, "free": {}},
            "additionalProperties": False,
        }
    )
    assert schema.type_of("place.room") == frozenset({"string", "null"})
    assert schema.type_of("free.what.ever") is None
    with pytest.raises(KeyError, match="room"):
        schema.type_of("place.rom")
    assert RecordSchema({}).type_of("any") is None


_KEYWORDS = st.sampled_from(
    [
        "type",
        "properties",
        "items",
        "$ref",
        "allOf",
        "not",
        "pattern",
        "enum",
        "minimum",
        "$defs",
        "required",
        "if",
    ]
)
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-10, 10)
    | st.sampled_from(["object", "#", "#/$defs/a", "^a", "string"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYWORDS | st.just("a"), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(_KEYWORDS, _JSON, max_size=4),
    st.dictionaries(st.sampled_from(["a", "b"]), _JSON, max_size=3),
)
def test_any_document_is_a_usable_schema_or_refused(document: dict[str, Any], data: dict[str, Any]) -> None:
    try:
        schema = RecordSchema(document)
    except InvalidSpecificationError:
        return
    with suppress(InvalidRecordError):
        schema.require_valid(data)
