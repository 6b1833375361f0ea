"""Change a record: merge or replace, let the model complete it, store it durably, then tell."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from edgehost.domain.errors import ConflictError, InvalidRecordError, RevisionConflictError
from edgehost.domain.events import RecordUpdated
from edgehost.domain.json_text import same_json
from edgehost.domain.merge_patch import merged
from edgehost.domain.record import Record
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.ask_guest import completed
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.record_keeping import WRITE_ATTEMPTS, RecordKeeping, require_expected


async def update_record(
    keeping: RecordKeeping,
    model: LiveModel,
    record_id: str,
    patch: object,
    *,
    expected: Collection[str] | None = None,
    context: CallContext = CallContext(),
) -> Record:
    """Apply a JSON merge patch to the record's data; one that changes nothing writes nothing.

    ``expected`` holds the revisions that the caller knows; None for any.

    Raises:
        NotFoundError: there is no such record.
        InvalidRecordError, GuestError: the result does not fit, or the model refuses it.
        RevisionConflictError: the record has none of the expected revisions.
        StorageFullError: nothing was stored.
    """
    if not isinstance(patch, Mapping):
        raise InvalidRecordError(
            "A merge patch must be a JSON object.", hint='Send an object: {"name": new value}.'
        )
    return await change_record(
        keeping, model, record_id, lambda data: merged(data, patch), expected=expected, context=context
    )


async def change_record(
    keeping: RecordKeeping,
    model: LiveModel,
    record_id: str,
    change: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    *,
    expected: Collection[str] | None = None,
    context: CallContext = CallContext(),
) -> Record:
    """As ``update_record``, with any change; it may be applied again when another writer was faster."""
    async with keeping.turn(model, record_id, context):
        for _ in range(WRITE_ATTEMPTS):
            before = await keeping.require(model, record_id)
            require_expected(before, expected)
            data = change(before.data)
            keeping.require_storable(data)
            data = await completed(keeping, model, record_id, data, previous=before, context=context)
            if same_json(data, before.data):
                return before
            try:
                return await store_change(keeping, before, data)
            except RevisionConflictError:
                if expected is not None:
                    raise
    raise ConflictError(
        f"The record '{record_id}' changes faster than this change can be applied.", hint="Try again later."
    )


async def store_change(keeping: RecordKeeping, before: Record, data: Mapping[str, Any]) -> Record:
    """Store the next revision of a record and tell.

    Raises:
        RevisionConflictError: the stored record is no longer the one before.
    """
    now = keeping.clock.now()
    record = replace(before, data=data, revision=keeping.next_revision(now, before), updated_at=now)
    await keeping.store.put(record, expected_revision=before.revision)
    keeping.bus.publish(
        RecordUpdated(at=now, model=record.model, id=record.id, revision=record.revision, data=record.data)
    )
    return record
