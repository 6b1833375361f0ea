"""Where records live between two calls."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from edgehost.domain.record import Record
from edgehost.domain.record_aggregation import AggregateQuery, AggregateRow
from edgehost.domain.record_query import Condition, QueryPlan, RecordPage, RecordQuery


class RecordStore(Protocol):
    """Durable records. What a write acknowledged survives ``kill -9`` and power loss ([store-1])."""

    async def get(self, model: str, record_id: str) -> Record | None:
        """The record, or None. Changing what it holds changes nothing stored."""
        ...

    async def put(self, record: Record, *, expected_revision: str | None = None) -> None:
        """Store the record durably before returning.

        ``expected_revision`` is the revision that must be stored now: "" for none (create), None for any.

        Raises:
            RevisionConflictError: another revision is stored; nothing was changed.
            StorageFullError: the disk is full; nothing was changed.
        """
        ...

    async def delete(self, model: str, record_id: str, *, expected_revision: str | None = None) -> bool:
        """Remove the record durably; False when there was none.

        Raises:
            RevisionConflictError, StorageFullError: as for put.
        """
        ...

    async def find(self, query: RecordQuery) -> RecordPage:
        """One page of the records that match.

        Raises:
            InvalidQueryError: a bound is passed, or the cursor is not one of this query's.
        """
        ...

    async def explain(self, query: RecordQuery) -> QueryPlan:
        """How the query would be answered now.

        Raises:
            InvalidQueryError: a bound is passed.
        """
        ...

    async def find_by_idempotency_key(self, model: str, key: str) -> Record | None:
        """The record that a request with this key created."""
        ...

    async def count(self, model: str, filters: Sequence[Condition] = ()) -> int:
        """How many records the model has, or how many of them match.

        Raises:
            InvalidQueryError: a bound is passed.
        """
        ...

    async def aggregate(self, query: AggregateQuery) -> tuple[AggregateRow, ...]:
        """Figures over the records that match.

        Raises:
            InvalidQueryError: a bound is passed, or there are too many groups.
        """
        ...

    async def ensure_index(self, model: str, field: str) -> None:
        """Answer filters and sorting on this field (a dotted path, or created_at/updated_at) by an index."""
        ...

    async def ensure_text_index(self, model: str, fields: Sequence[str]) -> None:
        """Answer full-text search of exactly these fields by an index, where the store can."""
        ...

    def scan(self, model: str) -> AsyncIterator[Record]:
        """Every record of the model, in order of creation, as it stands when reached."""
        ...
