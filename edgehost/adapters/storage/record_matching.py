"""What a query means: comparing fields, and the place where the next page begins.

Values are compared within their kind: numbers with numbers, texts with texts. Truth values, null, lists and
objects are equal or not, never greater. A field that a record lacks matches nothing; NE is true for a value of
another kind.
"""

from __future__ import annotations

import base64
import binascii
import operator
import struct
from collections.abc import Callable
from typing import Any, Final
from zlib import crc32

from edgehost.adapters.storage.record_codec import MISSING, field_of
from edgehost.domain.errors import InvalidQueryError
from edgehost.domain.record import Record
from edgehost.domain.record_query import MAX_PAGE, Filter, Operator, RecordQuery

#: A query is evaluated for each record: these bound the cost of one evaluation.
MAX_FILTERS: Final = 32
MAX_PATH: Final = 256

#: Kinds that have an order, by their number in an index.
NUMBER, TEXT = 0, 1

_ORDERED: Final[dict[Operator, Callable[[Any, Any], bool]]] = {
    Operator.LT: operator.lt,
    Operator.LE: operator.le,
    Operator.GT: operator.gt,
    Operator.GE: operator.ge,
}
_CURSOR: Final = struct.Struct(">BqI")
_CURSOR_VERSION: Final = 1
_MAX_CURSOR: Final = 64


def require_query(query: RecordQuery) -> None:
    """Refuse what would cost more than one page may.

    Raises:
        InvalidQueryError: a bound is passed or an operator gets a value that it cannot compare.
    """
    if not 1 <= query.limit <= MAX_PAGE:
        raise InvalidQueryError(f"The limit is {query.limit}.", hint=f"Ask for 1 to {MAX_PAGE} records.")
    if len(query.filters) > MAX_FILTERS:
        raise InvalidQueryError(
            f"The query has {len(query.filters)} filters.", hint=f"Use at most {MAX_FILTERS}."
        )
    for condition in query.filters:
        if not 0 < len(condition.field) <= MAX_PATH:
            raise InvalidQueryError(
                f"The field {condition.field[:80]!r} is empty or too long.",
                hint=f"Name fields with 1 to {MAX_PATH} characters.",
            )


def kind_of(value: object) -> int | None:
    """NUMBER, TEXT, or None for what has no order."""
    if isinstance(value, str):
        return TEXT
    if isinstance(value, int | float) and not isinstance(value, bool):
        return NUMBER
    return None


def matches(record: Record, filters: tuple[Filter, ...]) -> bool:
    """Whether every condition holds."""
    return all(_holds(field_of(record, condition.field), condition) for condition in filters)


def _holds(value: Any, condition: Filter) -> bool:  # noqa: ANN401  a field holds any JSON value
    wanted = condition.value
    if value is MISSING:
        return False
    match condition.operator:
        case Operator.EQ:
            return same(value, wanted)
        case Operator.NE:
            return not same(value, wanted)
        case Operator.PREFIX:
            return isinstance(value, str) and isinstance(wanted, str) and value.startswith(wanted)
        case _:
            kind = kind_of(value)
            return (
                kind is not None and kind == kind_of(wanted) and _ORDERED[condition.operator](value, wanted)
            )


def same(left: Any, right: Any) -> bool:  # noqa: ANN401  any two JSON values
    """JSON equality: 1 equals 1.0 but not true, at every depth."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(value, right[key]) for key, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return bool(left == right)


def cursor_after(query: RecordQuery, doc_id: int) -> str:
    """The page after this document, for the same model and direction."""
    packed = _CURSOR.pack(_CURSOR_VERSION, doc_id, _seal(query, doc_id))
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def place_of(query: RecordQuery) -> int | None:
    """The document that the page comes after, None for the first page.

    Raises:
        InvalidQueryError: the cursor was not made for this model and direction.
    """
    if not query.after:
        return None
    text = query.after
    try:
        if len(text) > _MAX_CURSOR:
            raise ValueError  # noqa: TRY301  one answer to every cursor that is not ours
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        version, doc_id, seal = _CURSOR.unpack(packed)
    except (ValueError, binascii.Error, struct.error):
        version, doc_id, seal = 0, 0, 0
    if version != _CURSOR_VERSION or seal != _seal(query, doc_id):
        raise InvalidQueryError(
            "The cursor does not belong to this query.",
            hint="Use 'next_cursor' of the page before with the same model and order, or start without a cursor.",
        )
    return int(doc_id)


def _seal(query: RecordQuery, doc_id: int) -> int:
    return crc32(f"{query.model} {int(query.descending)} {doc_id}".encode())
