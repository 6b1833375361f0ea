"""What the records of a model look like: JSON Schema 2020-12, bounded."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any, Final

from edgehost.domain.errors import InvalidRecordError
from edgehost.domain.json_text import write_json
from edgehost.domain.pattern_check import MAX_TEXT_LENGTH
from edgehost.domain.schema_check import require_usable_schema

__all__ = ["RecordSchema", "require_usable_schema"]

#: A caller mends a few faults at a time; finding all of them could cost much more.
MAX_PROBLEMS: Final = 20
_MAX_MESSAGE: Final = 300


class RecordSchema:
    """A model's schema, ready to check data with."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        require_usable_schema(schema)
        self.document = schema
        self._validator = _validator_class()(schema, registry=_empty_registry()) if schema else None

    def require_valid(self, data: object) -> None:
        """Check a record's data.

        Raises:
            InvalidRecordError: it is no object or does not fit; ``problems`` says where, at most 20 times.
        """
        if not isinstance(data, Mapping):
            raise InvalidRecordError(
                "A record's data must be a JSON object.", hint='Send an object: {"name": value}.'
            )
        if self._validator is None or self._validator.is_valid(data):
            return
        problems = tuple(self._problems(data))
        count = f"{len(problems)} or more" if len(problems) == MAX_PROBLEMS else len(problems)
        raise InvalidRecordError(
            f"The data does not fit the schema: {count} problem{'' if count == 1 else 's'}, "
            f"first: {problems[0][0] or '/'} {problems[0][1]}",
            hint="See 'problems' and the model's schema.",
            problems=problems,
        )

    def type_of(self, path: str) -> frozenset[str] | None:
        """The JSON types that a dotted path may have; None when the schema leaves it open.

        Raises:
            KeyError: the schema allows no such member; the error holds the names that it knows there.
        """
        schema: object = self.document
        for step in path.split("."):
            schema = self._resolved(schema)
            known = schema.get("properties", {}) if isinstance(schema, Mapping) else {}
            if step in known:
                schema = known[step]
            elif _closed(schema):
                raise KeyError(*known)
            else:
                return None
        schema = self._resolved(schema)
        types = schema.get("type") if isinstance(schema, Mapping) else None
        if types is None:
            return None
        return frozenset([types] if isinstance(types, str) else types)

    def _resolved(self, schema: object) -> object:
        while isinstance(schema, Mapping) and "$ref" in schema:
            target: Any = self.document
            for step in schema["$ref"].split("/")[1:]:
                target = target[step.replace("~1", "/").replace("~0", "~")]
            schema = target
        return schema

    def _problems(self, data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        assert self._validator is not None  # noqa: S101 - callers have looked
        for found, error in enumerate(self._validator.iter_errors(data)):
            if found == MAX_PROBLEMS:
                return
            yield _pointer(error.absolute_path), _shortened(error.message)


def _closed(schema: object) -> bool:
    return (
        isinstance(schema, Mapping)
        and schema.get("additionalProperties") is False
        and not schema.get("patternProperties")
    )


def _pointer(path: Iterator[Any]) -> str:
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)


def _shortened(message: str) -> str:
    return message if len(message) <= _MAX_MESSAGE else f"...{message[-_MAX_MESSAGE:]}"


@functools.cache
def _validator_class() -> Any:  # noqa: ANN401 - the library makes the class at run time
    import jsonschema  # noqa: PLC0415 - 6 MB that a host without models does not need

    return jsonschema.validators.extend(  # type: ignore[no-untyped-call]  # its stubs say nothing
        jsonschema.Draft202012Validator, {"pattern": _pattern, "uniqueItems": _unique_items}
    )


@functools.cache
def _empty_registry() -> Any:  # noqa: ANN401 - typed by a library that is imported late
    """Without it the library would fetch unknown references from the network."""
    import referencing  # noqa: PLC0415 - comes with jsonschema

    return referencing.Registry()


def _pattern(validator: Any, pattern: str, instance: object, _schema: object) -> Iterator[Any]:  # noqa: ANN401
    """The library's own keyword with a bound on the text, since patterns are only safe up to it."""
    import jsonschema  # noqa: PLC0415 - loaded long before

    if isinstance(instance, str) and len(instance) > MAX_TEXT_LENGTH:
        yield jsonschema.ValidationError(
            f"is longer than {MAX_TEXT_LENGTH} characters, the most a pattern is tried on"
        )
        return
    yield from jsonschema.Draft202012Validator.VALIDATORS["pattern"](validator, pattern, instance, _schema)


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
