"""Where the operator's bindings outlive a restart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class BindingStore(Protocol):
    """One small table, old or new after a crash."""

    async def load(self) -> Mapping[str, str]:
        """What was kept last; empty when nothing was.

        Raises:
            DamagedError: the stored bytes are not what was written.
        """
        ...

    async def keep(self, bindings: Mapping[str, str]) -> None:
        """Keep this table durably before returning.

        Raises:
            StorageFullError: the old table is still kept.
        """
        ...
