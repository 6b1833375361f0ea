"""The quick check never says "surely" where the validator would object."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgehost.domain.errors import InvalidSpecificationError
from edgehost.domain.quick_check import quick_check
from edgehost.domain.schema_check import require_usable_schema
from tests.api.scene import TELEMETRY

_NAMES = st.sampled_from(["a", "b", "c"])
_TEXTS = st.sampled_from(["", "a", "ab", "abc", "ä", "x" * 300])
_PLAIN: dict[str, st.SearchStrategy[Any]] = {
    "type": st.sampled_from(["object", "array", "string", "boolean", "null", "number", "integer"])
    | st.lists(st.sampled_from(["string", "null", "integer", "object"]), min_size=1, max_size=2, unique=True),
    "minimum": st.integers(-2, 2) | st.floats(-2, 2),
    "maximum": st.integers(-2, 2),
    "exclusiveMinimum": st.integers(-2, 2),
    "minLength": st.integers(0, 3),
    "maxLength": st.integers(0, 3),
    "pattern": st.sampled_from(["^a", "b$", "^[a-c]{1,3}$", ""]),
    "enum": st.lists(_TEXTS, min_size=1, max_size=3, unique=True) | st.just([1, "a"]),
    "const": st.sampled_from([1, True, "a"]),
    "required": st.lists(_NAMES, max_size=2, unique=True),
    "minItems": st.integers(0, 2),
    "maxItems": st.integers(0, 2),
    "uniqueItems": st.booleans(),
    "title": st.just("t"),
    "$ref": st.sampled_from(["#/$defs/a", "#/$defs/b"]),
}


def _schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    nested: dict[str, st.SearchStrategy[Any]] = {
        "properties": st.dictionaries(_NAMES, inner, max_size=3),
        "patternProperties": st.dictionaries(st.just("^a"), inner, max_size=1),
        "additionalProperties": inner,
        "items": inner,
        "prefixItems": st.lists(inner, min_size=1, max_size=2),
        "anyOf": st.lists(inner, min_size=1, max_size=2),
        "not": inner,
    }
    return st.fixed_dictionaries({}, optional={**_PLAIN, **nested})


_SCHEMAS = st.recursive(st.booleans() | st.fixed_dictionaries({}, optional=_PLAIN), _schemas, max_leaves=6)
_DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([1.0, 0.5, -2.5]) | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(_SCHEMAS, st.dictionaries(st.sampled_from(["a", "b"]), _SCHEMAS, min_size=2, max_size=2), _DATA)
def test_surely_means_that_the_validator_agrees(schema: Any, definitions: dict[str, Any], data: Any) -> None:
    root = {"properties": {"x": schema}, "$defs": definitions}
    try:
        require_usable_schema(root)
    except InvalidSpecificationError:
        return
    if quick_check(root, root)({"x": data}):
        jsonschema.Draft202012Validator(root).validate({"x": data})


@pytest.mark.parametrize(
    ("data", "surely"),
    [
        ({"sensor": "attic", "celsius": 21.5, "ok": True, "place": {"room": "x"}, "count": 1}, True),
        ({"sensor": "attic"}, True),
        ({"celsius": 21.5}, False),
        ({"sensor": "attic", "other": 1}, False),
        ({"sensor": "Attic"}, False),
        ({"sensor": "attic", "celsius": 151}, False),
        ({"sensor": "attic", "celsius": True}, False),
        ({"sensor": "attic", "count": 1.0}, False),  # valid, but that is for the validator to say
        ({"sensor": "attic", "place": {"room": 1}}, False),
        ({"sensor": "attic", "tags": []}, False),  # uniqueItems is not known here
    ],
)
def test_usual_data_needs_no_validator(data: dict[str, Any], surely: bool) -> None:
    schema = TELEMETRY["model"]["schema"]
    assert quick_check(schema, schema)(data) is surely
