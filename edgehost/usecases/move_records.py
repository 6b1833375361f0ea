"""Move a model's records from one store to another; until all are there, none is taken away."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, Final

from edgehost.domain.errors import EdgehostError, UnavailableError
from edgehost.domain.record import Record
from edgehost.ports.record_store import RecordStore

#: Written together, so that one sync or one round trip serves many.
_TOGETHER: Final = 64


async def move_records(model: str, old: RecordStore, new: RecordStore) -> int:
    """How many were moved; a move that broke off is begun again and loses nothing.

    Raises:
        UnavailableError: a store does not answer, or the new one does not hold them all; the old ones are there.
    """
    waiting: list[Record] = []
    ids: list[str] = []
    async for record in old.scan(model):
        waiting.append(record)
        ids.append(record.id)
        if len(waiting) == _TOGETHER:
            await _put_all(new, waiting)
            waiting = []
    await _put_all(new, waiting)
    if await new.count(model) < len(ids):
        raise UnavailableError(
            f"Not all {len(ids)} records of '{model}' arrived.", hint="They are where they were; try again."
        )
    for start in range(0, len(ids), _TOGETHER):
        await _all(old.delete(model, record_id) for record_id in ids[start : start + _TOGETHER])
    return len(ids)


async def _put_all(store: RecordStore, records: list[Record]) -> None:
    await _all(store.put(record) for record in records)


async def _all(works: Iterable[Coroutine[Any, Any, object]]) -> None:
    """Do these side by side; one's error is raised as it is, not in a group."""
    try:
        async with asyncio.TaskGroup() as tasks:
            for work in works:
                tasks.create_task(work, name="edgehost.move")
    except ExceptionGroup as group:
        known, others = group.split(EdgehostError)
        if others is not None or known is None:
            raise
        raise _first(known) from None


def _first(group: ExceptionGroup[EdgehostError]) -> EdgehostError:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, ExceptionGroup) else first
