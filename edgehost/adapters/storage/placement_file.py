"""Which source holds which model's records, in one small file of the data folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from edgehost.adapters.storage.disk import Disk
from edgehost.adapters.storage.small_table_file import SmallTableFile
from edgehost.domain.errors import DamagedError, RefusedError
from edgehost.domain.names import NAME
from edgehost.ports.placement_store import Placement

#: Three names a model, and more models than a host can serve.
_MOST_BYTES: Final = 4 * 1024 * 1024


class PlacementFile:
    """A PlacementStore."""

    def __init__(self, path: Path, disk: Disk | None = None) -> None:
        self._file = SmallTableFile(path, _MOST_BYTES, disk)

    async def load(self) -> Mapping[str, Placement]:
        """What was kept last, by model.

        Raises:
            DamagedError: the file holds something else.
        """
        try:
            return _read(await self._file.load())
        except (RefusedError, TypeError, ValueError):
            raise DamagedError(
                f"{self._file.path} does not say where records are.",
                hint="Put back a copy of it; without it every model's records are looked for in 'tinydb'.",
            ) from None

    async def keep(self, placements: Mapping[str, Placement]) -> None:
        """Keep this table durably before returning.

        Raises:
            StorageFullError: the old table is still kept.
        """
        await self._file.keep({model: [each.source, each.component] for model, each in placements.items()})


def _read(table: Mapping[str, Any]) -> Mapping[str, Placement]:
    placements = {}
    for model, (source, component) in table.items():
        if not all(isinstance(name, str) and NAME.fullmatch(name) for name in (model, source, component)):
            raise ValueError
        placements[model] = Placement(source, component)
    return placements
