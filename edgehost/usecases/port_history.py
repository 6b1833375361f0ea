"""The port history of each record, stored before and after every step.

It lives in a store of records of its own: one record of history for each record that has one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final

from edgehost.domain.errors import DamagedError, RevisionConflictError
from edgehost.domain.json_text import write_json
from edgehost.domain.record import Record, RevisionClock
from edgehost.domain.workflow import Flow
from edgehost.domain.workflow_document import flow_document, read_flow
from edgehost.ports.clock import Clock
from edgehost.ports.record_store import RecordStore
from edgehost.usecases.key_locks import KeyLocks

#: Histories that are kept; beyond, the oldest settled ones go.
MOST_FLOWS: Final = 10_000
_MOST_MARKS: Final = 1000
#: What a step is given and answers is kept for its undo and for a repetition after a crash.
MOST_PAYLOAD_BYTES: Final = 32 * 1024
#: Each model's histories have a table of their own, whose name begins with this; so these two are no model's.
_FLOWS: Final = "f"
_MARKS: Final = "marks"
_SINCE: Final = "since"

Key = tuple[str, str]


class PortHistory:
    """Flows by (model, id); a change is durable before it shows."""

    def __init__(self, store: RecordStore, clock: Clock, host: str, *, most_flows: int = MOST_FLOWS) -> None:
        self._store, self._clock = store, clock
        self._revisions = RevisionClock(host)
        self._locks = KeyLocks()
        self._most = most_flows
        self._unsettled: dict[Key, Flow] = {}
        self._settled: dict[Key, None] = {}  # the oldest first
        self._marks: dict[str, None] = {}
        self._since: dict[str, float] = {}
        self.damaged = 0

    async def load(self, tables: Iterable[str]) -> None:
        """Read what is stored; once, before anything else."""
        for table in tables:
            async for record in self._store.scan(table):
                if table == _MARKS:
                    self._marks[str(record.data["key"])] = None
                elif table == _SINCE:
                    self._since[record.id] = float(record.data["since"])
                else:
                    self._learn(record)

    def unsettled(self) -> tuple[Flow, ...]:
        """The flows in which something is to be done."""
        return tuple(self._unsettled.values())

    def knows(self, model: str, record_id: str) -> bool:
        """Whether the record has a history."""
        key = (model, record_id)
        return key in self._unsettled or key in self._settled

    def __len__(self) -> int:
        return len(self._unsettled) + len(self._settled)

    async def get(self, model: str, record_id: str) -> Flow | None:
        """The history of the record, or None."""
        found = self._unsettled.get((model, record_id))
        if found is not None or (model, record_id) not in self._settled:
            return found
        record = await self._store.get(_FLOWS + model, record_id)
        return None if record is None else read_flow(model, record_id, record.data)

    async def change(self, model: str, record_id: str, change: Callable[[Flow], Flow]) -> Flow:
        """Store what the change makes of the record's history, durably, and return it.

        Raises:
            StorageFullError, TooLargeError: it could not be stored; nothing has changed.
        """
        key = (model, record_id)
        async with self._locks.held(key):
            now = self._clock.now()
            before = await self.get(model, record_id)
            after = change(before or Flow(model, record_id, created_at=now))
            if after is before or (before is None and not after.steps):
                return after
            await self._put(_FLOWS + model, record_id, flow_document(after), created_at=after.created_at)
            self._show(key, after)
        await self._prune()
        return after

    async def forget(self, model: str, record_id: str) -> None:
        """Drop the record's history."""
        async with self._locks.held((model, record_id)):
            await self._store.delete(_FLOWS + model, record_id)
            self._unsettled.pop((model, record_id), None)
            self._settled.pop((model, record_id), None)

    async def mark(self, key: str) -> bool:
        """Set a mark durably; False when it was set before."""
        async with self._locks.held(key):
            if key in self._marks:
                return False
            name = key.replace("/", ".")[-128:]
            try:
                await self._put(_MARKS, name, {"key": key}, created_at=self._clock.now(), expected="")
            except RevisionConflictError:
                return False
            self._marks[key] = None
            if len(self._marks) > _MOST_MARKS:
                oldest = next(iter(self._marks))
                del self._marks[oldest]
                await self._store.delete(_MARKS, oldest.replace("/", ".")[-128:])
            return True

    async def since(self, model: str) -> float:
        """Since when new records of the model begin a workflow here: since it was asked first."""
        if model not in self._since:
            now = self._clock.now()
            await self._put(_SINCE, model, {"since": now}, created_at=now)
            self._since[model] = now
        return self._since[model]

    async def flows(self, model: str) -> AsyncIterator[Flow]:
        """Every history of the model's records, the oldest first."""
        async for record in self._store.scan(_FLOWS + model):
            yield read_flow(model, record.id, record.data)

    def _learn(self, record: Record) -> None:
        try:
            flow = read_flow(record.model.removeprefix(_FLOWS), record.id, record.data)
        except DamagedError:
            self.damaged += 1
            return
        self._show((flow.model, flow.id), flow)

    def _show(self, key: Key, flow: Flow) -> None:
        if flow.settled:
            self._unsettled.pop(key, None)
            self._settled.pop(key, None)
            self._settled[key] = None
        else:
            self._settled.pop(key, None)
            self._unsettled[key] = flow

    async def _put(
        self,
        table: str,
        name: str,
        document: dict[str, object],
        *,
        created_at: float,
        expected: str | None = None,
    ) -> None:
        now = self._clock.now()
        revision = str(self._revisions.next(int(now * 1000)))
        record = Record(table, name, document, revision, created_at, now)
        await self._store.put(record, expected_revision=expected)

    async def _prune(self) -> None:
        while len(self._settled) > self._most:
            model, record_id = next(iter(self._settled))
            flow = await self.get(model, record_id)
            if flow is not None and model in self._since and flow.created_at > self._since[model]:
                # Records up to this one have had their turn: without a history they do not begin again.
                await self._put(_SINCE, model, {"since": flow.created_at}, created_at=flow.created_at)
                self._since[model] = flow.created_at
            await self.forget(model, record_id)


def bounded(payload: object) -> object:
    """What is kept of something that a step was given or answered: itself, or that it was too large."""
    size = len(write_json(payload))
    return payload if size <= MOST_PAYLOAD_BYTES else {"too_large": size}
