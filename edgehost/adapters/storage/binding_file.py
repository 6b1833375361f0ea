"""The operator's bindings in one small file of the data folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from edgehost.adapters.storage.disk import Disk
from edgehost.adapters.storage.small_table_file import SmallTableFile
from edgehost.domain.binding import MOST_BINDINGS, require_binding
from edgehost.domain.errors import DamagedError, RefusedError

#: Two names of a binding, three labels of 63 characters, quotes and commas.
_MOST_BYTES: Final = MOST_BINDINGS * 4 * 72


class BindingFile:
    """A BindingStore."""

    def __init__(self, path: Path, disk: Disk | None = None) -> None:
        self._file = SmallTableFile(path, _MOST_BYTES, disk)

    async def load(self) -> Mapping[str, str]:
        """What was kept last.

        Raises:
            DamagedError: the file holds something else.
        """
        try:
            bindings = {what: str(target) for what, target in (await self._file.load()).items()}
            for what, target in bindings.items():
                require_binding(what, target)
        except RefusedError as problem:
            raise DamagedError(
                f"{self._file.path} does not hold bindings: {problem.message}",
                hint="Move it away, and bind again with 'edgehost bind'.",
            ) from None
        return bindings

    async def keep(self, bindings: Mapping[str, str]) -> None:
        """Keep this table durably before returning.

        Raises:
            StorageFullError: the old table is still kept.
        """
        await self._file.keep(bindings)
