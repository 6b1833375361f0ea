"""Find records of a model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from edgehost.domain.errors import InvalidQueryError
from edgehost.domain.json_text import write_json
from edgehost.domain.record import Record
from edgehost.domain.record_conditions import MISSING, member_of
from edgehost.domain.record_query import (
    DEFAULT_PAGE,
    MAX_CURSOR_LENGTH,
    MAX_PAGE,
    Condition,
    Filter,
    PlanKind,
    RecordQuery,
    Sort,
    require_query,
)
from edgehost.domain.relation_query import with_member
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.query_fields import (
    RECORD_FIELDS,
    read_filter_name,
    require_comparable,
    types_of,
)
from edgehost.usecases.read_conditions import words_condition
from edgehost.usecases.record_keeping import RecordKeeping, record_document

__all__ = [
    "MAX_CURSOR_LENGTH",
    "MAX_FILTERS",
    "MAX_PAGE_BYTES",
    "RECORD_FIELDS",
    "PageText",
    "make_query",
    "query_records",
    "read_filter_name",
    "stream_records",
    "types_of",
]

#: One JSON document in memory; a page of larger records holds fewer of them.
MAX_PAGE_BYTES: Final = 4 * 1024 * 1024
#: A stream goes page by page, so this is what it holds at a time.
_STREAMED_BYTES: Final = 256 * 1024
#: Each filter is tried on every record that the others leave.
MAX_FILTERS: Final = 16
#: Every page of a sorted stream without an index looks at all records again.
MAX_SORTED_STREAM: Final = 10_000


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
    """One page of the records that match; shorter than asked for when they are large.

    Raises:
        InvalidQueryError: the cursor is not one of this store's.
    """
    await keeping.gates.passed(query.model)
    page = await keeping.store.find(replace(query, most_bytes=most_bytes))
    return PageText(
        tuple(write_json(told(record, query.fields)) for record in page.records), page.next_cursor
    )


async def stream_records(
    keeping: RecordKeeping, query: RecordQuery, *, most: int | None = None
) -> AsyncIterator[bytes]:
    """All records that match, each as one line of JSON, page by page: memory does not grow with their number.

    Records that come or go meanwhile may be in it or not; no other is left out, and none comes twice unless its
    sorted field changes. ``limit`` of the query is not looked at.

    Raises:
        InvalidQueryError: the order has no index to walk along, and there are too many records to sort again
            and again.
    """
    await require_streamable(keeping, query)
    left = most
    part = replace(query, limit=MAX_PAGE, most_bytes=_STREAMED_BYTES)
    while left is None or left > 0:
        part = replace(part, limit=MAX_PAGE if left is None else min(left, MAX_PAGE))
        await keeping.gates.passed(query.model)
        page = await keeping.store.find(part)
        for record in page.records:
            yield write_json(told(record, query.fields)) + b"\n"
        left = None if left is None else left - len(page.records)
        if not page.next_cursor:
            return
        part = replace(part, after=page.next_cursor)


async def require_streamable(keeping: RecordKeeping, query: RecordQuery) -> None:
    """Check that a stream will not sort the same records over and over; before the answer begins.

    Raises:
        InvalidQueryError: it would.
    """
    require_query(query)
    if query.sort:
        plan = await keeping.store.explain(query)
        if plan.sorts and plan.kind is not PlanKind.ORDER and plan.records > MAX_SORTED_STREAM:
            raise InvalidQueryError(
                f"{plan.records} records would be sorted for every part of the stream.",
                hint=f"Declare an index on '{query.sort[0].field}', filter, or leave the order out.",
            )


def make_query(
    model: LiveModel,
    filters: Iterable[Condition] = (),
    *,
    limit: int = DEFAULT_PAGE,
    cursor: str = "",
    descending: bool = False,
    sort: Iterable[Sort] = (),
    fields: Iterable[str] = (),
    text: str = "",
) -> RecordQuery:
    """A query that fits the model; ``text`` is looked for in its full-text fields.

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
        if isinstance(condition, Filter):
            require_comparable(model, condition)
    if text:
        conditions += (words_condition(model, text),)
    query = RecordQuery(
        model.spec.name,
        conditions,
        limit=limit,
        after=cursor,
        descending=descending,
        sort=tuple(sort),
        fields=tuple(fields),
    )
    for each in query.sort:
        types_of(model, each.field)
    require_query(query)
    return query


def read_sort(text: str) -> tuple[Sort, ...]:
    """``-celsius,sensor``: by celsius from the greatest, then by sensor."""
    return tuple(
        Sort(name.removeprefix("-"), descending=name.startswith("-"))
        for name in (part.strip() for part in text.split(","))
        if name
    )


def told(record: Record, fields: tuple[str, ...]) -> dict[str, Any]:
    """The record as clients see it, with these paths of its data only; none: with all."""
    document = record_document(record)
    if fields:
        data: dict[str, Any] = {}
        for path in fields:
            value = member_of(record.data, path)
            if value is not MISSING:
                data = with_member(data, path, value)
        document["data"] = data
    return document
