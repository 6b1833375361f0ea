"""The manager of components, and how their instances are started."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from edgehost.composition.rooms import Rooms
from edgehost.domain.component_spec import ComponentSpec
from edgehost.domain.errors import EdgehostError
from edgehost.domain.probation import ProbationRule
from edgehost.domain.release_life import Release
from edgehost.usecases.component_config import ComponentConfigs
from edgehost.usecases.deploy_release import Deployer
from edgehost.usecases.direct_traffic import Ground, TrafficDirector
from edgehost.usecases.instance_pool import InstancePool
from edgehost.usecases.kept_records import KeptRecords
from edgehost.usecases.manage_components import ComponentManager
from edgehost.usecases.migrate_records import RecordMigrations
from edgehost.usecases.plan_sandbox import HostTerms, dependencies_of, plan_sandbox
from edgehost.usecases.running_components import RunningRelease
from edgehost.usecases.watch_probation import ProbationWatch
from edgehost.usecases.watch_traffic import TrafficWatch
from remotes.owned_tasks import Spawn, keep_running

log = logging.getLogger("edgehost.components")


def make_manager(
    rooms: Rooms, spawn: Spawn, services_changed: asyncio.Event, configs: ComponentConfigs
) -> tuple[ComponentManager, TrafficWatch]:
    """The manager of the host's components, with its watches on probations and trials running."""
    config = rooms.config
    rule = ProbationRule(
        seconds=config.probation.seconds,
        calls_min=config.probation.calls_min,
        error_rate=config.probation.error_rate,
    )

    async def roll_back(component: str, reason: str) -> None:
        await manager.roll_back(component, reason)

    migrations = RecordMigrations(rooms.keeping, KeptRecords(rooms.stored), rooms.models)

    watch = ProbationWatch(
        rooms.running, rooms.ledger, rooms.clock, rule, roll_back, kept=_settling(migrations)
    )

    traffic = TrafficWatch(
        rooms.running,
        rooms.clock,
        probation=rule,
        rule_of=lambda component: config.component(component).traffic.rule,
        promote=_decided("take over", lambda *args: manager.promote(*args)),  # noqa: PLW0108 - made below
        stop=_decided("be stopped", lambda *args: manager.stop_candidate(*args)),  # noqa: PLW0108 - as above
    )

    def changed() -> None:
        services_changed.set()
        watch.wake()
        traffic.wake()

    def faulted(running: RunningRelease) -> None:
        watch.wake(running)
        traffic.wake(running)

    async def start_pool(release: Release, spec: ComponentSpec, wasm: bytes) -> InstancePool:
        settings = config.component(spec.name)
        terms = HostTerms(
            memory_kib=config.limits.memory_kib,
            deadline_ms=config.limits.deadline_ms,
            deny=settings.deny,
            config={**settings.config, **configs.to_start(spec.name, release.digest)},
        )
        await rooms.places.place(spec)
        plan = plan_sandbox(spec, wasm, terms)
        host_call = rooms.functions.granted(plan.grants, dependencies_of(spec, plan.config))
        return await InstancePool(
            rooms.sandboxes, plan, host_call=host_call, log=rooms.note_guest_log
        ).start()

    def drain_later(running: RunningRelease, before: Release | None) -> None:
        manager.drain_later(running, before)

    deployer = Deployer(
        shelf=rooms.shelf,
        ledger=rooms.ledger,
        running=rooms.running,
        routes=rooms.models,
        clock=rooms.clock,
        start_pool=start_pool,
        drain_later=drain_later,
        on_fault=faulted,
        probation=rule,
        migrations=migrations,
    )
    manager = ComponentManager(
        deployer=deployer,
        traffic=TrafficDirector(deployer, rooms.bus, spawn),
        bus=rooms.bus,
        spawn=spawn,
        keep_good=config.keep.releases - 1,  # the live one is kept anyway
        changed=changed,
        versions=lambda component: config.component(component).versions,
    )
    keep_running(spawn, rooms.places.keep_indexing, "edgehost.sources")
    keep_running(spawn, watch.run, "edgehost.probation")
    keep_running(spawn, traffic.run, "edgehost.traffic")
    return manager, traffic


def _settling(migrations: RecordMigrations) -> Callable[[RunningRelease], Awaitable[None]]:
    """Lets go of what records were before, once a release has proved itself."""

    async def proved_itself(running: RunningRelease) -> None:
        try:
            await migrations.settle(running.spec)
        except EdgehostError as error:  # what is kept too long does no harm; the next start drops it
            log.warning("Earlier forms of records of %s stay: %s", running.release.component, error)

    return proved_itself


def _decided(
    what: str, do: Callable[[str, str, Ground], Coroutine[Any, Any, Release]]
) -> Callable[[str, str, Ground], Awaitable[None]]:
    """A decision of the watch, which goes on when it cannot be carried out now."""

    async def decided(component: str, version: str, ground: Ground) -> None:
        try:
            await do(component, version, ground)
        except (
            EdgehostError
        ) as error:  # an operator was faster, or the disk is full; the next look tries again
            log.warning("%s %s could not %s: %s", component, version, what, error)

    return decided
