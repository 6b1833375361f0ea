"""Accepted deployments in one file each, and the configuration that they give to components in one for all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from edgehost.adapters.storage.disk import Disk, storage_error, write_whole_file
from edgehost.adapters.storage.plain_file import read_plain_file
from edgehost.adapters.storage.small_table_file import SmallTableFile
from edgehost.domain.errors import RefusedError
from edgehost.domain.json_text import read_json, write_json
from edgehost.domain.names import NAME

log = logging.getLogger("edgehost.deployments")

_SUFFIX: Final = ".json"
#: Two documents of 256 KiB, each written as text within JSON, and what is known of them.
_MOST_BYTES: Final = 2 * 1024 * 1024
_MOST_CONFIG_BYTES: Final = 16 * 1024 * 1024

_ConfigTable = Mapping[str, Sequence[tuple[str, Mapping[str, str]]]]


class DeploymentFiles:
    """A DeploymentStore: ``NAME.json`` in a folder of its own."""

    def __init__(self, folder: Path, disk: Disk | None = None) -> None:
        self._folder = folder
        self._disk = Disk() if disk is None else disk

    async def load(self) -> Mapping[str, Mapping[str, Any]]:
        """What was kept last, by name; what cannot be read is set aside, logged and left out."""
        return await asyncio.to_thread(self._load)

    async def keep(self, name: str, document: Mapping[str, Any]) -> None:
        """Keep this object durably before returning.

        Raises:
            StorageFullError: the old one is still kept.
        """
        path = self._folder / f"{name}{_SUFFIX}"
        try:
            await asyncio.to_thread(self._keep, path, write_json(document))
        except OSError as error:
            raise storage_error(error, path) from error

    def _keep(self, path: Path, content: bytes) -> None:
        self._disk.make_folder(self._folder)
        write_whole_file(self._disk, path, content)

    def _load(self) -> dict[str, Mapping[str, Any]]:
        found: dict[str, Mapping[str, Any]] = {}
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            if not NAME.fullmatch(path.stem):
                continue
            try:
                found[path.stem] = _read(path)
            except (OSError, RefusedError) as problem:
                log.warning("%s cannot be read and is set aside: %s", path, problem)
                with suppress(OSError):  # a disk that is only read keeps it where it is
                    path.replace(path.with_suffix(".damaged"))
        return found


class ComponentConfigFile:
    """A ComponentConfigStore."""

    def __init__(self, path: Path, disk: Disk | None = None) -> None:
        self._file = SmallTableFile(path, _MOST_CONFIG_BYTES, disk)

    async def load(self) -> _ConfigTable:
        """What was kept last; a file that holds something else is set aside and logged."""
        try:
            return {
                str(name): [
                    (str(digest), {str(key): str(value) for key, value in overrides.items()})
                    for digest, overrides in entries
                ]
                for name, entries in (await self._file.load()).items()
            }
        except (RefusedError, TypeError, ValueError, AttributeError) as problem:
            log.warning("%s cannot be read and is set aside: %s", self._file.path, problem)
            with suppress(OSError):  # as above
                await asyncio.to_thread(self._file.path.replace, self._file.path.with_suffix(".damaged"))
            return {}

    async def keep(self, table: _ConfigTable) -> None:
        """Keep this table durably before returning.

        Raises:
            StorageFullError: the old table is still kept.
        """
        await self._file.keep({name: [list(entry) for entry in entries] for name, entries in table.items()})


def _read(path: Path) -> Mapping[str, Any]:
    content = read_plain_file(path, _MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise RefusedError("It is too long.")
    document = read_json(content)
    if not isinstance(document, dict):
        raise RefusedError("It is no object.")
    return document
