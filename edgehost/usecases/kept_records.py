"""What records were before they changed their form, and the notes of which form a model's records have.

It all lies in tables of the record store beside those of models, whose names have no dot, as the store holds it:
encrypted members stay encrypted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final, TypeVar

from edgehost.domain.json_text import same_json
from edgehost.domain.record import Record, Revision
from edgehost.domain.record_forms import RecordForm
from edgehost.ports.record_store import RecordStore

#: Records written side by side, so that one sync of the disk serves them all.
AT_ONCE: Final = 32
_FORMS: Final = "record.forms"
_BEGUN: Final = "record.forms-begun"
_FIRST: Final = str(Revision(0, 0, "host"))
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Restored:
    """What a way back did."""

    count: int  # records that are again what they were
    set_aside: int  # records written since, out of the way


@dataclass(frozen=True, slots=True)
class KeptRecords:
    """The tables of kept records and notes, in a store below encryption."""

    store: RecordStore

    @staticmethod
    def space(model: str, digest: str) -> str:
        """The table of the model's records as they were before the release with this digest."""
        return f"{model}.before-{digest[:12]}"

    @staticmethod
    def aside(model: str) -> str:
        """The table of records that were written in a form that had to go."""
        return f"{model}.aside"

    async def form(self, model: str) -> RecordForm | None:
        """The note of a model's form; None while its records never changed theirs."""
        record = await self.store.get(_FORMS, model)
        return None if record is None else RecordForm.from_document(record.data)

    async def forms(self) -> tuple[tuple[str, RecordForm], ...]:
        """Every model's note."""
        return tuple(
            [(each.id, RecordForm.from_document(each.data)) async for each in self.store.scan(_FORMS)]
        )

    async def note(self, model: str, form: RecordForm | None) -> None:
        """Note durably which form the model's records have."""
        if form is None:
            await self.store.delete(_FORMS, model)
        else:
            await self.store.put(Record(_FORMS, model, form.to_document(), _FIRST, 0, 0))

    async def begin(self, space: str) -> None:
        """Note that this table is being filled, so that a crash does not leave it behind."""
        await self.store.put(Record(_BEGUN, space, {}, _FIRST, 0, 0))

    async def begun(self) -> tuple[str, ...]:
        """Tables whose filling did not end."""
        return tuple([each.id async for each in self.store.scan(_BEGUN)])

    async def ended(self, space: str) -> None:
        """The table is in use, or gone."""
        await self.store.delete(_BEGUN, space)

    async def keep(self, space: str, model: str, record_id: str, revision: str) -> bool:
        """Keep a record as it is stored now; False when it has another revision by now."""
        record = await self.store.get(model, record_id)
        if record is None or record.revision != revision:
            return False
        await self.store.put(replace(record, model=space))
        return True

    async def drop(self, space: str, ids: Iterable[str] | None = None) -> None:
        """Keep nothing of this table any more, or only not these records."""
        found = [each.id async for each in self.store.scan(space)] if ids is None else ids
        await side_by_side(found, lambda record_id: self.store.delete(space, record_id))

    async def put_back(self, space: str, model: str) -> None:
        """Records are exactly what they were, revisions included: nobody has seen them otherwise."""

        async def put(kept: Record) -> None:
            await self.store.put(replace(kept, model=model))

        await side_by_side(await self._all(space), put)

    async def restore(
        self, space: str, model: str, *, since: str, next_revision: Callable[[], str]
    ) -> Restored:
        """Records are what they were, as new revisions; what was written after ``since`` is put aside.

        It can be done again after a crash in the middle.
        """
        kept = {record.id: record for record in await self._all(space)}
        limit = Revision.parse(since)
        aside = [0]

        async def back(current: Record) -> None:
            before = kept.pop(current.id, None)
            if before is not None and same_json(before.data, current.data):
                return
            if Revision.parse(current.revision) > limit:
                aside[0] += 1
                await self.store.put(replace(current, model=self.aside(model)))
            if before is None:
                await self.store.delete(model, current.id)
            else:
                await self.store.put(replace(before, model=model, revision=next_revision()))

        count = len(kept)
        await side_by_side(await self._all(model), back)

        async def put(gone: Record) -> None:
            await self.store.put(replace(gone, model=model, revision=next_revision()))

        await side_by_side(tuple(kept.values()), put)
        return Restored(count, aside[0])

    async def _all(self, table: str) -> tuple[Record, ...]:
        return tuple([record async for record in self.store.scan(table)])


async def side_by_side(
    items: Iterable[_Item], work: Callable[[_Item], Awaitable[object]], *, at_once: int = AT_ONCE
) -> None:
    """Do the work for every item, so many at a time; the first error ends it and is raised."""
    remaining = iter(items)
    while chunk := tuple(islice(remaining, at_once)):
        try:
            async with asyncio.TaskGroup() as tasks:
                for item in chunk:
                    tasks.create_task(_done(work(item)), name="edgehost.records")
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None


async def in_chunks(records: AsyncIterator[Record], size: int = AT_ONCE) -> AsyncIterator[tuple[Record, ...]]:
    """The records, so many at a time."""
    chunk: list[Record] = []
    async for record in records:
        chunk.append(record)
        if len(chunk) == size:
            yield tuple(chunk)
            chunk = []
    if chunk:
        yield tuple(chunk)


async def _done(work: Awaitable[object]) -> None:
    await work
