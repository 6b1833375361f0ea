"""Store a record when its unique members are: the looking and the writing are one step."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import AsyncExitStack
from typing import Any

from edgehost.domain.errors import ConflictError, InvalidRecordError
from edgehost.domain.record import Record
from edgehost.domain.record_query import Filter, Operator, RecordQuery
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.record_keeping import RecordKeeping


async def store_record(
    keeping: RecordKeeping, model: LiveModel, record: Record, *, before: Record | None
) -> None:
    """Store a new record, or the next revision of the one before.

    Raises:
        ConflictError: another record has the value of a unique member.
        RevisionConflictError, StorageFullError: as for every store.
    """
    async with AsyncExitStack() as stack:
        # In one order for everybody, so that two writers never wait for each other.
        for member, value in sorted(_unique(model, record, before), key=lambda each: each[0]):
            await stack.enter_async_context(keeping.locks.held(_lock(model, member, value)))
            await _require_free(keeping, model, record.id, member, value)
        await keeping.store.put(record, expected_revision="" if before is None else before.revision)


def _unique(model: LiveModel, record: Record, before: Record | None) -> Iterator[tuple[str, Any]]:
    """The unique members whose value is new; null is no value."""
    for member, spec in model.spec.properties.items():
        value = record.data.get(member)
        if not spec.unique or value is None:
            continue
        if isinstance(value, dict | list):
            raise InvalidRecordError(
                f"'{member}' is unique: it must be a text, a number, true or false.",
                problems=((f"/{member}", "must be a single value"),),
            )
        if before is None or _kind(before.data.get(member)) != _kind(value):
            yield member, value


async def _require_free(
    keeping: RecordKeeping, model: LiveModel, record_id: str, member: str, value: object
) -> None:
    await keeping.store.ensure_index(model.spec.name, member)
    query = RecordQuery(model.spec.name, (Filter(member, Operator.EQ, value),), limit=2)
    page = await keeping.store.find(query)
    if any(found.id != record_id for found in page.records):
        raise ConflictError(
            f"'{model.spec.endpoint}' has a record with this '{member}' already.",
            hint=f"'{member}' is unique: choose another value, or change that record.",
        )


def _lock(model: LiveModel, member: str, value: object) -> Hashable:
    return (model.spec.name, "unique", member, _kind(value))


def _kind(value: Any) -> tuple[str, Any]:  # noqa: ANN401 - JSON
    """A value that equals another's only when both are the same JSON: true is not 1, and 1.0 is."""
    return ("boolean" if isinstance(value, bool) else "", value)
