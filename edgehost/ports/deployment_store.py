"""Where accepted deployments, and the configuration that they give to components, outlive a restart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class DeploymentStore(Protocol):
    """One small JSON object for each name, old or new after a crash."""

    async def load(self) -> Mapping[str, Mapping[str, Any]]:
        """What was kept last, by name; what cannot be read is set aside, logged and left out."""
        ...

    async def keep(self, name: str, document: Mapping[str, Any]) -> None:
        """Keep this object durably before returning.

        Raises:
            StorageFullError: the old one is still kept.
        """
        ...


class ComponentConfigStore(Protocol):
    """One small table: component -> pairs of digest and overrides, the newest last; old or new after a crash."""

    async def load(self) -> Mapping[str, Sequence[tuple[str, Mapping[str, str]]]]:
        """What was kept last; what cannot be read is set aside, logged and left out."""
        ...

    async def keep(self, table: Mapping[str, Sequence[tuple[str, Mapping[str, str]]]]) -> None:
        """Keep this table durably before returning.

        Raises:
            StorageFullError: the old table is still kept.
        """
        ...
