"""The operator's bindings in one small file of the data folder."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from edgehost.adapters.storage.disk import Disk, storage_error, write_whole_file
from edgehost.domain.binding import MOST_BINDINGS, require_binding
from edgehost.domain.errors import DamagedError, RefusedError
from edgehost.domain.json_text import read_json, write_json

#: Two names of a binding, three labels of 63 characters, quotes and commas.
_MOST_BYTES: Final = MOST_BINDINGS * 4 * 72


class BindingFile:
    """A BindingStore; the file is replaced as a whole, so that a crash leaves the old or the new one."""

    def __init__(self, path: Path, disk: Disk | None = None) -> None:
        self._path = path
        self._disk = Disk() if disk is None else disk

    async def load(self) -> Mapping[str, str]:
        """What was kept last.

        Raises:
            DamagedError: the file holds something else.
        """
        return await asyncio.to_thread(self._load)

    async def keep(self, bindings: Mapping[str, str]) -> None:
        """Keep this table durably before returning.

        Raises:
            StorageFullError: the old table is still kept.
        """
        content = write_json(dict(sorted(bindings.items())))
        try:
            await asyncio.to_thread(write_whole_file, self._disk, self._path, content)
        except OSError as error:
            raise storage_error(error, self._path) from error

    def _load(self) -> Mapping[str, str]:
        try:
            with self._path.open("rb") as file:
                content = file.read(_MOST_BYTES + 1)
        except FileNotFoundError:
            return {}
        try:
            return _read(content)
        except RefusedError as problem:
            raise DamagedError(
                f"{self._path} does not hold bindings: {problem.message}",
                hint="Move it away, and bind again with 'edgehost bind'.",
            ) from None


def _read(content: bytes) -> Mapping[str, str]:
    if len(content) > _MOST_BYTES:
        raise RefusedError("It is too long.")
    bindings = read_json(content)
    if not isinstance(bindings, dict):
        raise RefusedError("It is no table.")
    for what, target in bindings.items():
        require_binding(what, str(target))
    return {what: str(target) for what, target in bindings.items()}
