"""A sorted page met while walking along an index, so that its cost does not grow with the number of records."""

from __future__ import annotations

from typing import Any, Final

from edgehost.adapters.storage.field_index import (
    FieldIndex,
    entry_before,
    key_is_exact,
    key_of_entry,
    kinds_in_order,
)
from edgehost.adapters.storage.model_index import ModelIndex
from edgehost.adapters.storage.search_turns import SearchPace
from edgehost.domain.record_conditions import kind_of, matches
from edgehost.domain.record_order import FieldKey, OrderedPlaces, Place, field_key, place_of
from edgehost.domain.record_query import Filter, Operator, RecordQuery, Sort

#: As in every other search.
_SLICE: Final = 256


async def walk_in_order(
    index: ModelIndex,
    walk: FieldIndex,
    query: RecordQuery,
    after: Place | None,
    places: OrderedPlaces,
    *,
    pace: SearchPace,
) -> None:
    """Offer documents in the order of the first sorted field, until no later one can be on the page."""
    first = query.sort[0]
    alone = len(query.sort) == 1
    # Equal values stand in the index in order of creation, so the first ones of a page are enough of them.
    in_order = alone and first.descending == query.descending
    low, high = _range(query, first)
    begin, end = (high, low) if first.descending else (low, high)
    if after is not None and (begin is None or not _is_before(after.keys[0], begin, first)):
        begin = after.keys[0]
    else:
        after = None  # all of the range is beyond the cursor
    run: FieldKey | None = None
    for kind in kinds_in_order(descending=first.descending):
        if begin is not None and begin[0] != kind:
            continue
        entry: tuple[Any, int] | None = None
        if begin is not None:
            entry, begin = _start(begin, after, in_order=in_order, descending=first.descending), None
        while entries := walk.next_in_order(kind, entry, _SLICE, descending=first.descending):
            for value, doc_id in entries:
                key = key_of_entry(kind, value)
                if end is not None and _is_before(end, key, first):
                    return
                if places.full and (key != run or (in_order and key_is_exact(key))):
                    return
                run = key
                _offer(index, query, key if alone else None, doc_id, places)
                entry = (value, doc_id)
                if pace.is_over():
                    await pace.pause()
                    break  # the rest of the slice may be old


def _range(query: RecordQuery, first: Sort) -> tuple[FieldKey | None, FieldKey | None]:
    """The least and the greatest sort key that the conditions leave; None where they leave it open."""
    low: FieldKey | None = None
    high: FieldKey | None = None
    for condition in query.filters:
        if not isinstance(condition, Filter) or condition.field != first.field:
            continue
        if kind_of(condition.value) is None or condition.value != condition.value:
            continue
        key = field_key(condition.value)
        if condition.operator in {Operator.GE, Operator.GT, Operator.EQ, Operator.PREFIX}:
            low = key if low is None else max(low, key)
        if condition.operator in {Operator.LE, Operator.LT, Operator.EQ}:
            high = key if high is None else min(high, key)
    return low, high


def _is_before(key: FieldKey, other: FieldKey, first: Sort) -> bool:
    return other < key if first.descending else key < other


def _start(
    begin: FieldKey, after: Place | None, *, in_order: bool, descending: bool
) -> tuple[Any, int] | None:
    if after is not None and in_order and key_is_exact(begin):
        return begin[1], after.created
    return entry_before(begin, descending=descending)


def _offer(
    index: ModelIndex, query: RecordQuery, key: FieldKey | None, doc_id: int, places: OrderedPlaces
) -> None:
    if doc_id not in index.documents:
        return
    if key is not None and not query.filters:
        places.offer(Place((key,), doc_id))
        return
    record = index.record(doc_id)
    if matches(record, query.filters):
        places.offer(place_of(record, doc_id, query.sort))
