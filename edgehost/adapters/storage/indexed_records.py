"""Reading records from memory: what every store of this folder has in common."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from typing import Final

from edgehost.adapters.storage.field_index import FieldIndex
from edgehost.adapters.storage.model_index import ModelIndex
from edgehost.adapters.storage.ordered_walk import walk_in_order
from edgehost.adapters.storage.query_planning import exact_count, plan_query
from edgehost.adapters.storage.search_turns import SearchPace, SearchTurns
from edgehost.adapters.storage.text_index import TextIndex
from edgehost.domain.errors import RevisionConflictError
from edgehost.domain.record import Record
from edgehost.domain.record_aggregation import AggregateQuery, AggregateRow, Aggregation
from edgehost.domain.record_conditions import matches
from edgehost.domain.record_order import OrderedPlaces, PageInTheMaking, Place, place_after, place_of
from edgehost.domain.record_query import (
    Condition,
    PlanKind,
    QueryPlan,
    RecordPage,
    RecordQuery,
    require_conditions,
    require_query,
)

#: Records taken from the order of creation at a time.
_SLICE: Final = 256


class IndexedRecords:
    """The reading half of a RecordStore, over one index per model."""

    def __init__(self, indexed_fields: Mapping[str, Iterable[str]] | None = None) -> None:
        self._indexes: dict[str, ModelIndex] = {}
        self._indexed_fields = {model: list(fields) for model, fields in (indexed_fields or {}).items()}
        self._text_fields: dict[str, tuple[str, ...]] = {}
        self._turns = SearchTurns()

    async def ensure_index(self, model: str, field: str) -> None:
        """Answer filters and sorting on this field (a dotted path, or created_at/updated_at) by an index.

        Records that are there already are indexed in slices; until that is done, queries do without.
        """
        fields = self._indexed_fields.setdefault(model, [])
        if field in fields:
            return
        fields.append(field)
        index = self._indexes.get(model)
        if index is not None:
            await _enter_all(index, index.add_field(field), self._turns.search(bounded=False))

    async def ensure_text_index(self, model: str, fields: Sequence[str]) -> None:
        """Answer full-text search of exactly these fields by an index; else as for ``ensure_index``."""
        wanted = tuple(fields)
        if self._text_fields.get(model) == wanted:
            return
        self._text_fields[model] = wanted
        index = self._indexes.get(model)
        if index is not None:
            await _enter_all(index, index.add_text(wanted), self._turns.search(bounded=False))

    def models(self) -> tuple[str, ...]:
        """Every model that has or had records here."""
        return tuple(self._indexes)

    async def get(self, model: str, record_id: str) -> Record | None:
        """The record, or None. Changing what it holds changes nothing stored."""
        index = self._indexes.get(model)
        doc_id = index.doc_id(record_id) if index else None
        return index.record(doc_id) if index and doc_id is not None else None

    async def find(self, query: RecordQuery) -> RecordPage:
        """One page of the records that match.

        Raises:
            InvalidQueryError: a bound is passed, or the cursor is not one of this store's.
        """
        require_query(query)
        after = place_after(query)
        index = self._indexes.get(query.model)
        if index is None:
            return RecordPage(())
        page = PageInTheMaking(query)
        if query.sort:
            for place in await _sorted_places(index, query, after, self._turns.search()):
                if page.is_over():
                    break
                if place.created in index.documents:  # it may have gone while others were looked at
                    page.add(place, index.record(place.created), len(index.documents[place.created]))
            return page.finished()
        begin = after.created if after else None
        async with contextlib.aclosing(_matching(index, query, begin, self._turns.search())) as found:
            async for doc_id, record in found:
                if page.is_over():
                    break
                page.add(Place((), doc_id), record, len(index.documents.get(doc_id, b"")))
        return page.finished()

    async def explain(self, query: RecordQuery) -> QueryPlan:
        """How the query would be answered now.

        Raises:
            InvalidQueryError: a bound is passed.
        """
        require_query(query)
        index = self._indexes.get(query.model)
        return QueryPlan(PlanKind.NOTHING) if index is None else plan_query(index, query).plan

    async def find_by_idempotency_key(self, model: str, key: str) -> Record | None:
        """The record that a request with this key created; the earliest, should there be several."""
        index = self._indexes.get(model)
        doc_id = index.first_with_key(key) if index else None
        return index.record(doc_id) if index and doc_id is not None else None

    async def count(self, model: str, filters: Sequence[Condition] = ()) -> int:
        """How many records the model has, or how many of them match.

        Raises:
            InvalidQueryError: a bound is passed.
        """
        require_conditions(filters)
        index = self._indexes.get(model)
        if index is None:
            return 0
        known = exact_count(index, filters)
        if known is not None:
            return known
        found = 0
        matching = _matching(index, RecordQuery(model, tuple(filters)), None, self._turns.search())
        async with contextlib.aclosing(matching) as records:
            async for _ in records:
                found += 1
        return found

    async def aggregate(self, query: AggregateQuery) -> tuple[AggregateRow, ...]:
        """Figures over the records that match.

        Raises:
            InvalidQueryError: a bound is passed, or there are too many groups.
        """
        aggregation = Aggregation(query)
        index = self._indexes.get(query.model)
        if index is not None:
            matching = _matching(index, RecordQuery(query.model, query.filters), None, self._turns.search())
            async with contextlib.aclosing(matching) as records:
                async for _, record in records:
                    aggregation.add(record)
        return aggregation.rows()

    async def scan(self, model: str) -> AsyncIterator[Record]:
        """Every record of the model, in order of creation, as it stands when reached."""
        index = self._indexes.get(model)
        if index is None:
            return
        pace = self._turns.search(bounded=False)
        async with contextlib.aclosing(_in_slices(index, None, pace, descending=False)) as doc_ids:
            async for doc_id in doc_ids:
                record = _record_if_there(index, doc_id)
                if record is not None:
                    yield record


async def _enter_all(index: ModelIndex, new: FieldIndex | TextIndex, pace: SearchPace) -> None:
    after: int | None = None
    while doc_ids := index.next_slice(after, _SLICE, descending=False):
        for doc_id in doc_ids:
            record = index.record(doc_id)
            new.discard(doc_id, record)  # it may have been written since the index is kept
            new.add(doc_id, record)
            after = doc_id
            if pace.is_over():
                await pace.pause()
                break  # some of the slice may have gone or changed
    new.complete = True


async def _matching(
    index: ModelIndex, query: RecordQuery, after: int | None, pace: SearchPace
) -> AsyncGenerator[tuple[int, Record], None]:
    """Every match beyond ``after`` in order of creation, by whatever finds it with the least work."""
    candidates = plan_query(index, query).candidates
    if candidates is None:
        doc_ids = _in_slices(index, after, pace, descending=query.descending)
    else:
        enough = query.limit + 1 if candidates.exact and len(query.filters) == 1 and query.limit else 0
        listed = candidates.doc_ids(after, descending=query.descending, enough=enough or len(candidates))
        doc_ids = _listed(listed, pace)
    async with contextlib.aclosing(doc_ids):
        async for doc_id in doc_ids:
            record = _record_if_there(index, doc_id)
            if record is not None and matches(record, query.filters):
                yield doc_id, record


async def _sorted_places(
    index: ModelIndex, query: RecordQuery, after: Place | None, pace: SearchPace
) -> list[Place]:
    planned = plan_query(index, query)
    places = OrderedPlaces(query, after)
    if planned.walk is not None:
        await walk_in_order(index, planned.walk, query, after, places, pace=pace)
    else:
        unsorted = RecordQuery(query.model, query.filters, limit=0)
        async with contextlib.aclosing(_matching(index, unsorted, None, pace)) as records:
            async for doc_id, record in records:
                places.offer(place_of(record, doc_id, query.sort))
    return places.first()


def _record_if_there(index: ModelIndex, doc_id: int) -> Record | None:
    """The record, unless it was deleted while others were looked at."""
    return index.record(doc_id) if doc_id in index.documents else None


async def _listed(doc_ids: list[int], pace: SearchPace) -> AsyncGenerator[int, None]:
    for doc_id in doc_ids:
        if pace.is_over():
            await pace.pause()
        yield doc_id


async def _in_slices(
    index: ModelIndex, after: int | None, pace: SearchPace, *, descending: bool
) -> AsyncGenerator[int, None]:
    while doc_ids := index.next_slice(after, _SLICE, descending=descending):
        for doc_id in doc_ids:
            if pace.is_over():
                await pace.pause()
            yield doc_id
        after = doc_ids[-1]


def require_revision(record_id: str, stored: str, expected: str | None) -> None:
    """Refuse a write that was made for another revision; ``stored`` is empty when there is no record.

    Raises:
        RevisionConflictError: the revisions differ.
    """
    if expected is None or expected == stored:
        return
    if not stored:
        raise RevisionConflictError(
            f"{record_id} is not stored, but revision {expected[:80]} was expected.",
            hint="It has been deleted; create it again if it is still wanted.",
        )
    if not expected:
        raise RevisionConflictError(
            f"{record_id} exists already, in revision {stored}.", hint="Read it, then update it."
        )
    raise RevisionConflictError(
        f"{record_id} is stored in revision {stored}, not {expected[:80]}.",
        hint="Read it again, then decide.",
    )
