"""Where the host remembers which source holds which model's records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a model's records are, and the component that brought the model."""

    source: str
    component: str


class PlacementStore(Protocol):
    """A small table that survives a restart."""

    async def load(self) -> Mapping[str, Placement]:
        """What was kept last, by model.

        Raises:
            DamagedError: what is kept is not what was written.
        """
        ...

    async def keep(self, placements: Mapping[str, Placement]) -> None:
        """Keep this table durably before returning.

        Raises:
            StorageFullError: the old table is still kept.
        """
        ...
