"""Delete a record, unless its model objects."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from edgehost.domain.errors import ConflictError, RevisionConflictError
from edgehost.domain.events import RecordDeleted
from edgehost.domain.json_text import write_json
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.record_keeping import WRITE_ATTEMPTS, RecordKeeping, require_expected
from edgehost.usecases.show_record import domain_of


async def delete_record(
    keeping: RecordKeeping,
    model: LiveModel,
    record_id: str,
    *,
    expected: Collection[str] | None = None,
    context: CallContext = CallContext(),
) -> None:
    """Remove the record durably, then tell.

    Raises:
        NotFoundError: there is no such record.
        GuestFailedError: the model keeps it.
        RevisionConflictError: the record has none of the expected revisions.
        StorageFullError: nothing was removed.
    """
    await keeping.bus.room(wait=not context.chain)
    async with keeping.turn(model, record_id, context):
        model = keeping.current(model)
        for _ in range(WRITE_ATTEMPTS):
            before = await keeping.require(model, record_id)
            require_expected(before, expected)
            if model.spec.on_delete:
                question = write_json({"event": "delete", "id": record_id, "data": before.data})
                about = replace(context, record_id=record_id)
                await keeping.components.call(model.component, model.spec.on_delete, question, context=about)
            try:
                if not await keeping.store.delete(before.model, record_id, expected_revision=before.revision):
                    continue  # somebody else removed it; the next look says so
            except RevisionConflictError:
                if expected is not None:
                    raise
                continue
            now = keeping.clock.now()
            keeping.bus.publish(
                RecordDeleted(
                    at=now,
                    model=before.model,
                    id=record_id,
                    revision=keeping.next_revision(now, before),
                    domain=domain_of(model.spec),
                )
            )
            return
    raise ConflictError(
        f"The record '{record_id}' changes faster than it can be deleted.", hint="Try again later."
    )
