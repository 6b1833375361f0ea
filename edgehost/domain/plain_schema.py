"""Says of most schemas at once that they are valid JSON Schema 2020-12; whatever it does not know is left to the library.

The library takes 3 MB of a host's memory, for good. Its answer is only ever "surely" or "do not know".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

Check = Callable[[Any], bool]

_TYPES: Final = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
#: What a reference looks like that is a URI without any escaping.
_REFERENCE: Final = re.compile(r"#(/[A-Za-z0-9_.$-]+)*")


def plainly_valid(schema: object, deepest: int) -> bool:
    """Whether the schema is surely valid; one that is nested more than ``deepest`` levels deep is not known."""
    if isinstance(schema, bool):
        return True
    if not isinstance(schema, dict) or deepest < 0:
        return False
    return all(_fits(keyword, value, deepest - 1) for keyword, value in schema.items())


def _fits(keyword: object, value: Any, deepest: int) -> bool:  # noqa: ANN401 - JSON
    if keyword in _SCHEMA:
        return plainly_valid(value, deepest)
    if keyword in _SCHEMAS:
        return isinstance(value, list) and value != [] and all(plainly_valid(each, deepest) for each in value)
    if keyword in _NAMED_SCHEMAS:
        return isinstance(value, dict) and all(
            isinstance(name, str) and plainly_valid(each, deepest) for name, each in value.items()
        )
    check = _VALUES.get(keyword) if isinstance(keyword, str) else None
    return check is not None and check(value)


def _is_text(value: Any) -> bool:  # noqa: ANN401 - JSON
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:  # noqa: ANN401 - JSON
    return isinstance(value, bool)


def _is_list(value: Any) -> bool:  # noqa: ANN401 - JSON
    return isinstance(value, list)


def _is_anything(_value: Any) -> bool:  # noqa: ANN401 - JSON
    return True


def _is_number(value: Any) -> bool:  # noqa: ANN401 - JSON
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_above_zero(value: Any) -> bool:  # noqa: ANN401 - JSON
    return _is_number(value) and value > 0


def _is_count(value: Any) -> bool:  # noqa: ANN401 - JSON
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0  # 1.0 is left to the library


def _is_type(value: Any) -> bool:  # noqa: ANN401 - JSON
    return (
        value in _TYPES
        if isinstance(value, str)
        else _are_words(value) and value != [] and {*value} <= _TYPES
    )


def _are_words(value: Any) -> bool:  # noqa: ANN401 - JSON
    return (
        isinstance(value, list)
        and all(isinstance(word, str) for word in value)
        and len(set(value)) == len(value)
    )


def _is_reference(value: Any) -> bool:  # noqa: ANN401 - JSON
    return isinstance(value, str) and _REFERENCE.fullmatch(value) is not None


def _is_pattern(value: Any) -> bool:  # noqa: ANN401 - JSON
    if not isinstance(value, str):
        return False
    try:
        re.compile(value)
    except re.error:
        return False
    return True


#: Keywords whose value is a schema, a list of schemas, or schemas by name. patternProperties is left to the library.
_SCHEMA: Final = frozenset({
    "additionalProperties", "contains", "contentSchema", "else", "if", "items", "not", "propertyNames", "then",
})  # fmt: skip
_SCHEMAS: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_NAMED_SCHEMAS: Final = frozenset({"$defs", "dependentSchemas", "properties"})
_VALUES: Final[Mapping[str, Check]] = {
    "$comment": _is_text,
    "$ref": _is_reference,
    "$schema": lambda value: value == "https://json-schema.org/draft/2020-12/schema",
    "const": _is_anything,
    "contentEncoding": _is_text,
    "contentMediaType": _is_text,
    "default": _is_anything,
    "deprecated": _is_flag,
    "description": _is_text,
    "enum": _is_list,
    "examples": _is_list,
    "exclusiveMaximum": _is_number,
    "exclusiveMinimum": _is_number,
    "format": _is_text,
    "maxContains": _is_count,
    "maxItems": _is_count,
    "maxLength": _is_count,
    "maxProperties": _is_count,
    "maximum": _is_number,
    "minContains": _is_count,
    "minItems": _is_count,
    "minLength": _is_count,
    "minProperties": _is_count,
    "minimum": _is_number,
    "multipleOf": _is_above_zero,
    "pattern": _is_pattern,
    "readOnly": _is_flag,
    "required": _are_words,
    "title": _is_text,
    "type": _is_type,
    "uniqueItems": _is_flag,
    "writeOnly": _is_flag,
}
