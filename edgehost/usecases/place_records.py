"""Decide where a model's records are kept, and bring them there; never leave any behind unsaid."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final, Protocol

from edgehost.domain.component_spec import ComponentSpec
from edgehost.domain.errors import ConflictError, InvalidConfigError, UnavailableError
from edgehost.domain.model_spec import ModelSpec
from edgehost.domain.record import Revision, RevisionClock
from edgehost.domain.relation_spec import RelationType
from edgehost.domain.suggestion import did_you_mean
from edgehost.ports.placement_store import Placement, PlacementStore
from edgehost.ports.record_store import RecordStore
from edgehost.usecases.move_records import move_records

log = logging.getLogger("edgehost.sources")

#: The host's own journal: where records are unless somebody says otherwise.
DEFAULT_SOURCE: Final = "tinydb"
#: Records kept in memory in front of a source that is not here, when the model does not say.
DEFAULT_CACHE: Final = 1000
#: Between two tries to reach a source for its indexes.
_RETRY_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Source:
    """Somewhere that records can be kept."""

    kind: str
    store: RecordStore
    is_here: bool = True  # needs no cache in front
    newest_revision: Callable[[str], Awaitable[str]] | None = None  # of a model; None: known already


@dataclass(frozen=True, slots=True)
class SourceWish:
    """What this host's configuration says about one component."""

    source: str = ""  # empty: as the author says
    move_records: bool = False


class RecordRoutes(Protocol):
    """Where each model's records are looked for."""

    def route(self, model: str, store: RecordStore) -> None:
        """Send the model there from now on."""
        ...

    def writes_paused(self, model: str) -> AbstractAsyncContextManager[None]:
        """Let writes of the model wait."""
        ...


