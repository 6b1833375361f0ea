"""A small table in one file of the data folder, replaced as a whole: a crash leaves the old or the new one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgehost.adapters.storage.disk import Disk, storage_error, write_whole_file
from edgehost.adapters.storage.plain_file import read_plain_file
from edgehost.domain.errors import RefusedError
from edgehost.domain.json_text import read_json, write_json


class SmallTableFile:
    """A JSON object of at most ``most_bytes``."""

    def __init__(self, path: Path, most_bytes: int, disk: Disk | None) -> None:
        self.path = path
        self._most_bytes = most_bytes
        self._disk = Disk() if disk is None else disk

    async def load(self) -> Mapping[str, Any]:
        """What was kept last; empty when nothing was.

        Raises:
            RefusedError: the file holds something else.
        """
        return await asyncio.to_thread(self._load)

    async def keep(self, table: Mapping[str, Any]) -> None:
        """Keep this table durably before returning.

        Raises:
            StorageFullError: the old table is still kept.
        """
        content = write_json(dict(sorted(table.items())))
        try:
            await asyncio.to_thread(write_whole_file, self._disk, self.path, content)
        except OSError as error:
            raise storage_error(error, self.path) from error

    def _load(self) -> Mapping[str, Any]:
        try:
            content = read_plain_file(self.path, self._most_bytes + 1)
        except FileNotFoundError:
            return {}
        except OSError as error:  # a bad sector must not keep the host from starting
            raise RefusedError(f"It cannot be read: {error.strerror}.") from error
        if len(content) > self._most_bytes:
            raise RefusedError("It is too long.")
        table = read_json(content)
        if not isinstance(table, dict):
            raise RefusedError("It is no table.")
        return table
