"""The stores, the bus, the clock and the sandboxes of a host."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from edgehost.adapters.crypto.scrypt_hashes import ScryptHashes
from edgehost.adapters.sandbox.sandbox_factory import open_sandbox_factory
from edgehost.adapters.services.disk_gauge import disk_room
from edgehost.adapters.services.event_ring import EventRing
from edgehost.adapters.services.local_event_bus import LocalEventBus
from edgehost.adapters.services.machine_readings import LinuxReadings
from edgehost.adapters.services.system_clock import SystemClock
from edgehost.adapters.storage.folder_shelf import FolderShelf, open_shelf
from edgehost.adapters.storage.metered_disk import MeteredDisk
from edgehost.adapters.storage.tinydb_records import TinyDBRecords, open_records
from edgehost.adapters.storage.withheld_disk import WithheldDisk
from edgehost.composition.data import make_relations, open_record_places
from edgehost.composition.life_withheld import Withheld
from edgehost.composition.ports import open_ports
from edgehost.composition.secrets import open_vault
from edgehost.config import Config
from edgehost.config_tables import KIB
from edgehost.domain.causation import CauseLimits
from edgehost.domain.errors import InvalidConfigError
from edgehost.domain.event_rate import EventRate
from edgehost.domain.events import GuestLogged
from edgehost.domain.record import RevisionClock
from edgehost.ports.record_store import RecordStore
from edgehost.ports.sandbox import SandboxFactory
from edgehost.usecases.follow_relation import Relations
from edgehost.usecases.host_functions import HostFunctions
from edgehost.usecases.live_models import LiveModels
from edgehost.usecases.place_records import RecordPlaces
from edgehost.usecases.plan_sandbox import CappedSandboxes
from edgehost.usecases.port_functions import port_functions
from edgehost.usecases.port_rooms import PortRooms
from edgehost.usecases.record_keeping import RecordKeeping, remember_revisions
from edgehost.usecases.related_function import related_function
from edgehost.usecases.release_ledger import ReleaseLedger
from edgehost.usecases.running_components import RunningComponents
from edgehost.usecases.sealed_records import SealedRecords
from edgehost.usecases.watch_disk import DiskWatch
from remotes.clock_floor import EARLIEST

log = logging.getLogger("edgehost.host")
guest_log = logging.getLogger("edgehost.guest")

_LEVELS = {"trace": logging.DEBUG, "debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING}
#: Lines of guests' logs that are kept in memory for ``edgehost logs``; disks wear out, so they go nowhere else.
_GUEST_LINES = 1000


@dataclass(slots=True)
class Rooms:
    """What a host is made of, before it does anything."""

    config: Config
    clock: SystemClock
    bus: LocalEventBus
    records: TinyDBRecords
    stored: RecordStore  # every model's records as their sources hold them, encrypted members encrypted
    shelf: FolderShelf
    ledger: ReleaseLedger
    running: RunningComponents
    models: LiveModels
    sandboxes: SandboxFactory
    keeping: RecordKeeping
    places: RecordPlaces
    relations: Relations
    ports: PortRooms
    functions: HostFunctions
    stopping: asyncio.Event
    disk: DiskWatch
    shelf_disk: MeteredDisk
    withheld: WithheldDisk | None = None  # what the stores read from, when the data folder cannot be written
    guest_lines: deque[GuestLogged] = field(default_factory=lambda: deque(maxlen=_GUEST_LINES))

    def note_guest_log(self, component: str, level: str, message: str) -> None:
        """A line of a guest's log, to listeners and to the host's own log."""
        line = GuestLogged(at=self.clock.now(), component=component, level=level, message=message)
        self.guest_lines.append(line)
        self.bus.publish(line)
        guest_log.log(_LEVELS.get(level, logging.ERROR), "%s: %s", component, message)


async def open_rooms(
    config: Config, stack: AsyncExitStack, *, safe: bool = False, withheld: Withheld | None = None
) -> Rooms:
    """Open the stores and the sandboxes; the stack closes them. ``withheld``: the stores are only read.

    Raises:
        InvalidConfigError: the key file cannot be used.
        UnavailableError: another host uses the data folder.
        DamagedError: it was written by a later version.
    """
    data = config.host.data
    withheld_disk = None if withheld is None else withheld.disk()
    vault = await asyncio.to_thread(open_vault, config)
    try:
        if withheld is None:
            await asyncio.to_thread(data.mkdir, mode=0o700, parents=True, exist_ok=True)
    except OSError as problem:
        raise InvalidConfigError(
            f"host.data is {data}, which cannot be made: {problem.strerror}.",
            hint="Name a folder that the host's user may write to.",
        ) from None
    clock, bus, running, models = (
        SystemClock(set_from=EARLIEST.timestamp()),
        LocalEventBus(
            limits=CauseLimits(config.events.depth, config.events.storm),
            backlog=config.limits.event_backlog,
            ring=EventRing(config.events.remembered, config.events.remembered_kib * KIB),
        ),
        RunningComponents(),
        LiveModels(has_keys=vault is not None),
    )
    records = await stack.enter_async_context(open_records(data / "records", disk=withheld_disk))
    shelf_disk = withheld_disk or MeteredDisk()
    shelf = await stack.enter_async_context(
        open_shelf(data / "releases", disk=shelf_disk, quota_bytes=config.limits.shelf_bytes)
    )
    ledger = ReleaseLedger(shelf, bus, clock)
    await ledger.load()
    if clock.now() < EARLIEST.timestamp():  # a board without a battery: time runs on from what it last wrote
        newest = max((release.changed_at for release in ledger.all()), default=0.0)
        clock.raise_floor(max(newest, EARLIEST.timestamp()))
        log.warning("The machine's clock is not set; time runs on from %.0f.", clock.now())
    idle = safe or not ledger.live_components()
    factory = await stack.enter_async_context(open_sandbox_factory(nothing_to_run=idle))
    revisions = RevisionClock(config.host.name)
    routes, places = await open_record_places(config, records, revisions, stack, safe=safe)
    keeping = RecordKeeping(
        SealedRecords(routes, models, running, vault),
        bus,
        clock,
        revisions,
        running,
        record_bytes=config.api.body_kib * KIB,
        hasher=ScryptHashes(),
        current=lambda model: models.table.by_name.get(model.spec.name, model),
    )
    await remember_revisions(keeping, records.models())
    ports = await open_ports(config, keeping, models, running, stack, safe=safe)
    relations = make_relations(config, keeping, models, running)
    return Rooms(
        config=config,
        clock=clock,
        bus=bus,
        records=records,
        stored=routes,
        shelf=shelf,
        ledger=ledger,
        running=running,
        models=models,
        sandboxes=CappedSandboxes(factory, config.limits.instances_total),
        keeping=keeping,
        places=places,
        relations=relations,
        ports=ports,
        functions=HostFunctions(
            keeping,
            models,
            LinuxReadings(data),
            lambda component: running.require(component).spec,
            more={**port_functions(ports), **related_function(relations)},
            rate=EventRate(config.events.notify_per_s),
        ),
        stopping=asyncio.Event(),
        disk=DiskWatch(lambda: disk_room(data), reserve_bytes=config.limits.free_bytes, bus=bus, clock=clock),
        shelf_disk=shelf_disk,
        withheld=withheld_disk,
    )


async def close_pools(running: RunningComponents) -> None:
    """End every instance, side by side."""
    async with asyncio.TaskGroup() as group:
        for each in running.everything():
            group.create_task(each.pool.close(), name=f"edgehost.close.{each.release.component}")
