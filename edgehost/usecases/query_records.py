"""Find records of a model."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final

from edgehost.domain.errors import InvalidQueryError
from edgehost.domain.record_query import DEFAULT_PAGE, MAX_PAGE, Filter, Operator, RecordPage, RecordQuery
from edgehost.domain.suggestion import did_you_mean
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.record_keeping import RecordKeeping

#: Each filter is tried on every record that the others leave.
MAX_FILTERS: Final = 16
MAX_FIELD_LENGTH: Final = 256
MAX_CURSOR_LENGTH: Final = 512
#: What every record has beside its data, and its type.
RECORD_FIELDS: Final = {"id": "string", "created_at": "number", "updated_at": "number"}

_SEPARATOR: Final = "__"


async def query_records(keeping: RecordKeeping, query: RecordQuery) -> RecordPage:
    """One page of the records that match, in order of creation.

    Raises:
        InvalidQueryError: the cursor is not one of this store's.
    """
    return await keeping.store.find(query)


def make_query(
    model: LiveModel,
    filters: Iterable[Filter] = (),
    *,
    limit: int = DEFAULT_PAGE,
    cursor: str = "",
    descending: bool = False,
) -> RecordQuery:
    """A query that fits the model.

    Raises:
        InvalidQueryError: a field is unknown, a value or the limit out of range.
    """
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidQueryError(f"limit is {limit}; it must be 1 to {MAX_PAGE}.")
    if len(cursor) > MAX_CURSOR_LENGTH:
        raise InvalidQueryError("The cursor is not one of this host's.", hint="Use 'next_cursor' as it came.")
    conditions = tuple(filters)
    if len(conditions) > MAX_FILTERS:
        raise InvalidQueryError(f"{len(conditions)} filters are given; {MAX_FILTERS} are allowed.")
    for condition in conditions:
        _require_comparable(condition, types_of(model, condition.field))
    return RecordQuery(model.spec.name, conditions, limit=limit, after=cursor, descending=descending)


def read_filter_name(name: str) -> tuple[str, Operator]:
    """``field`` and ``field__ge`` taken apart."""
    field, separator, word = name.rpartition(_SEPARATOR)
    if separator and field and word in set(Operator):
        return field, Operator(word)
    return name, Operator.EQ


def types_of(model: LiveModel, field: str) -> frozenset[str] | None:
    """The JSON types that a field may have; None when the schema leaves it open.

    Raises:
        InvalidQueryError: the model has no such field.
    """
    if field in RECORD_FIELDS:
        return frozenset({RECORD_FIELDS[field]})
    if not field or len(field) > MAX_FIELD_LENGTH:
        raise InvalidQueryError(f"A field's name must have 1 to {MAX_FIELD_LENGTH} characters.")
    try:
        return model.schema.type_of(field)
    except KeyError as unknown:
        known: Collection[str] = [*unknown.args, *RECORD_FIELDS]
        raise InvalidQueryError(
            f"'{model.spec.endpoint}' has no field '{field[:80]}'.", hint=did_you_mean(field[:80], known)
        ) from None


def _require_comparable(condition: Filter, types: frozenset[str] | None) -> None:
    value: Any = condition.value
    kind = _kind_of(value)
    if condition.operator is Operator.PREFIX and kind != "string":
        raise InvalidQueryError(f"{condition.field}{_SEPARATOR}prefix needs a string.")
    if condition.operator not in {Operator.EQ, Operator.NE} and kind not in {"string", "number"}:
        raise InvalidQueryError(f"{condition.field}: only numbers and strings have an order.")
    if types is not None and kind not in {"number" if name == "integer" else name for name in types}:
        raise InvalidQueryError(
            f"{condition.field} is {' or '.join(sorted(types))}; it cannot be compared with {kind}."
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
