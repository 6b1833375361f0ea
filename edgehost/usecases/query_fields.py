"""The fields of a model that queries may name, and what they can be compared with."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from edgehost.domain.errors import InvalidQueryError
from edgehost.domain.model_consistency import opaque_members
from edgehost.domain.record_query import MAX_FIELD_LENGTH, Filter, Operator
from edgehost.domain.suggestion import did_you_mean
from edgehost.usecases.live_models import LiveModel

#: What every record has beside its data, and its type.
RECORD_FIELDS: Final = {"id": "string", "created_at": "number", "updated_at": "number"}

_SEPARATOR: Final = "__"
_ORDERED: Final = frozenset({Operator.LT, Operator.LE, Operator.GT, Operator.GE})
_LISTS: Final = frozenset({Operator.IN, Operator.NIN})


def read_filter_name(model: LiveModel, name: str) -> tuple[str, Operator]:
    """``field`` and ``field__ge`` taken apart.

    Raises:
        InvalidQueryError: there is no such operator, and the model declares no field of this whole name.
    """
    field, separator, word = name.rpartition(_SEPARATOR)
    if not separator or not field:
        return name, Operator.EQ
    if word in set(Operator):
        return field, Operator(word)
    if name.partition(".")[0] in model.schema.document.get("properties", {}):
        return name, Operator.EQ
    known = ", ".join(sorted(Operator))
    raise InvalidQueryError(
        f"'{name[:80]}' ends in no operator that is known.",
        hint=f"Known: {known}; a field with '{_SEPARATOR}' in its name is asked for as FIELD{_SEPARATOR}eq.",
    )


def types_of(model: LiveModel, field: str) -> frozenset[str] | None:
    """The JSON types that a field may have; None when the schema leaves it open.

    Raises:
        InvalidQueryError: the model has no such field, or what is stored there cannot be asked for.
    """
    if field in RECORD_FIELDS:
        return frozenset({RECORD_FIELDS[field]})
    if not field or len(field) > MAX_FIELD_LENGTH:
        raise InvalidQueryError(f"A field's name must have 1 to {MAX_FIELD_LENGTH} characters.")
    if field.partition(".")[0] in opaque_members(model.spec):
        raise InvalidQueryError(
            f"'{field[:80]}' is stored hashed, encrypted or as its model writes it: it cannot be asked for.",
            hint="Ask for another field.",
        )
    try:
        return model.schema.type_of(field)
    except KeyError as unknown:
        known: Collection[str] = [*unknown.args, *RECORD_FIELDS]
        raise InvalidQueryError(
            f"'{model.spec.endpoint}' has no field '{field[:80]}'.", hint=did_you_mean(field[:80], known)
        ) from None


def require_comparable(model: LiveModel, condition: Filter) -> None:
    """Check that the condition makes sense for the model's field.

    Raises:
        InvalidQueryError: the field is unknown, or the value is of another type.
    """
    types = types_of(model, condition.field)
    value: Any = condition.value
    match condition.operator:
        case Operator.EXISTS:
            if not isinstance(value, bool):
                raise InvalidQueryError(f"{condition.field}{_SEPARATOR}exists needs true or false.")
        case Operator.IN | Operator.NIN:
            if not isinstance(value, list | tuple):
                raise InvalidQueryError(f"{condition.field}{_SEPARATOR}{condition.operator} needs a list.")
            for each in value:
                _require_kind(condition.field, _kind_of(each), types)
        case Operator.CONTAINS:
            _kind_of(value)
            if types is not None and not types & {"array", "string"}:
                raise InvalidQueryError(f"{condition.field} is no list and no text: it contains nothing.")
        case Operator.PREFIX if not isinstance(value, str):
            raise InvalidQueryError(f"{condition.field}{_SEPARATOR}prefix needs a string.")
        case operator:
            kind = _kind_of(value)
            if operator in _ORDERED and kind not in {"string", "number"}:
                raise InvalidQueryError(f"{condition.field}: only numbers and strings have an order.")
            _require_kind(condition.field, kind, types)


def _require_kind(field: str, kind: str, types: frozenset[str] | None) -> None:
    if types is not None and kind not in {"number" if name == "integer" else name for name in types}:
        raise InvalidQueryError(
            f"{field} is {' or '.join(sorted(types))}; it cannot be compared with {kind}."
        )


def _kind_of(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case _:
            raise InvalidQueryError(
                "A field can be compared with a string, number, true, false or null only."
            )
