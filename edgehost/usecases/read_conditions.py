"""Conditions as JSON documents: ``{"celsius__gt": 20, "$or": [{"room": "hall"}, {"room__exists": false}]}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from edgehost.domain.errors import InvalidQueryError
from edgehost.domain.record_query import (
    MAX_CONDITIONS,
    MAX_DEPTH,
    AllOf,
    AnyOf,
    Condition,
    Filter,
    Words,
    require_conditions,
)
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.query_fields import read_filter_name, require_comparable

_ANY, _TEXT = "$or", "$text"
_MAX_TEXT: Final = 1024


def read_conditions(model: LiveModel, document: object) -> tuple[Condition, ...]:
    """The conditions in a document; every member of an object must hold.

    Raises:
        InvalidQueryError: a member is unknown or out of bounds, or there are too many.
    """
    conditions = _read(model, document, 1)
    require_conditions(conditions)
    return conditions


def words_condition(model: LiveModel, text: str) -> Words:
    """What full-text search of the model's declared fields asks.

    Raises:
        InvalidQueryError: the model declares none, or the text is too long.
    """
    if not model.spec.source.text:
        raise InvalidQueryError(
            f"'{model.spec.endpoint}' declares no fields for full-text search.",
            hint="Name them under model.source.text in its component.toml.",
        )
    if len(text) > _MAX_TEXT:
        raise InvalidQueryError(f"The text to search for has more than {_MAX_TEXT} characters.")
    return Words(text, model.spec.source.text)


def _read(model: LiveModel, document: object, depth: int) -> tuple[Condition, ...]:
    if not isinstance(document, Mapping):
        raise InvalidQueryError("Conditions must be an object.", hint='Write {"field__op": value}.')
    if depth > MAX_DEPTH + 1:
        raise InvalidQueryError(
            f"The conditions are nested more than {MAX_DEPTH} deep.", hint="Flatten them."
        )
    if len(document) > MAX_CONDITIONS:
        raise InvalidQueryError(f"The query has more than {MAX_CONDITIONS} conditions.")
    return tuple(_read_member(model, name, value, depth) for name, value in document.items())


def _read_member(model: LiveModel, name: str, value: Any, depth: int) -> Condition:  # noqa: ANN401  any JSON value
    match name:
        case "$or" | "$and":
            if not isinstance(value, list) or not 0 < len(value) <= MAX_CONDITIONS:
                raise InvalidQueryError(f"{name} needs a list of 1 to {MAX_CONDITIONS} objects.")
            inner = tuple(_one(_read(model, each, depth + 1)) for each in value)
            return AnyOf(inner) if name == _ANY else AllOf(inner)
        case "$text":
            if not isinstance(value, str):
                raise InvalidQueryError(f"{_TEXT} needs a text.")
            return words_condition(model, value)
        case _:
            condition = Filter(*read_filter_name(model, name), value)
            require_comparable(model, condition)
            return condition


def _one(conditions: tuple[Condition, ...]) -> Condition:
    return conditions[0] if len(conditions) == 1 else AllOf(conditions)
