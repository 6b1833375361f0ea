"""Create a record: validate, let the model complete it, store it durably, then tell."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from secrets import randbits
from typing import Any

from edgehost.domain.errors import ConflictError, IdempotencyConflictError, RevisionConflictError
from edgehost.domain.events import RecordCreated
from edgehost.domain.json_text import write_json
from edgehost.domain.model_consistency import encrypted_members, hashed_members
from edgehost.domain.record import Record, require_new_id
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.complete_record import completed
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.record_keeping import RecordKeeping
from edgehost.usecases.show_record import stored_event
from edgehost.usecases.store_record import store_record


@dataclass(frozen=True, slots=True)
class Idempotency:
    """What tells a repeated request from a new one."""

    key: str
    request_digest: str  # sha256 of the request's body


@dataclass(frozen=True, slots=True)
class CreatedRecord:
    """The record, and whether an earlier request with the same key had created it."""

    record: Record
    repeated: bool = False


async def create_record(
    keeping: RecordKeeping,
    model: LiveModel,
    data: Mapping[str, Any],
    *,
    record_id: str = "",
    idempotency: Idempotency | None = None,
    context: CallContext = CallContext(),
) -> CreatedRecord:
    """Store a new record, or find the one that the same request created before.

    Raises:
        InvalidRecordError, GuestError: the data does not fit, or the model refuses it.
        ConflictError: there is a record with this id, or with the value of a unique member.
        IdempotencyConflictError: the key came with another body before.
        StorageFullError: nothing was stored.
    """
    if record_id:
        require_new_id(record_id)
    await keeping.bus.room(wait=not context.chain)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(keeping.gates.working(model.spec.name, nested=bool(context.chain)))
        model = keeping.current(model)
        if idempotency is not None:
            idempotency = _without_secrets(model, data, idempotency)
            await stack.enter_async_context(keeping.locks.held((model.spec.name, "key", idempotency.key)))
            earlier = await _created_before(keeping, model, idempotency)
            if earlier is not None:
                return CreatedRecord(earlier, repeated=True)
        now = keeping.clock.now()
        record_id = record_id or new_record_id(now)
        wanted = await completed(keeping, model, record_id, data, previous=None, context=context)
        record = Record(
            model=model.spec.name,
            id=record_id,
            data=wanted.data,
            withheld=wanted.withheld,
            revision=keeping.next_revision(now),
            created_at=now,
            updated_at=now,
            idempotency_key=idempotency.key if idempotency else "",
            request_digest=idempotency.request_digest if idempotency else "",
        )
        try:
            await store_record(keeping, model, record, before=None)
        except RevisionConflictError:
            raise ConflictError(
                f"'{model.spec.endpoint}' has a record '{record_id}' already.",
                hint="Change that one, or create this one under another id.",
            ) from None
    keeping.bus.publish(await stored_event(RecordCreated, keeping, model, record, context=context))
    return CreatedRecord(record)


def new_record_id(now: float) -> str:
    """An id that sorts by time of creation: a UUID of version 7 (RFC 9562, section 5.7)."""
    milliseconds = max(int(now * 1000), 0) & (1 << 48) - 1
    value = milliseconds << 80 | 0x7 << 76 | randbits(12) << 64 | 0b10 << 62 | randbits(62)
    from uuid import UUID  # noqa: PLC0415 - with the platform's own library 0.1 MB, for hosts that keep records

    return str(UUID(int=value))


def _without_secrets(model: LiveModel, data: Mapping[str, Any], idempotency: Idempotency) -> Idempotency:
    """The request's digest is stored: it must not be a quick hash of a password by which guesses can be tried."""
    secret = hashed_members(model.spec) | encrypted_members(model.spec)
    if not secret or not isinstance(data, Mapping):
        return idempotency
    shown = {name: value for name, value in data.items() if name not in secret}
    return Idempotency(idempotency.key, hashlib.sha256(write_json(shown)).hexdigest())


async def _created_before(
    keeping: RecordKeeping, model: LiveModel, idempotency: Idempotency
) -> Record | None:
    record = await keeping.store.find_by_idempotency_key(model.spec.name, idempotency.key)
    if record is not None and record.request_digest != idempotency.request_digest:
        raise IdempotencyConflictError(
            f"The idempotency key was used for the record '{record.id}', with another body.",
            hint="Use a new key for each new record.",
        )
    return record
