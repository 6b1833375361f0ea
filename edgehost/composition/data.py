"""Where records are kept, and how relations between them are followed."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edgehost.adapters.storage.cached_records import CachedRecords
from edgehost.adapters.storage.memory_records import MemoryRecords
from edgehost.adapters.storage.placement_file import PlacementFile
from edgehost.adapters.storage.routed_records import RoutedRecords
from edgehost.composition.spared_table import SparedTable
from edgehost.config import Config
from edgehost.config_sources import SourceSettings
from edgehost.domain.component_spec import Grants
from edgehost.domain.errors import InvalidConfigError
from edgehost.domain.record import RevisionClock
from edgehost.ports.record_store import RecordStore
from edgehost.usecases.find_instance import ObjectBroker
from edgehost.usecases.follow_relation import Relations
from edgehost.usecases.live_models import LiveModels
from edgehost.usecases.place_records import DEFAULT_SOURCE, RecordPlaces, Source, SourceWish
from edgehost.usecases.record_keeping import RecordKeeping
from edgehost.usecases.running_components import RunningComponents

if TYPE_CHECKING:
    from edgehost.adapters.storage.mongo_records import MongoRecords

_MOST_URL_BYTES: Final = 4096


async def open_record_places(
    config: Config,
    journal: RecordStore,
    revisions: RevisionClock,
    stack: AsyncExitStack,
    *,
    safe: bool = False,
) -> tuple[RoutedRecords, RecordPlaces]:
    """One store in front of all sources, and what decides which model is where; the stack closes the sources.

    ``safe``: where records are may be lost, since no component will ask for them.

    Raises:
        InvalidConfigError: a source cannot be used, or records would be left behind.
        UnavailableError: records are to be moved and a source does not answer.
    """
    sources = {DEFAULT_SOURCE: Source("tinydb", journal), "memory": Source("memory", MemoryRecords())}
    for name, settings in config.sources.items():
        far = await _opened(settings, stack)
        sources[name] = Source(settings.kind, far, is_here=False, newest_revision=far.newest_revision)

    def wish_of(component: str) -> SourceWish:
        wanted = config.component(component)
        return SourceWish(wanted.source, wanted.move_records)

    routes = RoutedRecords(journal)
    kept = PlacementFile(config.host.data / "sources.json")
    places = RecordPlaces(
        sources=sources,
        routes=routes,
        revisions=revisions,
        kept=SparedTable(kept) if safe else kept,
        wish_of=wish_of,
        cached=lambda store, entries: CachedRecords(store, entries=entries),
    )
    await places.open()
    return routes, places


def make_relations(
    config: Config, keeping: RecordKeeping, models: LiveModels, running: RunningComponents
) -> Relations:
    """Relations as this host's components may follow them: what it denies them is not granted."""

    def grants_of(component: str) -> Grants:
        grants = running.require(component).spec.grants
        denied = config.component(component).deny
        return replace(grants, models=tuple(name for name in grants.models if name not in denied))

    return Relations(keeping, models, ObjectBroker(keeping.store, models), grants_of)


async def _opened(settings: SourceSettings, stack: AsyncExitStack) -> MongoRecords:
    from edgehost.adapters.storage.mongo_records import open_mongo_records  # noqa: PLC0415 - an idle host stays small

    url = await asyncio.to_thread(_read_url, settings.name, settings.url_file)
    return await stack.enter_async_context(
        open_mongo_records(url, database=settings.database, timeout_s=settings.timeout_s)
    )


def _read_url(name: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            lines = file.read(_MOST_URL_BYTES).decode().splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise InvalidConfigError(
            f"sources.{name}.url_file cannot be read ({type(problem).__name__}): {path}.",
            hint="Write the server's URL into it, in one line.",
        ) from None
    return lines[0].strip() if lines else ""
