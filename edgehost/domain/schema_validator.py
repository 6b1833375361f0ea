"""The JSON Schema validator with a budget: no record takes long to check, whatever schema and data make of each other.

The library is imported for the first data that is not plainly right: it takes 3 MB and 50 ms.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from edgehost.domain.errors import TooLargeError
from edgehost.domain.json_text import write_json
from edgehost.domain.pattern_check import MAX_TEXT_LENGTH, pattern_cost

#: A unit is about what one keyword takes, 2 us on a desktop; the whole then stays below a second there.
MAX_WORK: Final = 250_000
#: So many steps of the regular expression engine take as long as one keyword.
_STEPS_IN_A_UNIT: Final = 100

_left: ContextVar[list[int]] = ContextVar("left")


@contextmanager
def bounded_work() -> Iterator[None]:
    """One budget for all that is checked inside."""
    token = _left.set([MAX_WORK])
    try:
        yield
    finally:
        _left.reset(token)


def make_validator(schema: Mapping[str, Any]) -> Any:  # noqa: ANN401 - the library makes the class at run time
    """A validator for a schema that was found usable; it works inside ``bounded_work`` only."""
    import referencing  # noqa: PLC0415 - comes with the library

    # Without a registry of its own, the library would fetch unknown references from the network.
    return _validator_class()(schema, registry=referencing.Registry())


@functools.cache
def _validator_class() -> Any:  # noqa: ANN401 - the library makes the class at run time
    import jsonschema  # noqa: PLC0415 - see above

    keywords = {**jsonschema.Draft202012Validator.VALIDATORS, "uniqueItems": _unique_items}
    keywords["pattern"] = functools.partial(_pattern, keywords["pattern"])
    charged = {name: _charged(check, _WEIGHTS.get(name, _one)) for name, check in keywords.items()}
    return jsonschema.validators.extend(  # type: ignore[no-untyped-call]  # its stubs say nothing
        jsonschema.Draft202012Validator, charged
    )


def _charged(check: Callable[..., Any], weight: Callable[[Any, Any], int]) -> Callable[..., Any]:
    def charged(validator: Any, value: Any, instance: Any, schema: Any) -> Any:  # noqa: ANN401 - JSON
        left = _left.get()
        left[0] -= weight(value, instance)
        if left[0] < 0:
            raise TooLargeError(
                "Checking the data against the schema would take too long.", hint="Send less at once."
            )
        return check(validator, value, instance, schema)

    return charged


def _one(_value: Any, _instance: Any) -> int:  # noqa: ANN401 - JSON
    return 1


def _per_value(value: Any, _instance: Any) -> int:  # noqa: ANN401 - JSON
    return 1 + len(value)


def _per_item(_value: Any, instance: Any) -> int:  # noqa: ANN401 - JSON
    return 1 + len(instance) if isinstance(instance, list) else 1


def _per_pattern(value: Any, instance: Any) -> int:  # noqa: ANN401 - JSON
    if not isinstance(instance, dict):
        return 1
    if len(value) * len(instance) > MAX_WORK:
        return MAX_WORK + 1
    costs = [pattern_cost(pattern) for pattern in value]
    return 1 + sum(1 + cost.steps(len(key)) // _STEPS_IN_A_UNIT for cost in costs for key in instance)


def _additional(_value: Any, instance: Any) -> int:  # noqa: ANN401 - JSON
    return 1 + len(instance) if isinstance(instance, dict) else 1


def _per_step(value: Any, instance: Any) -> int:  # noqa: ANN401 - JSON
    if not isinstance(instance, str):
        return 1
    return 1 + pattern_cost(value).steps(min(len(instance), MAX_TEXT_LENGTH)) // _STEPS_IN_A_UNIT


_WEIGHTS: Final[Mapping[str, Callable[[Any, Any], int]]] = {
    "additionalProperties": _additional,
    "enum": _per_value,
    "pattern": _per_step,
    "patternProperties": _per_pattern,
    "required": _per_value,
    "uniqueItems": _per_item,
}


def _pattern(
    check: Callable[..., Any], validator: object, pattern: str, instance: object, schema: object
) -> Iterator[Any]:
    """The library's own keyword with a bound on the text, since patterns are only safe up to it."""
    import jsonschema  # noqa: PLC0415 - loaded long before

    if isinstance(instance, str) and len(instance) > MAX_TEXT_LENGTH:
        yield jsonschema.ValidationError(
            f"is longer than {MAX_TEXT_LENGTH} characters, the most a pattern is tried on"
        )
        return
    yield from check(validator, pattern, instance, schema)


def _unique_items(_validator: Any, wanted: object, instance: object, _schema: object) -> Iterator[Any]:  # noqa: ANN401
    """The library's own keyword compares every pair; this takes time in proportion to the length."""
    import jsonschema  # noqa: PLC0415 - loaded long before

    if wanted and isinstance(instance, list) and len({_canonical(item) for item in instance}) < len(instance):
        yield jsonschema.ValidationError("has items that are not unique")


def _canonical(value: Any) -> bytes:  # noqa: ANN401 - JSON
    return write_json(_sorted(value))


def _sorted(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_sorted(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
