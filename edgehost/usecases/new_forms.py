"""The new form of every record of a model, asked of the release that brings it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from edgehost.domain.component_spec import ComponentSpec
from edgehost.domain.errors import GuestError, IncompatibleReleaseError, RefusedError
from edgehost.domain.json_text import read_json, same_json, write_json
from edgehost.domain.model_spec import ModelSpec
from edgehost.domain.record import Record
from edgehost.domain.record_schema import RecordSchema
from edgehost.domain.release_life import Release
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.kept_records import KeptRecords, in_chunks, side_by_side
from edgehost.usecases.record_keeping import RecordKeeping
from edgehost.usecases.running_components import Pool

#: New forms that are held; what is beyond is asked for again while callers wait.
_HELD_BYTES: Final = 16 * 1024 * 1024
_PROGRESS_EVERY: Final = 500


class NoFormError(IncompatibleReleaseError):
    """A record cannot be brought into the release's form."""

    def __init__(self, message: str, *, record_id: str) -> None:
        super().__init__(message, hint="Mend 'migrate' and publish a newer release, or mend the record.")
        self.record_id = record_id


@dataclass(frozen=True, slots=True)
class _New:
    """A record's new form; the data is None where it stays as it is, or was too much to hold."""

    revision: str  # of the record that it was made of
    data: bytes | None
    changed: bool


@dataclass(slots=True)
class NewForms:
    """New forms as they are made: first while others write, then once more for what they wrote."""

    keeping: RecordKeeping
    kept: KeptRecords
    release: Release
    spec: ComponentSpec
    model: ModelSpec
    pool: Pool
    from_version: str
    space: str  # where the records are kept as they were
    _new: dict[str, _New] = field(default_factory=dict)
    _held_bytes: int = 0
    _schema: RecordSchema = field(init=False)
    _turns: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._schema = RecordSchema(self.model.schema)
        self._turns = asyncio.Semaphore(self.spec.limits.instances_max)  # no call waits long for an instance

    @property
    def made(self) -> int:
        """How many records have their new form."""
        return len(self._new)

    @property
    def changed(self) -> bool:
        """Whether any of them, or the lack of records, makes this another form than the one before."""
        return not self._new or any(new.changed for new in self._new.values())

    async def prepare(self, tell: Callable[[int], None]) -> None:
        """Ask for the new form of every record that has none yet, and keep what it was.

        Raises:
            NoFormError: the release has none for one of them.
        """
        seen: set[str] = set()
        told = self.made
        async for chunk in in_chunks(self.keeping.store.scan(self.model.name)):
            seen.update(record.id for record in chunk)
            await side_by_side([record for record in chunk if self._is_outdated(record)], self._make)
            if self.made - told >= _PROGRESS_EVERY:
                told = self.made
                tell(told)
        gone = self._new.keys() - seen
        await self.kept.drop(self.space, gone)
        for record_id in gone:
            self._let_go(record_id)
        tell(self.made)

    async def replace_all(self) -> None:
        """Store every record in its new form.

        Raises:
            EdgehostError: some are stored and some are not; the caller puts them back.
        """
        await side_by_side([each for each, new in self._new.items() if new.changed], self._replace)

    def _is_outdated(self, record: Record) -> bool:
        made = self._new.get(record.id)
        return made is None or made.revision != record.revision

    async def _make(self, record: Record) -> None:
        data = await self._asked(record)
        if not await self.kept.keep(self.space, record.model, record.id, record.revision):
            return  # it changed meanwhile; the last look takes it up
        self._let_go(record.id)
        changed = not same_json(data, record.data)
        held: bytes | None = write_json(data) if changed else None
        if held is not None and self._held_bytes + len(held) > _HELD_BYTES:
            held = None
        self._held_bytes += len(held or b"")
        self._new[record.id] = _New(record.revision, held, changed)

    def _let_go(self, record_id: str) -> None:
        earlier = self._new.pop(record_id, None)
        if earlier is not None:
            self._held_bytes -= len(earlier.data or b"")

    async def _replace(self, record_id: str) -> None:
        made = self._new[record_id]
        record = await self.keeping.store.get(self.model.name, record_id)
        if record is None:
            return
        data = await self._asked(record) if made.data is None else read_json(made.data)
        revision = self.keeping.next_revision(self.keeping.clock.now(), record)
        await self.keeping.store.put(
            replace(record, data=data, revision=revision), expected_revision=made.revision
        )

    async def _asked(self, record: Record) -> Any:  # noqa: ANN401 - JSON
        question = {"id": record.id, "data": record.data, "from_version": self.from_version}
        # Like a shadow's call it may read and do nothing else: it is made again when the record changes.
        context = CallContext(record_id=record.id, shadow=True)
        try:
            async with self._turns:
                output = await self.pool.call(self.model.migrate, write_json(question), context=context)
            return self._fitting(read_json(output))
        except (RefusedError, GuestError) as error:
            raise NoFormError(
                f"{self.release.component} {self.release.version} has no form for the record '{record.id}' "
                f"of {self.from_version}: {error.message}",
                record_id=record.id,
            ) from error

    def _fitting(self, answer: Any) -> Any:  # noqa: ANN401 - JSON
        if not isinstance(answer, dict) or answer.keys() != {"data"}:
            raise RefusedError('it answered with something other than {"data": {...}}.')
        self._schema.require_valid(answer["data"])
        self.keeping.require_storable(answer["data"])
        return answer["data"]
