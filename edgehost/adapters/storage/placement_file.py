"""Which source holds which model's records, in one small file of the data folder."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from edgehost.adapters.storage.disk import Disk, storage_error, write_whole_file
from edgehost.domain.errors import DamagedError, RefusedError
from edgehost.domain.json_text import read_json, write_json
from edgehost.domain.names import NAME
from edgehost.ports.placement_store import Placement

#: Three names a model, and more models than a host can serve.
_MOST_BYTES: Final = 4 * 1024 * 1024


class PlacementFile:
    """A PlacementStore; the file is replaced as a whole, so that a crash leaves the old or the new one."""

    def __init__(self, path: Path, disk: Disk | None = None) -> None:
        self._path = path
        self._disk = Disk() if disk is None else disk

    async def load(self) -> Mapping[str, Placement]:
        """What was kept last, by model.

        Raises:
            DamagedError: the file holds something else.
        """
        return await asyncio.to_thread(self._load)

    async def keep(self, placements: Mapping[str, Placement]) -> None:
        """Keep this table durably before returning.

        Raises:
            StorageFullError: the old table is still kept.
        """
        table = {model: [each.source, each.component] for model, each in sorted(placements.items())}
        try:
            await asyncio.to_thread(write_whole_file, self._disk, self._path, write_json(table))
        except OSError as error:
            raise storage_error(error, self._path) from error

    def _load(self) -> Mapping[str, Placement]:
        try:
            with self._path.open("rb") as file:
                content = file.read(_MOST_BYTES + 1)
        except FileNotFoundError:
            return {}
        try:
            return _read(content)
        except (RefusedError, TypeError, ValueError):
            raise DamagedError(
                f"{self._path} does not say where records are.",
                hint="Put back a copy of it; without it every model's records are looked for in 'tinydb'.",
            ) from None


def _read(content: bytes) -> Mapping[str, Placement]:
    if len(content) > _MOST_BYTES:
        raise ValueError
    table = read_json(content)
    if not isinstance(table, dict):
        raise TypeError
    placements = {}
    for model, (source, component) in table.items():
        if not all(isinstance(name, str) and NAME.fullmatch(name) for name in (model, source, component)):
            raise ValueError
        placements[model] = Placement(source, component)
    return placements
