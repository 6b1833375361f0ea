"""The host: what is started in which order, and stopped in the reverse one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from edgehost.adapters.storage.spare_socket import spare_socket
from edgehost.api.server import ServedAt, serving
from edgehost.composition.agent_life import AgentLife
from edgehost.composition.boards_of_host import tie_boards
from edgehost.composition.deployment import make_manager
from edgehost.composition.desired_state import make_desired_state, open_configs
from edgehost.composition.devices_of_host import finish_flashes, open_devices, start_devices
from edgehost.composition.flows import open_flows, start_flows
from edgehost.composition.following import open_remotes, start_following
from edgehost.composition.life_watch import start_components, tie_life, watch_life
from edgehost.composition.ports import topic_sources
from edgehost.composition.rollout import start_deployments
from edgehost.composition.rooms import close_pools, open_rooms
from edgehost.composition.serving import make_control, make_host_app, open_coap, open_shelf, urls_of
from edgehost.composition.upkeep import keep_up
from edgehost.composition.upstream import start_upstreams
from edgehost.config import Config
from edgehost.usecases.control_host import ControlHost
from edgehost.usecases.run_services import run_services
from edgehost.usecases.serve_topics import serve_topics
from remotes.owned_tasks import keep_running, owned_tasks, require_wanted

log = logging.getLogger("edgehost.host")


@dataclass(frozen=True, slots=True)
class Host:
    """A running host, for whoever embeds it."""

    config: Config
    served_at: ServedAt
    control: ControlHost
    stopping: asyncio.Event


async def run_host(config: Config, life: AgentLife | None = None) -> None:
    """Run until cancelled or asked to stop over the control routes; calls in flight are finished."""
    async with started_host(config, life) as host:
        require_wanted()  # a SIGTERM while it starts may be lost in a library's wait_for
        await host.stopping.wait()


@asynccontextmanager
async def started_host(config: Config, life: AgentLife | None = None) -> AsyncIterator[Host]:
    """A host that serves; leaving the block stops it in order: API, timers and remotes, instances, stores.

    Raises:
        UnavailableError: another host uses the data folder, or a port cannot be had.
        DamagedError: the data folder was written by a later version.
    """
    async with AsyncExitStack() as stack:
        safe = life is not None and life.safe != ""
        rooms = await open_rooms(config, stack, safe=safe, withheld=life.withheld if life else None)
        flows = await open_flows(rooms, stack)
        stack.push_async_callback(close_pools, rooms.running)
        remotes = await open_remotes(rooms, stack)
        spawn = await stack.enter_async_context(owned_tasks())
        services_changed = asyncio.Event()
        configs = await open_configs(rooms)
        manager, traffic = make_manager(rooms, spawn, services_changed, configs)
        control = make_control(rooms, manager, traffic)
        opened = await open_devices(rooms, manager)
        desired = await make_desired_state(rooms, manager, control, configs, firmware=opened.hands)
        control.workflows, control.pipelines = flows.workflows, flows.pipelines
        tie_boards(control, rooms, [each.remote for each in remotes], spawn, opened)
        if life is not None:
            tie_life(life, rooms, control)
        keep_up(rooms, control, spawn)
        if config.certificates:
            from edgehost.composition.certificates import start_certificates  # noqa: PLC0415 - where one is configured

            start_certificates(rooms, control, spawn, stack)
        await start_components(manager, life)
        if not safe:
            start_flows(flows, rooms, spawn)
        app = make_host_app(rooms, control)
        served_at = await stack.enter_async_context(
            serving(
                app,
                address=config.api.listen or "127.0.0.1",
                tcp_port=config.api.tcp_port if config.api.listen else None,
                unix_socket=spare_socket(config.unix_socket, config.host.data)
                if rooms.withheld
                else config.unix_socket,
            )
        )
        coap = await open_coap(rooms, app, stack)
        await open_shelf(rooms, stack)
        control.identity.urls = (*urls_of(config, served_at), *coap)
        start_devices(rooms, opened, control, spawn, desired.reconciler)
        await start_upstreams(rooms, control, opened.deployer, life, spawn)
        if not safe and (sources := topic_sources(rooms.ports)):
            keep_running(spawn, partial(serve_topics, rooms.ports, sources), "edgehost.topics")
        services = partial(run_services, rooms.running, rooms.clock, services_changed)
        keep_running(spawn, services, "edgehost.services")
        fleet = None
        if config.fleet.enabled:
            from edgehost.composition.fleet import open_fleet  # noqa: PLC0415 - for hosts in a fleet

            fleet = await open_fleet(rooms, control, life)
        start_following(rooms, control, remotes, desired.intake, spawn, life=life)
        if not safe:
            finish_flashes(opened, spawn)
            start_deployments(rooms, manager, desired, fleet, spawn)
        if fleet is not None:
            fleet.start(spawn)
        if life is not None:
            spawn(watch_life(life, rooms, control, spawn), "edgehost.life")
        log.info("%s serves at %s.", config.host.name, ", ".join(control.identity.urls))
        yield Host(config, served_at, control, rooms.stopping)
