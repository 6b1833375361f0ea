"""Small memories of a host whose data folder cannot be written: read from the disk, held until the process ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgehost.domain.config_generation import Generations
from edgehost.domain.errors import UnavailableError
from edgehost.ports.fleet_link import TableStore
from edgehost.ports.host_life import GenerationStore


class WithheldGenerations:
    """A GenerationStore for a start that must choose; once ``why`` is set, whoever proposes something is refused."""

    def __init__(self, kept: GenerationStore, hint: str) -> None:
        self._kept = kept
        self._hint = hint
        self._texts: dict[tuple[int, str], bytes] = {}
        self.why = ""

    def load(self) -> Generations:
        """What the disk has."""
        return self._kept.load()

    def newest_number(self) -> int:
        """On the disk."""
        return self._kept.newest_number()

    def keep(self, generations: Generations, *, text: bytes | None = None) -> None:
        """Hold a text for this run.

        Raises:
            UnavailableError: the start is over; nothing was changed.
        """
        if self.why:
            raise UnavailableError(f"{self.why} Nothing was changed.", hint=self._hint)
        if text is not None:
            newest = generations.all[-1]
            self._texts[newest.number, newest.digest] = text

    def text(self, number: int, digest: str) -> bytes | None:
        """The text of a generation; None when it is lost or has another digest."""
        held = self._texts.get((number, digest))
        return self._kept.text(number, digest) if held is None else held


class WithheldTable:
    """A TableStore whose newest table ends with the process: for what may be asked again."""

    def __init__(self, kept: TableStore) -> None:
        self._kept = kept
        self._table: Mapping[str, Any] | None = None

    async def load(self) -> Mapping[str, Any]:
        """What was held last, else what the disk has.

        Raises:
            RefusedError: something else is there.
        """
        return await self._kept.load() if self._table is None else self._table

    async def keep(self, table: Mapping[str, Any]) -> None:
        """Hold it."""
        self._table = table
