"""What the records of a model look like: JSON Schema 2020-12, bounded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from edgehost.domain.errors import InvalidRecordError
from edgehost.domain.quick_check import quick_check
from edgehost.domain.schema_check import require_usable_schema
from edgehost.domain.schema_validator import bounded_work, make_validator

__all__ = ["RecordSchema", "require_usable_schema"]

#: A caller mends a few faults at a time; finding all of them could cost much more.
MAX_PROBLEMS: Final = 20
_MAX_MESSAGE: Final = 300
#: Schemas that lack some members; a model has few of those.
_MOST_VARIANTS: Final = 16
#: Keywords whose schemas look at the same object.
_SAME_OBJECT: Final = ("allOf", "anyOf", "oneOf", "if", "then", "else")


class RecordSchema:
    """A model's schema, ready to check data with."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        require_usable_schema(schema)
        self.document = schema
        self._surely_fits = quick_check(schema, schema)
        self._validator: Any = None  # made for the first data that is not plainly right
        self._without: dict[frozenset[str], RecordSchema] = {}

    def without(self, members: frozenset[str]) -> RecordSchema:
        """The schema for data that lacks these members though the record has them: they are not asked for."""
        if not members or not self.document:
            return self
        found = self._without.get(members)
        if found is None:
            if len(self._without) >= _MOST_VARIANTS:
                self._without.clear()
            found = self._without[members] = RecordSchema(_not_requiring(self.document, members))
        return found

    def require_valid(self, data: object) -> None:
        """Check a record's data.

        Raises:
            InvalidRecordError: it is no object or does not fit; ``problems`` says where, at most 20 times.
            TooLargeError: checking it would take too long.
        """
        if not isinstance(data, Mapping):
            raise InvalidRecordError(
                "A record's data must be a JSON object.", hint='Send an object: {"name": value}.'
            )
        if not self.document or self._surely_fits(data):
            return
        if self._validator is None:
            self._validator = make_validator(self.document)
        with bounded_work():
            if self._validator.is_valid(data):
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
        for found, error in enumerate(self._validator.iter_errors(data)):
            if found == MAX_PROBLEMS:
                return
            yield _pointer(error.absolute_path), _shortened(error.message)


def _not_requiring(schema: Mapping[str, Any], members: frozenset[str]) -> dict[str, Any]:
    lenient = dict(schema)
    if isinstance(schema.get("required"), list):
        lenient["required"] = [name for name in schema["required"] if name not in members]
    for keyword in _SAME_OBJECT:
        below = schema.get(keyword)
        if isinstance(below, Mapping):
            lenient[keyword] = _not_requiring(below, members)
        elif isinstance(below, list):
            lenient[keyword] = [
                _not_requiring(each, members) if isinstance(each, Mapping) else each for each in below
            ]
    return lenient


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
