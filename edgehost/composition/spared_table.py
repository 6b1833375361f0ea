"""A small table of the data folder that a host in safe mode does without when it is damaged: control comes first."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from edgehost.domain.errors import DamagedError

log = logging.getLogger("edgehost.life")
_Row = TypeVar("_Row")


class Table(Protocol[_Row]):
    """Bindings, or placements."""

    async def load(self) -> Mapping[str, _Row]:
        """What was kept last."""
        ...

    async def keep(self, table: Mapping[str, _Row], /) -> None:
        """Keep it durably."""
        ...


@dataclass(slots=True)
class SparedTable(Table[_Row]):
    """Reads as empty when the table is damaged, and is then not written over: somebody may have a copy of it."""

    kept: Table[_Row]
    _lost: DamagedError | None = None

    async def load(self) -> Mapping[str, _Row]:
        """What was kept last, or nothing."""
        try:
            return await self.kept.load()
        except DamagedError as damage:
            self._lost = damage
            log.error("Safe mode does without it: %s", damage)  # noqa: TRY400 - a sentence, not a traceback
            return {}

    async def keep(self, table: Mapping[str, _Row]) -> None:
        """Keep it durably.

        Raises:
            DamagedError: it was damaged when it was read.
            StorageFullError.
        """
        if self._lost is not None:
            raise self._lost
        await self.kept.keep(table)
