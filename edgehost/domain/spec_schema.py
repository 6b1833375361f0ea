"""The JSON Schema of component.toml, for editors: what the reader asks for, recorded while it reads nothing.

What one key contradicts in another is no matter of the schema; ``edgehost component check`` tells it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar

from edgehost.domain.component_spec import read_tables
from edgehost.domain.schema_check import DIALECT
from edgehost.domain.spec_reader import MOST_ITEMS, SpecReader

_Read = TypeVar("_Read")
_SCALARS: Final = ["string", "number", "boolean", "null"]


def component_schema() -> dict[str, Any]:
    """The schema of a component.toml, as ``edgehost build`` reads it."""
    top = _Recording()
    read_tables(top)
    schema = top.schema
    properties = schema["properties"]
    properties["wasm"] = {"type": "string", "minLength": 1, "description": "the module, within the folder"}
    model_schema = properties["model"]["properties"]["schema"]
    properties["model"]["properties"]["schema"] = {
        "anyOf": [model_schema, {"type": "string", "description": "a JSON file within the folder"}]
    }
    schema["required"].append("wasm")
    return {"$schema": DIALECT, "title": "component.toml of edgehost", **schema}


def document_schema() -> dict[str, Any]:
    """The schema of the document that a component carries: the schema of records stands in it."""
    top = _Recording()
    read_tables(top)
    return {"$schema": DIALECT, **top.schema}


class _Recording(SpecReader):
    """Answers every question with something that fits, and keeps the question."""

    def __init__(self, path: str = "") -> None:
        super().__init__({}, path)
        self.schema: dict[str, Any] = {
            "type": "object",
            "properties": {},
            "additionalProperties": False,
            "required": [],
        }

    def names(self) -> tuple[str, ...]:
        return ()

    def has(self, key: str) -> bool:  # noqa: ARG002 - every optional part is asked for
        return True

    def text(
        self,
        key: str,
        *,
        default: str | None = None,
        pattern: re.Pattern[str] | None = None,
        longest: int = 256,
    ) -> str:
        return self._keep(key, _text(pattern, default, longest), default, "a")

    def texts(
        self, key: str, *, pattern: re.Pattern[str] | None = None, default: tuple[str, ...] = ()
    ) -> tuple[str, ...]:
        items = _text(pattern, None, None)
        return self._keep(key, {"type": "array", "items": items, "maxItems": MOST_ITEMS}, default, default)

    def choice(self, key: str, known: Iterable[str], *, default: str | None = None) -> str:
        words = [str(word) for word in known]
        return self._keep(key, {"enum": words}, default, words[0])

    def choices(self, key: str, known: Iterable[str]) -> tuple[str, ...]:
        words = [str(word) for word in known]
        schema = {"type": "array", "items": {"enum": words}, "maxItems": MOST_ITEMS}
        return self._keep(key, schema, (), ())

    def whole(self, key: str, *, least: int, most: int, default: int | None = None) -> int:
        return self._keep(key, {"type": "integer", "minimum": least, "maximum": most}, default, least)

    def number(self, key: str, *, least: float, most: float, default: float | None = None) -> float:
        return self._keep(key, {"type": "number", "minimum": least, "maximum": most}, default, least)

    def flag(self, key: str, *, default: bool) -> bool:
        return self._keep(key, {"type": "boolean"}, default, default)

    def scalars(self, key: str) -> tuple[Any, ...]:
        schema = {"type": "array", "items": {"type": _SCALARS}, "maxItems": MOST_ITEMS}
        return self._keep(key, schema, None, ("a",))

    def flag_or_table(self, key: str, read: Callable[[SpecReader], _Read]) -> bool | _Read:
        below = _Recording(self._at(key))
        read(below)
        self._put(key, {"anyOf": [{"type": "boolean"}, below.schema]})
        return False

    def table(self, key: str) -> SpecReader:
        below = _Recording(self._at(key))
        self._put(key, below.schema)
        return below

    def table_list(self, key: str) -> Iterator[SpecReader]:
        below = _Recording(self._at(key))
        self._put(key, {"type": "array", "items": below.schema, "maxItems": MOST_ITEMS})
        yield below

    def tables(self, *, pattern: re.Pattern[str]) -> Iterator[SpecReader]:
        below = _Recording(self._at("a"))
        self.schema["patternProperties"] = {_whole(pattern): below.schema}
        yield below

    def text_map(
        self, key: str, *, pattern: re.Pattern[str] | None = None, longest: int = 256
    ) -> dict[str, str]:
        self._put(key, {"type": "object", "additionalProperties": _text(pattern, None, longest)})
        return {}

    def texts_map(self, key: str) -> dict[str, tuple[str, ...]]:
        items = {"type": "array", "items": {"type": "string"}, "maxItems": MOST_ITEMS}
        self._put(key, {"type": "object", "additionalProperties": items})
        return {}

    def document(self, key: str) -> Mapping[str, Any]:
        self._put(key, {"type": "object"})
        return {}

    def refuse_unknown(self) -> None:
        """Nothing is unknown here."""

    def refuse(self, key: str, what: str, *, hint: str = "") -> None:
        """What the answers contradict in each other means nothing."""

    def _keep(self, key: str, schema: dict[str, Any], default: _Read | None, answer: _Read) -> _Read:
        if default is None:
            if key not in self.schema["required"]:
                self.schema["required"].append(key)
            self._put(key, schema)
            return answer
        self._put(key, {**schema, "default": list(default) if isinstance(default, tuple) else default})
        return default

    def _put(self, key: str, schema: dict[str, Any]) -> None:
        self.schema["properties"].setdefault(key, schema)


def _text(pattern: re.Pattern[str] | None, default: str | None, longest: int | None) -> dict[str, Any]:
    schema: dict[str, Any] = (
        {"type": "string"} if longest is None else {"type": "string", "maxLength": longest}
    )
    if pattern is None:
        return schema
    # The reader takes the default whatever the pattern says.
    fits_by_itself = default is None or pattern.fullmatch(default)
    expression = _whole(pattern) if fits_by_itself else f"^(?:{re.escape(default or '')}|{pattern.pattern})$"
    return {**schema, "pattern": expression}


def _whole(pattern: re.Pattern[str]) -> str:
    return f"^(?:{pattern.pattern})$"
