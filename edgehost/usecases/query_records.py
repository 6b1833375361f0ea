"""Find records of a model."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from edgehost.domain.errors import InvalidQueryError
from edgehost.domain.json_text import write_json
from edgehost.domain.record_query import DEFAULT_PAGE, MAX_PAGE, Filter, Operator, RecordQuery
from edgehost.domain.suggestion import did_you_mean
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.record_keeping import RecordKeeping, record_document

#: One JSON document in memory; a page of larger records holds fewer of them.
MAX_PAGE_BYTES: Final = 4 * 1024 * 1024
#: Before anything is known of their size; all of them together are in memory at once.
_FIRST_AT_ONCE: Final = 16
#: Each filter is tried on every record that the others leave.
MAX_FILTERS: Final = 16
MAX_FIELD_LENGTH: Final = 256
MAX_CURSOR_LENGTH: Final = 512
#: What every record has beside its data, and its type.
RECORD_FIELDS: Final = {"id": "string", "created_at": "number", "updated_at": "number"}

_SEPARATOR: Final = "__"


@dataclass(frozen=True, slots=True)
class PageText:
    """Records of one page as JSON, and where to go on; ``next_cursor`` is empty on the last page."""

    records: tuple[bytes, ...]
    next_cursor: str

    def to_json(self) -> bytes:
        """The page as one JSON document."""
        cursor = write_json(self.next_cursor)
        return b'{"records":[' + b",".join(self.records) + b'],"next_cursor":' + cursor + b"}"


async def query_records(
    keeping: RecordKeeping, query: RecordQuery, *, most_bytes: int = MAX_PAGE_BYTES
) -> PageText:
    """One page of the records that match, in order of creation; shorter than asked for when they are large.

    Raises:
        InvalidQueryError: the cursor is not one of this store's.
    """
    texts: list[bytes] = []
    size, cursor = 0, query.after
    at_once = _FIRST_AT_ONCE
    while True:
        part = replace(query, limit=min(at_once, query.limit - len(texts)), after=cursor)
        page = await keeping.store.find(part)
        for record in page.records:
            texts.append(write_json(record_document(record)))
            size += len(texts[-1])
        cursor = page.next_cursor
        if not cursor or len(texts) >= query.limit or size >= most_bytes:
            return PageText(tuple(texts), cursor)
        at_once = max(1, min(MAX_PAGE, (most_bytes - size) * len(texts) // size))


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
