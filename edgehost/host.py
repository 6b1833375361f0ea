"""Composition root and supervision: the only file that knows every adapter."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version as package_version

from edgehost.adapters.sandbox.sandbox_factory import open_sandbox_factory
from edgehost.adapters.services.local_event_bus import LocalEventBus
from edgehost.adapters.services.machine_readings import LinuxReadings
from edgehost.adapters.services.system_clock import SystemClock
from edgehost.adapters.storage.folder_shelf import FolderShelf, open_shelf
from edgehost.adapters.storage.tinydb_records import TinyDBRecords, open_records
from edgehost.api.access import AccessPolicy, read_token_file
from edgehost.api.app import ApiOptions, HostApp, make_app
from edgehost.api.server import ServedAt, serving
from edgehost.config import KIB, Config, FolderCarrier, MqttCarrier, RemoteSettings
from edgehost.domain.component_spec import ComponentSpec
from edgehost.domain.events import GuestLogged
from edgehost.domain.probation import ProbationRule
from edgehost.domain.record import RevisionClock
from edgehost.domain.release_life import Release
from edgehost.ports.sandbox import SandboxFactory
from edgehost.usecases.control_host import ControlHost, HostIdentity
from edgehost.usecases.deploy_release import Deployer
from edgehost.usecases.follow_remote import Following, FollowRemote
from edgehost.usecases.host_functions import HostFunctions
from edgehost.usecases.instance_pool import InstancePool
from edgehost.usecases.keep_following import RemoteHealth, keep_following
from edgehost.usecases.live_models import LiveModels
from edgehost.usecases.manage_components import ComponentManager
from edgehost.usecases.plan_sandbox import CappedSandboxes, HostTerms, plan_sandbox
from edgehost.usecases.record_keeping import RecordKeeping, remember_revisions
from edgehost.usecases.release_ledger import ReleaseLedger
from edgehost.usecases.run_services import run_services
from edgehost.usecases.running_components import RunningComponents, RunningRelease
from edgehost.usecases.watch_probation import ProbationWatch
from remotes.clock_floor import EARLIEST
from remotes.folder_transport import open_folder_transport
from remotes.mqtt_options import MqttOptions
from remotes.mqtt_transport import open_mqtt_transport
from remotes.owned_tasks import Spawn, owned_tasks
from remotes.remote import RemoteOptions, TrustedRemote, open_trusted_remote
from remotes.transport import Transport

log = logging.getLogger("edgehost.host")
guest_log = logging.getLogger("edgehost.guest")

_MQTT_PORT, _MQTTS_PORT = 1883, 8883
_LEVELS = {"trace": logging.DEBUG, "debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING}
#: Lines of guests' logs that are kept in memory for ``edgehost logs``; disks wear out, so they go nowhere else.
_GUEST_LINES = 1000
#: A folder costs one stat per look; a stick or share is noticed within this time.
_FOLDER_LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Host:
    """A running host, for whoever embeds it."""

    config: Config
    served_at: ServedAt
    control: ControlHost
    stopping: asyncio.Event


async def run_host(config: Config) -> None:
    """Run until cancelled or asked to stop over the control routes; calls in flight are finished."""
    async with started_host(config) as host:
        await host.stopping.wait()


@asynccontextmanager
async def started_host(config: Config) -> AsyncIterator[Host]:
    """A host that serves; leaving the block stops it in order: API, timers and remotes, instances, stores.

    Raises:
        UnavailableError: another host uses the data folder, or a port cannot be had.
        DamagedError: the data folder was written by a later version.
    """
    async with AsyncExitStack() as stack:
        rooms = await _opened(config, stack)
        stack.push_async_callback(_close_pools, rooms.running)
        remotes = [
            (
                settings,
                await _open_remote(config, settings, stack),
                RemoteHealth(settings.name),
                asyncio.Event(),
            )
            for settings in config.remotes
        ]
        spawn = await stack.enter_async_context(owned_tasks())
        services_changed = asyncio.Event()
        manager = _manager(rooms, spawn, services_changed)
        control = _control(rooms, manager)
        await manager.start_live()
        served_at = await stack.enter_async_context(
            serving(
                _app(rooms, control),
                address=config.api.listen or "127.0.0.1",
                tcp_port=config.api.tcp_port if config.api.listen else None,
                unix_socket=config.unix_socket,
            )
        )
        control.identity.urls = _urls(config, served_at)
        spawn(run_services(rooms.running, rooms.clock, services_changed), "edgehost.services")
        for settings, remote, health, news in remotes:
            follower = _follower(rooms, manager, settings, remote)
            manager.followers.append(follower)
            control.remotes[settings.name] = (health, news)
            spawn(
                keep_following(
                    follower,
                    remote,
                    health,
                    poll_s=settings.poll_s,
                    bus=rooms.bus,
                    clock=rooms.clock,
                    news=news,
                ),
                f"edgehost.remote.{settings.name}",
            )
        log.info("%s serves at %s.", config.host.name, ", ".join(control.identity.urls))
        yield Host(config, served_at, control, rooms.stopping)


@dataclass(slots=True)
class _Rooms:
    """What the host is made of, before it does anything."""

    config: Config
    clock: SystemClock
    bus: LocalEventBus
    records: TinyDBRecords
    shelf: FolderShelf
    ledger: ReleaseLedger
    running: RunningComponents
    models: LiveModels
    sandboxes: SandboxFactory
    keeping: RecordKeeping
    functions: HostFunctions
    stopping: asyncio.Event
    guest_lines: deque[GuestLogged] = field(default_factory=lambda: deque(maxlen=_GUEST_LINES))

    def note_guest_log(self, component: str, level: str, message: str) -> None:
        """A line of a guest's log, to listeners and to the host's own log."""
        line = GuestLogged(at=self.clock.now(), component=component, level=level, message=message)
        self.guest_lines.append(line)
        self.bus.publish(line)
        guest_log.log(_LEVELS.get(level, logging.ERROR), "%s: %s", component, message)


async def _opened(config: Config, stack: AsyncExitStack) -> _Rooms:
    data = config.host.data
    await asyncio.to_thread(data.mkdir, mode=0o700, parents=True, exist_ok=True)
    clock, bus, running, models = SystemClock(), LocalEventBus(), RunningComponents(), LiveModels()
    records = await stack.enter_async_context(open_records(data / "records"))
    shelf = await stack.enter_async_context(
        open_shelf(data / "releases", quota_bytes=config.limits.shelf_bytes)
    )
    ledger = ReleaseLedger(shelf, bus, clock)
    await ledger.load()
    if clock.now() < EARLIEST.timestamp():  # a board without a battery: time runs on from what it last wrote
        newest = max((release.changed_at for release in ledger.all()), default=0.0)
        clock.raise_floor(max(newest, EARLIEST.timestamp()))
        log.warning("The machine's clock is not set; time runs on from %.0f.", clock.now())
    factory = await stack.enter_async_context(open_sandbox_factory())
    keeping = RecordKeeping(records, bus, clock, RevisionClock(config.host.name), running)
    await remember_revisions(keeping, records.models())
    return _Rooms(
        config=config,
        clock=clock,
        bus=bus,
        records=records,
        shelf=shelf,
        ledger=ledger,
        running=running,
        models=models,
        sandboxes=CappedSandboxes(factory, config.limits.instances_total),
        keeping=keeping,
        functions=HostFunctions(
            keeping, models, LinuxReadings(data), lambda component: running.require(component).spec
        ),
        stopping=asyncio.Event(),
    )


async def _close_pools(running: RunningComponents) -> None:
    async with asyncio.TaskGroup() as group:
        for each in running.all():
            group.create_task(each.pool.close(), name=f"edgehost.close.{each.release.component}")


def _manager(rooms: _Rooms, spawn: Spawn, services_changed: asyncio.Event) -> ComponentManager:
    config = rooms.config
    rule = ProbationRule(
        seconds=config.probation.seconds,
        calls_min=config.probation.calls_min,
        error_rate=config.probation.error_rate,
    )

    async def roll_back(component: str, reason: str) -> None:
        await manager.roll_back(component, reason)

    watch = ProbationWatch(rooms.running, rooms.ledger, rooms.clock, rule, roll_back)

    def changed() -> None:
        services_changed.set()
        watch.wake()

    async def start_pool(_release: Release, spec: ComponentSpec, wasm: bytes) -> InstancePool:
        settings = config.component(spec.name)
        terms = HostTerms(
            memory_kib=config.limits.memory_kib,
            deadline_ms=config.limits.deadline_ms,
            deny=settings.deny,
            config=settings.config,
        )
        plan = plan_sandbox(spec, wasm, terms)
        host_call = rooms.functions.granted(plan.grants)
        return await InstancePool(
            rooms.sandboxes, plan, host_call=host_call, log=rooms.note_guest_log
        ).start()

    def drain_later(running: RunningRelease, before: Release | None) -> None:
        manager.drain_later(running, before)

    manager = ComponentManager(
        deployer=Deployer(
            shelf=rooms.shelf,
            ledger=rooms.ledger,
            running=rooms.running,
            routes=rooms.models,
            clock=rooms.clock,
            start_pool=start_pool,
            drain_later=drain_later,
            on_fault=watch.wake,
            probation=rule,
        ),
        bus=rooms.bus,
        spawn=spawn,
        keep_good=config.keep.releases - 1,  # the live one is kept anyway
        changed=changed,
    )
    spawn(watch.run(), "edgehost.probation")
    return manager


def _control(rooms: _Rooms, manager: ComponentManager) -> ControlHost:
    config = rooms.config
    return ControlHost(
        identity=HostIdentity(
            name=config.host.name,
            version=package_version("edgehost"),
            device_class=config.host.device_class,
            pid=os.getpid(),
            started_at=rooms.clock.now(),
        ),
        manager=manager,
        clock=rooms.clock,
        confinement=rooms.sandboxes.confinement,
        storage=lambda: asdict(rooms.records.statistics()),
        request_stop=rooms.stopping.set,
        guest_lines=rooms.guest_lines,
    )


def _app(rooms: _Rooms, control: ControlHost) -> HostApp:
    api = rooms.config.api
    access = AccessPolicy(
        token="" if api.token_file is None else read_token_file(api.token_file),
        allowed_hosts=api.allowed_hosts,
    )
    options = ApiOptions(
        root=api.root,
        host_name=rooms.config.host.name,
        version=package_version("edgehost"),
        body_bytes=api.body_kib * KIB,
    )
    return make_app(rooms.keeping, rooms.models, host=control, access=access, options=options)


def _urls(config: Config, served_at: ServedAt) -> tuple[str, ...]:
    tcp = (served_at.url + config.api.root,) if served_at.url else ()
    return (*tcp, f"unix:{served_at.unix_socket}")


async def _open_remote(config: Config, settings: RemoteSettings, stack: AsyncExitStack) -> TrustedRemote:
    return await stack.enter_async_context(
        open_trusted_remote(
            settings.name,
            await _open_transport(settings, stack),
            folder=config.host.data / "remotes" / settings.name,
            root_file=settings.root,
            now=SystemClock().now,  # the machine's own: the remote keeps a floor of its own
            options=RemoteOptions(component_most_bytes=config.limits.component_bytes),
        )
    )


async def _open_transport(settings: RemoteSettings, stack: AsyncExitStack) -> Transport:
    match settings.carrier:
        case FolderCarrier(path):
            return await stack.enter_async_context(open_folder_transport(path, poll_s=_FOLDER_LOOK_S))
        case MqttCarrier() as broker:
            options = MqttOptions(
                host=broker.host,
                tcp_port=broker.tcp_port or (_MQTTS_PORT if broker.tls else _MQTT_PORT),
                tls=broker.tls,
                ca_file=broker.ca_file,
                username=broker.username,
                password_file=broker.password_file,
            )
            return await stack.enter_async_context(open_mqtt_transport(settings.name, options))


def _follower(
    rooms: _Rooms, manager: ComponentManager, settings: RemoteSettings, remote: TrustedRemote
) -> FollowRemote:
    config = rooms.config

    async def deploy(release: Release) -> None:
        await manager.deploy(release)

    return FollowRemote(
        remote,
        Following(
            components=settings.follow,
            versions={name: wanted.versions for name, wanted in config.components.items()},
            device_class=config.host.device_class,
            component_bytes=config.limits.component_bytes,
        ),
        shelf=rooms.shelf,
        ledger=rooms.ledger,
        bus=rooms.bus,
        clock=rooms.clock,
        deploy=deploy,
    )
