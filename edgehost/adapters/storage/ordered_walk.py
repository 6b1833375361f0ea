"""A sorted page met while walking along an index, so that its cost does not grow with the number of records."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from edgehost.adapters.storage.field_index import (
    FieldIndex,
    entry_before,
    key_is_exact,
    key_of_entry,
    kinds_in_order,
)
from edgehost.adapters.storage.model_index import ModelIndex
from edgehost.domain.record_conditions import matches
from edgehost.domain.record_order import FieldKey, OrderedPlaces, Place, place_of
from edgehost.domain.record_query import RecordQuery

#: As in every other search.
_SLICE: Final = 256


async def walk_in_order(
    index: ModelIndex, walk: FieldIndex, query: RecordQuery, after: Place | None, places: OrderedPlaces
) -> None:
    """Offer documents in the order of the first sorted field, until no later one can be on the page."""
    first = query.sort[0]
    alone = len(query.sort) == 1
    # Equal values stand in the index in order of creation, so the first ones of a page are enough of them.
    in_order = alone and first.descending == query.descending
    begin = None if after is None else after.keys[0]
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
                if places.full and (key != run or (in_order and key_is_exact(key))):
                    return
                run = key
                _offer(index, query, key if alone else None, doc_id, places)
            entry = entries[-1]
            await asyncio.sleep(0)


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
