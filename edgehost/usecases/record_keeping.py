"""What every verb on records needs, and the steps that they share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from edgehost.domain.errors import NotFoundError, RevisionConflictError, TooLargeError
from edgehost.domain.json_text import require_bounded, write_json
from edgehost.domain.record import Record, Revision, RevisionClock
from edgehost.ports.clock import Clock
from edgehost.ports.event_bus import EventBus
from edgehost.ports.member_vault import MemberHasher
from edgehost.ports.record_store import RecordStore
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.key_locks import KeyLocks
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.model_gates import ModelGates

#: Writers that meet on one record try again this often; only those inside a guest's call do not queue up.
WRITE_ATTEMPTS: Final = 8


class ComponentCaller(Protocol):
    """Reaches whatever release of a component is live at that moment."""

    async def call(
        self, component: str, function: str, payload: bytes, *, context: CallContext = ...
    ) -> bytes:
        """The component's answer."""
        ...

    def blame(self, component: str) -> None:
        """Count an answer that broke the contract as a fault of the live release."""
        ...


@dataclass(frozen=True, slots=True)
class RecordKeeping:
    """What every verb on records needs of the host."""

    store: RecordStore
    bus: EventBus
    clock: Clock
    revisions: RevisionClock
    components: ComponentCaller
    record_bytes: int = 1024 * 1024  # a record must fit a guest's input, an event and a page
    locks: KeyLocks = field(default_factory=KeyLocks)
    hasher: MemberHasher | None = None
    gates: ModelGates = field(default_factory=ModelGates)
    #: The model as it is served now: another than a caller holds who waited while its records changed form.
    current: Callable[[LiveModel], LiveModel] = lambda model: model

    @asynccontextmanager
    async def turn(self, model: LiveModel, record_id: str, context: CallContext) -> AsyncIterator[None]:
        """Write one record at a time.

        A write that a guest asks for during its own call does not queue: it would wait for itself when that
        call is part of a write of the same record.
        """
        async with self.gates.working(model.spec.name, nested=bool(context.chain)):
            if context.chain:
                yield
                return
            async with self.locks.held((model.spec.name, record_id)):
                yield

    async def require(self, model: LiveModel, record_id: str) -> Record:
        """The stored record.

        Raises:
            NotFoundError: there is none.
        """
        await self.gates.passed(model.spec.name)
        record = await self.store.get(model.spec.name, record_id)
        if record is None:
            raise NotFoundError(f"'{model.spec.endpoint}' has no record '{record_id[:128]}'.")
        return record

    def require_storable(self, data: Mapping[str, Any]) -> None:
        """Check the size of data that was put together here, from parts that were each bounded.

        Raises:
            TooLargeError: the whole is too large.
        """
        size = len(write_json(data))
        if size > self.record_bytes:
            raise TooLargeError(f"The record would have {size} bytes; {self.record_bytes} are allowed.")
        require_bounded(data)

    def next_revision(self, now: float, before: Record | None = None) -> str:
        """A later revision than any handed out and than the one before, whatever the wall clock says."""
        if before is not None:
            self.revisions.seen(Revision.parse(before.revision))
        return str(self.revisions.next(int(now * 1000)))


async def remember_revisions(keeping: RecordKeeping, models: Collection[str]) -> None:
    """Keep new revisions ahead of all that are stored; once, before the first write."""
    for model in models:
        async for record in keeping.store.scan(model):
            keeping.revisions.seen(Revision.parse(record.revision))


def require_expected(record: Record, expected: Collection[str] | None) -> None:
    """Check that the record has one of the revisions that the caller knows; None accepts any.

    Raises:
        RevisionConflictError: it has another one.
    """
    if expected is not None and record.revision not in expected:
        raise RevisionConflictError(
            f"The record '{record.id}' has revision {record.revision} by now.",
            hint="Read it again and decide anew.",
        )


def record_document(record: Record) -> dict[str, Any]:
    """The record as clients and guests see it; ``unreadable`` is there only when a member is."""
    unreadable = {"unreadable": dict(record.unreadable)} if record.unreadable else {}
    return {
        "model": record.model,
        "id": record.id,
        "data": record.data,
        "revision": record.revision,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        **unreadable,
    }