@dataclass(slots=True)
class RecordPlaces:
    """The sources, and which model is where."""

    sources: Mapping[str, Source]
    routes: RecordRoutes
    revisions: RevisionClock
    kept: PlacementStore
    wish_of: Callable[[str], SourceWish]  # by component
    cached: Callable[[RecordStore, int], RecordStore]  # a cache of so many records in front of a store
    _placed: dict[str, Placement] = field(default_factory=dict)
    _indexes: dict[str, dict[str, None]] = field(default_factory=dict)  # wanted, by model
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _missing: set[str] = field(default_factory=set)  # models whose source was not reached for its indexes
    _missing_some: asyncio.Event = field(default_factory=asyncio.Event)

    async def open(self) -> None:
        """Take up where the host stopped, and carry out what the configuration changed since.

        Raises:
            InvalidConfigError: records are in a source that is not configured any more, or would be left behind.
            UnavailableError: records are to be moved and a source does not answer.
        """
        self._placed = dict(await self.kept.load())
        for model, placement in list(self._placed.items()):
            if placement.source not in self.sources:
                raise InvalidConfigError(
                    f"The records of '{model}' are in the source '{placement.source}', which is not configured.",
                    hint=f"Put [sources.{placement.source}] back into the configuration.",
                )
            self._route(model, placement.source, DEFAULT_CACHE)
            wish = self.wish_of(placement.component)
            if wish.source and self._named(wish.source, placement.component) != placement.source:
                target = self._named(wish.source, placement.component)
                await self._switch(model, placement, Placement(target, placement.component))

    async def place(self, spec: ComponentSpec) -> None:
        """Before the component's model is served: its records, indexes and cache are where they should be.

        Raises:
            InvalidConfigError: the model wants a source that this host does not have.
            ConflictError: its records are in another source, and nobody said that they are to be moved.
            UnavailableError: they are to be moved and a source does not answer.
        """
        if spec.model is not None:
            async with self._turn:  # models that go live side by side share one table
                await self._place(spec, spec.model)

    async def keep_indexing(self) -> None:
        """Make the indexes of sources that could not be reached, once they can; until cancelled."""
        while True:
            await self._missing_some.wait()
            await asyncio.sleep(_RETRY_S)
            async with self._turn:
                await self._make_indexes(None)

    def source_of(self, model: str) -> str:
        """The name of the source that holds the model's records."""
        placement = self._placed.get(model)
        return DEFAULT_SOURCE if placement is None else placement.source

    async def _place(self, spec: ComponentSpec, model: ModelSpec) -> None:
        wish = self.wish_of(spec.name)
        wanted = Placement(self._named(wish.source or model.source.adapter, spec.name), spec.name)
        before = self._placed.get(model.name, Placement(DEFAULT_SOURCE, spec.name))
        if wanted.source != before.source:
            await self._switch(model.name, before, wanted)
        if self._placed.get(model.name) != wanted:
            await self._note(model.name, wanted)
        self._route(model.name, wanted.source, model.source.cache or DEFAULT_CACHE)
        for name, path in indexes_of(model):
            self._indexes.setdefault(name, {})[path] = None
            self._missing.add(name)
        self._missing.add(model.name)
        await self._make_indexes(model)

    async def _switch(self, model: str, before: Placement, wanted: Placement) -> None:
        old, new = self.sources.get(before.source), self.sources[wanted.source]
        if old is None:
            raise InvalidConfigError(f"The source '{before.source}' is not configured any more.")
        count = await old.store.count(model)
        if count and not self.wish_of(wanted.component).move_records:
            raise ConflictError(
                f"'{model}' has {count} records in the source '{before.source}'; in '{wanted.source}' it would have "
                "none of them.",
                hint=f"Set move_records = true under [components.{wanted.component}] to have them moved, "
                f'or source = "{before.source}" to leave them there.',
            )
        async with self.routes.writes_paused(model):
            moved = await move_records(model, old.store, new.store) if count else 0
            await self._note(model, wanted)
            self._route(model, wanted.source, DEFAULT_CACHE)
        if moved:
            log.info(
                "%d records of '%s' moved from '%s' to '%s'.", moved, model, before.source, wanted.source
            )

    async def _note(self, model: str, placement: Placement) -> None:
        await self.kept.keep({**self._placed, model: placement})
        self._placed[model] = placement

    def _route(self, model: str, name: str, cache: int) -> None:
        source = self.sources[name]
        self.routes.route(model, source.store if source.is_here else self.cached(source.store, cache))

    def _named(self, wish: str, component: str) -> str:
        """The source that is meant by its name, or by its kind when there is one of that kind."""
        wish = wish or DEFAULT_SOURCE
        if wish in self.sources:
            return wish
        of_kind = [name for name, source in self.sources.items() if source.kind == wish]
        if len(of_kind) == 1:
            return of_kind[0]
        raise InvalidConfigError(
            f"'{component}' keeps its records in '{wish}': "
            + (
                "several sources of this host are meant by it."
                if of_kind
                else "this host has no such source."
            ),
            hint=f"Set source under [components.{component}] to one of: {', '.join(self.sources)}. "
            + did_you_mean(wish, self.sources),
        )

    async def _make_indexes(self, model: ModelSpec | None) -> None:
        self._missing_some.clear()
        for name in sorted(self._missing):
            source = self.sources[self.source_of(name)]
            store = source.store
            try:
                newest = await source.newest_revision(name) if source.newest_revision else ""
                if newest:
                    self.revisions.seen(Revision.parse(newest))
                for path in self._indexes.get(name, {}):
                    await store.ensure_index(name, path)
                if model is not None and name == model.name and model.source.text:
                    await store.ensure_text_index(name, model.source.text)
            except UnavailableError as problem:
                log.warning("The source of '%s' has no indexes yet: %s", name, problem)
                self._missing_some.set()
            else:
                self._missing.discard(name)


def indexes_of(model: ModelSpec) -> list[tuple[str, str]]:
    """Every index that the model wants, as model and path: declared, of unique members, and of its relations."""
    wanted = [(model.name, path) for path in model.source.indexes]
    wanted += [(model.name, member) for member, each in model.properties.items() if each.unique]
    for relation in model.relations.values():
        if relation.type is RelationType.ONE_TO_MANY:
            wanted.append((relation.model, relation.foreign_key))
        elif relation.type is not RelationType.CUSTOM and relation.key != "id":
            wanted.append((relation.model, relation.key))
    return list(dict.fromkeys(wanted))
