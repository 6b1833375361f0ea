"""Change a record: merge or replace, let the model complete it, store it durably, then tell."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from edgehost.domain.errors import ConflictError, InvalidRecordError, RevisionConflictError
from edgehost.domain.events import RecordUpdated
from edgehost.domain.merge_patch import merged
from edgehost.domain.record import Record
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.complete_record import Completed, completed
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.record_keeping import WRITE_ATTEMPTS, RecordKeeping, require_expected
from edgehost.usecases.show_record import stored_event
from edgehost.usecases.store_record import store_record


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
        keeping,
        model,
        record_id,
        lambda data: merged(data, patch),
        expected=expected,
        # What nobody is shown cannot be seen to be gone: it is removed by name.
        dropped={member for member, value in patch.items() if value is None},
        context=context,
    )


async def change_record(
    keeping: RecordKeeping,
    model: LiveModel,
    record_id: str,
    change: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    *,
    expected: Collection[str] | None = None,
    dropped: Collection[str] = (),
    context: CallContext = CallContext(),
) -> Record:
    """As ``update_record``, with any change; it may be applied again when another writer was faster.

    Members that are stored hashed are not in the data that is changed: they stay unless the change gives another
    value, or ``dropped`` names them.
    """
    await keeping.bus.room(wait=not context.chain)
    async with keeping.turn(model, record_id, context):
        model = keeping.current(model)
        for _ in range(WRITE_ATTEMPTS):
            before = await keeping.require(model, record_id)
            require_expected(before, expected)
            data = change(before.data)
            keeping.require_storable(data)
            wanted = await completed(
                keeping, model, record_id, data, previous=before, dropped=dropped, context=context
            )
            if wanted.same_as(before):
                return before
            try:
                return await store_change(keeping, model, before, wanted, context=context)
            except RevisionConflictError:
                if expected is not None:
                    raise
    raise ConflictError(
        f"The record '{record_id}' changes faster than this change can be applied.", hint="Try again later."
    )


async def store_change(
    keeping: RecordKeeping, model: LiveModel, before: Record, wanted: Completed, *, context: CallContext
) -> Record:
    """Store the next revision of a record and tell.

    Raises:
        ConflictError: another record has the value of a unique member.
        RevisionConflictError: the stored record is no longer the one before.
    """
    now = keeping.clock.now()
    record = replace(
        before,
        data=wanted.data,
        withheld=wanted.withheld,
        unreadable={member: why for member, why in before.unreadable.items() if member in wanted.withheld},
        revision=keeping.next_revision(now, before),
        updated_at=now,
    )
    await store_record(keeping, model, record, before=before)
    keeping.bus.publish(await stored_event(RecordUpdated, keeping, model, record, context=context))
    return record
