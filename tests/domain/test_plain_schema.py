"""A schema that is called plainly valid is valid; the library judges."""

from __future__ import annotations

import random
from typing import Any

import jsonschema
import pytest

from edgehost.domain.plain_schema import _NAMED_SCHEMAS, _SCHEMA, _SCHEMAS, _VALUES, plainly_valid

DEEPEST = 32
_KEYWORDS = [*sorted(_SCHEMA | _SCHEMAS | _NAMED_SCHEMAS | _VALUES.keys()), "patternProperties", "unknown"]
_ODD: list[Any] = [
    None, True, False, 0, 1, -1, 1.0, 1.5, 0.0, "", "a", "string", "(", "#", "#/$defs/a", "#a", "#/a b", "%",
    [], ["a"], ["a", "a"], ["string"], ["string", "null"], [1], [{}], [True], {}, {"a": 1}, {"a": True}, {"a": {}},
    "https://json-schema.org/draft/2020-12/schema", {"type": "text"}, {"a": {"minimum": "1"}}, [{"type": 3}],
]  # fmt: skip


def _is_valid(schema: object) -> bool:
    try:
        jsonschema.Draft202012Validator.check_schema(schema)  # type: ignore[arg-type]  # any JSON
    except jsonschema.SchemaError:
        return False
    return True


@pytest.mark.parametrize("keyword", _KEYWORDS)
def test_no_keyword_is_plainly_valid_with_a_value_that_the_library_refuses(keyword: str) -> None:
    wrong = [
        value
        for value in _ODD
        if plainly_valid({keyword: value}, DEEPEST) and not _is_valid({keyword: value})
    ]
    assert wrong == []


def test_what_is_plainly_valid_at_random_is_valid_to_the_library() -> None:
    chance = random.Random(7)  # noqa: S311 - a test's own dice
    agreed = 0
    for _ in range(2000):
        schema = _some_schema(chance, 3)
        if plainly_valid(schema, DEEPEST):
            agreed += 1
            assert _is_valid(schema), schema
    assert agreed > 200


def test_the_schema_of_a_usual_model_is_plainly_valid() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Telemetry",
        "type": "object",
        "properties": {
            "celsius": {"type": "number", "minimum": -40, "maximum": 125, "description": "Air."},
            "unit": {"enum": ["C", "F"], "default": "C"},
            "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "maxItems": 8, "uniqueItems": True},
            "code": {"type": ["string", "null"], "pattern": "^[a-z]+$", "maxLength": 9},
        },
        "required": ["celsius"],
        "additionalProperties": False,
        "$defs": {"tag": {"type": "string", "minLength": 1, "format": "hostname"}},
    }
    assert plainly_valid(schema, DEEPEST)


def test_a_schema_that_is_nested_too_deep_is_not_known() -> None:
    schema: Any = True
    for _ in range(DEEPEST + 2):
        schema = {"not": schema}
    assert not plainly_valid(schema, DEEPEST)


def _some_schema(chance: random.Random, depth: int) -> Any:
    if depth == 0 or chance.random() < 0.1:
        return chance.choice([True, {}, {"type": "string"}])
    return {
        keyword: _some_value(chance, keyword, depth)
        for keyword in chance.sample(_KEYWORDS, chance.randint(1, 2))
    }


def _some_value(chance: random.Random, keyword: str, depth: int) -> Any:
    if keyword in _SCHEMA:
        return _some_schema(chance, depth - 1)
    if keyword in _SCHEMAS:
        return [_some_schema(chance, depth - 1) for _ in range(chance.randint(0, 2))]
    if keyword in _NAMED_SCHEMAS:
        return {name: _some_schema(chance, depth - 1) for name in chance.sample(["a", "b", "c"], 2)}
    return chance.choice([value for value in _ODD if plainly_valid({keyword: value}, 9)] or _ODD)
