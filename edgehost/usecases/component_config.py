"""The configuration that deployments give to components, over that of the component and of the host's file.

It belongs to a release, not to the component alone: a release that is brought back has what it had. A release that
nothing was said of has what was said last.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final

from edgehost.domain.errors import TooLargeError
from edgehost.ports.deployment_store import ComponentConfigStore

#: Releases of a component that a rollback may go back to, and some more.
_MOST_RELEASES: Final = 8
#: Keys of one component.
_MOST_KEYS: Final = 1000
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class ComponentConfigs:
    """Held in memory; durable before it holds."""

    def __init__(self, store: ComponentConfigStore) -> None:
        self._store = store
        self._table: dict[str, dict[str, Mapping[str, str]]] = {}  # component: digest: overrides, newest last
        self._proposed: dict[tuple[str, str], Mapping[str, str]] = {}
        self._one_change = asyncio.Lock()

    async def load(self) -> None:
        """Read what was kept."""
        self._table = {name: dict(entries) for name, entries in (await self._store.load()).items()}

    def of(self, component: str, digest: str) -> Mapping[str, str]:
        """The overrides that are kept for this release."""
        entries = self._table.get(component, {})
        if digest in entries:
            return entries[digest]
        return next(reversed(entries.values()), _NOTHING)

    def to_start(self, component: str, digest: str) -> Mapping[str, str]:
        """The overrides with which this release is started now: what is proposed, or what is kept."""
        proposed = self._proposed.get((component, digest))
        return self.of(component, digest) if proposed is None else proposed

    @contextmanager
    def proposed(self, component: str, digest: str, overrides: Mapping[str, str]) -> Iterator[None]:
        """What is started within the block has these, whatever is kept."""
        self._proposed[component, digest] = overrides
        try:
            yield
        finally:
            del self._proposed[component, digest]

    async def keep(
        self, component: str, digest: str, overrides: Mapping[str, str], *, live: str = ""
    ) -> None:
        """Let this release have these overrides; the one that is live (its digest) keeps its own.

        Raises:
            TooLargeError: there are too many keys.
            StorageFullError: nothing was changed.
        """
        if len(overrides) > _MOST_KEYS:
            raise TooLargeError(
                f"'{component}' would have {len(overrides)} values; {_MOST_KEYS} are possible."
            )
        async with self._one_change:
            before = self.of(component, live) if live else _NOTHING
            if self.of(component, digest) == overrides and (
                not live or digest == live or before == overrides
            ):
                return
            entries = dict(self._table.get(component, {}))
            if live and live != digest:
                entries.pop(live, None)
                entries[live] = dict(before)
            entries.pop(digest, None)
            entries[digest] = dict(overrides)
            await self._replace(component, dict(list(entries.items())[-_MOST_RELEASES:]))

    async def _replace(self, component: str, entries: dict[str, Mapping[str, str]]) -> None:
        table = {**self._table, component: entries}
        await self._store.keep({name: list(each.items()) for name, each in table.items()})
        self._table = table
