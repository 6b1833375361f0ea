"""The deployments that this host has accepted: of each name the one that holds, and the newest that waits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from edgehost.domain.deployment_life import HeldDeployment
from edgehost.domain.errors import ConflictError, NotFoundError, RefusedError, TooLargeError
from edgehost.domain.suggestion import did_you_mean
from edgehost.ports.deployment_store import DeploymentStore

log = logging.getLogger("edgehost.deployments")

_FORMAT: Final = 1
#: Names that a host keeps the largest sequence of, with or without a document.
_MOST_NAMES: Final = 256


@dataclass(frozen=True, slots=True)
class Page:
    """One name."""

    remote: str = ""  # whose name it is: another remote's deployment of this name is not taken
    floor: int = 0  # the largest sequence that was accepted; a host never goes below by itself
    current: HeldDeployment | None = None  # has begun
    queued: HeldDeployment | None = None  # has not

    @property
    def all(self) -> tuple[HeldDeployment, ...]:
        """What holds, then what waits."""
        return tuple(each for each in (self.current, self.queued) if each is not None)

    def has_had(self, sequence: int) -> bool:
        """Whether this one is no news; the newest may be held again once it is for this host again."""
        return sequence < self.floor or (sequence == self.floor and bool(self.all))


class DeploymentBook:
    """Held in memory; durable before it holds."""

    def __init__(self, store: DeploymentStore) -> None:
        self._store = store
        self._pages: dict[str, Page] = {}
        self._one_change = asyncio.Lock()

    async def load(self, ours: Callable[[HeldDeployment], bool] = lambda _held: True) -> None:
        """Read what was kept; what this version does not understand is left out, and its file stays.

        What is not ``ours`` any more, since this host is called or labelled otherwise now, holds no longer.
        """
        for name, document in (await self._store.load()).items():
            try:
                page = _read_page(name, document)
                kept = [
                    each if each is not None and ours(each) else None for each in (page.current, page.queued)
                ]
                self._pages[name] = replace(page, current=kept[0], queued=kept[1])
            except (RefusedError, KeyError, TypeError, ValueError, AttributeError) as problem:
                log.warning("Deployment '%s' as it is kept cannot be read: %s", name, problem)

    def page(self, name: str) -> Page:
        """What is known of a name; an empty page when nothing is."""
        return self._pages.get(name, Page())

    def pages(self) -> Mapping[str, Page]:
        """Every name."""
        return dict(self._pages)

    def current(self) -> tuple[HeldDeployment, ...]:
        """What has begun, by name."""
        return tuple(page.current for page in self._pages.values() if page.current is not None)

    def queued(self) -> tuple[HeldDeployment, ...]:
        """What has not begun yet, by name."""
        return tuple(page.queued for page in self._pages.values() if page.queued is not None)

    def holds(self, component: str) -> bool:
        """Whether an accepted deployment names the component."""
        return any(
            wanted.name == component
            for page in self._pages.values()
            for held in page.all
            for wanted in held.deployment.components
        )

    def named(self, name: str, sequence: int | None = None) -> HeldDeployment:
        """The newest deployment of a name, or the one with this sequence.

        Raises:
            NotFoundError: there is none.
        """
        found = [each for each in self.page(name).all if sequence in {None, each.deployment.sequence}]
        if not found:
            which = name if sequence is None else f"{name} {sequence}"
            raise NotFoundError(
                f"This host holds no deployment {which}.", hint=did_you_mean(name, self._pages)
            )
        return found[-1]

    async def accept(self, held: HeldDeployment) -> HeldDeployment | None:
        """Let it wait for its turn, in place of one that waits already, which is returned.

        Raises:
            ConflictError: the name is another remote's, or its sequence is not larger than what was accepted.
            TooLargeError: there are too many names.
            StorageFullError: nothing was changed.
        """
        name, sequence = held.deployment.name, held.deployment.sequence
        async with self._one_change:
            page = self.page(name)
            self._require_next(name, held.remote, sequence)
            await self._keep(name, replace(page, remote=held.remote, floor=sequence, queued=held))
        return page.queued

    async def let_go(self, name: str, remote: str, sequence: int) -> tuple[HeldDeployment, ...]:
        """Hold nothing of this name any more: its newest document is for others; returns what was held.

        Raises:
            ConflictError, StorageFullError: as for accept.
        """
        async with self._one_change:
            self._require_next(name, remote, sequence)
            before = self.page(name).all
            await self._keep(name, Page(remote=remote, floor=sequence))
        return before

    async def begin(self, held: HeldDeployment) -> HeldDeployment | None:
        """Let what waited hold from now on; returns what held before.

        Raises:
            ConflictError: a newer one waits in its place.
            StorageFullError: nothing was changed.
        """
        name, sequence = held.deployment.name, held.deployment.sequence
        async with self._one_change:
            page = self.page(name)
            if page.queued is None or page.queued.deployment.sequence != sequence:
                raise ConflictError(f"Deployment {name} {sequence} waits no longer.")
            await self._keep(name, replace(page, current=held, queued=None))
        return page.current

    async def change(self, held: HeldDeployment) -> None:
        """Keep its new state.

        Raises:
            ConflictError: another has taken its place meanwhile.
            StorageFullError: nothing was changed.
        """
        name, sequence = held.deployment.name, held.deployment.sequence
        async with self._one_change:
            page = self.page(name)
            if page.current is not None and page.current.deployment.sequence == sequence:
                page = replace(page, current=held)
            elif page.queued is not None and page.queued.deployment.sequence == sequence:
                page = replace(page, queued=held)
            else:
                raise ConflictError(f"Deployment {name} {sequence} is no longer held.")
            await self._keep(name, page)

    def _require_next(self, name: str, remote: str, sequence: int) -> None:
        page = self.page(name)
        if page.remote not in {"", remote}:
            raise ConflictError(
                f"Deployment '{name}' is remote '{page.remote}''s; '{remote}' has one of the same name.",
                hint="Publish it under another name.",
            )
        if page.has_had(sequence):
            raise ConflictError(
                f"Deployment {name} {sequence} is not newer than {page.floor}, which was accepted."
            )
        if name not in self._pages and len(self._pages) >= _MOST_NAMES:
            raise TooLargeError(f"This host holds {_MOST_NAMES} deployments already.")

    async def _keep(self, name: str, page: Page) -> None:
        if page == self._pages.get(name):
            return
        await self._store.keep(name, _page_document(page))
        self._pages[name] = page


def _page_document(page: Page) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "remote": page.remote,
        "floor": page.floor,
        "current": None if page.current is None else page.current.as_document(),
        "queued": None if page.queued is None else page.queued.as_document(),
    }


def _read_page(name: str, document: Mapping[str, Any]) -> Page:
    if document["format"] != _FORMAT:
        raise RefusedError(f"It has format {document['format']!r}; this host reads {_FORMAT}.")

    def read(key: str) -> HeldDeployment | None:
        value = document[key]
        return None if value is None else HeldDeployment.from_document(name, value)

    return Page(str(document["remote"]), int(document["floor"]), read("current"), read("queued"))
