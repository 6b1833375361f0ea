"""Reading records from memory: what every store of this folder has in common."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from typing import Final

from edgehost.adapters.storage.model_index import ModelIndex
from edgehost.adapters.storage.record_matching import cursor_after, matches, place_of, require_query
from edgehost.domain.errors import RevisionConflictError
from edgehost.domain.record import Record
from edgehost.domain.record_query import RecordPage, RecordQuery

#: Records looked at before other tasks get their turn: about a millisecond of work.
_SLICE: Final = 256


class IndexedRecords:
    """The reading half of a RecordStore, over one index per model."""

    def __init__(self, indexed_fields: Mapping[str, Iterable[str]] | None = None) -> None:
        self._indexes: dict[str, ModelIndex] = {}
        self._indexed_fields = {model: list(fields) for model, fields in (indexed_fields or {}).items()}

    async def ensure_index(self, model: str, field: str) -> None:
        """Answer filters on this field (a dotted path into the data, or created_at/updated_at) by an index.

        Records that are there already are indexed in slices; until that is done, queries do without.
        """
        fields = self._indexed_fields.setdefault(model, [])
        if field in fields:
            return
        fields.append(field)
        index = self._indexes.get(model)
        if index is None:
            return
        new = index.add_field(field)
        after: int | None = None
        while doc_ids := index.next_slice(after, _SLICE, descending=False):
            for doc_id in doc_ids:
                new.renew(doc_id, index.record(doc_id))
            after = doc_ids[-1]
            await asyncio.sleep(0)
        new.complete = True

    def models(self) -> tuple[str, ...]:
        """Every model that has or had records here."""
        return tuple(self._indexes)

    async def get(self, model: str, record_id: str) -> Record | None:
        """The record, or None. Changing what it holds changes nothing stored."""
        index = self._indexes.get(model)
        doc_id = index.doc_id(record_id) if index else None
        return index.record(doc_id) if index and doc_id is not None else None

    async def find(self, query: RecordQuery) -> RecordPage:
        """One page of the records that match, in order of creation.

        Raises:
            InvalidQueryError: a bound is passed, or the cursor is not one of this store's.
        """
        require_query(query)
        after = place_of(query)
        index = self._indexes.get(query.model)
        found: list[tuple[int, Record]] = []
        if index is not None:
            planned = index.plan(query, after)
            doc_ids = _in_slices(index, query, after) if planned is None else _listed(planned)
            async with contextlib.aclosing(doc_ids):
                async for doc_id in doc_ids:
                    record = _record_if_there(index, doc_id)
                    if record is not None and matches(record, query.filters):
                        found.append((doc_id, record))
                        if len(found) > query.limit:
                            break
        more = len(found) > query.limit
        page = found[: query.limit]
        cursor = cursor_after(query, page[-1][0]) if more else ""
        return RecordPage(tuple(record for _, record in page), cursor)

    async def find_by_idempotency_key(self, model: str, key: str) -> Record | None:
        """The record that a request with this key created; the earliest, should there be several."""
        index = self._indexes.get(model)
        doc_id = index.first_with_key(key) if index else None
        return index.record(doc_id) if index and doc_id is not None else None

    async def count(self, model: str) -> int:
        """How many records the model has."""
        index = self._indexes.get(model)
        return len(index.documents) if index else 0

    async def scan(self, model: str) -> AsyncIterator[Record]:
        """Every record of the model, in order of creation, as it stands when reached."""
        index = self._indexes.get(model)
        if index is None:
            return
        async with contextlib.aclosing(_in_slices(index, RecordQuery(model), None)) as doc_ids:
            async for doc_id in doc_ids:
                record = _record_if_there(index, doc_id)
                if record is not None:
                    yield record


def _record_if_there(index: ModelIndex, doc_id: int) -> Record | None:
    """The record, unless it was deleted while others were looked at."""
    return index.record(doc_id) if doc_id in index.documents else None


async def _listed(doc_ids: list[int]) -> AsyncGenerator[int, None]:
    for place, doc_id in enumerate(doc_ids, 1):
        yield doc_id
        if place % _SLICE == 0:
            await asyncio.sleep(0)


async def _in_slices(index: ModelIndex, query: RecordQuery, after: int | None) -> AsyncGenerator[int, None]:
    while doc_ids := index.next_slice(after, _SLICE, descending=query.descending):
        for doc_id in doc_ids:
            yield doc_id
        after = doc_ids[-1]
        await asyncio.sleep(0)


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
