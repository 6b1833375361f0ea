"""The remotes of a host while it runs: how it stands with each, what is taken from it, and the tasks that follow."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial

from edgehost.composition.agent_life import AgentLife
from edgehost.composition.life_watch import follow_in_safe_mode
from edgehost.composition.remotes import open_remote
from edgehost.composition.rooms import Rooms
from edgehost.config_carriers import StickCarrier
from edgehost.config_tables import RemoteSettings
from edgehost.domain.release_life import Release
from edgehost.domain.traffic import Share
from edgehost.domain.version_range import VersionRange
from edgehost.ports.remote import Remote
from edgehost.usecases.control_host import ControlHost
from edgehost.usecases.follow_remote import DesiredState, Following, FollowRemote, Trial
from edgehost.usecases.keep_following import RemoteHealth, keep_following
from edgehost.usecases.manage_components import ComponentManager
from remotes.owned_tasks import Spawn, keep_running


@dataclass(frozen=True, slots=True)
class OpenedRemote:
    """One remote of this run; ``news`` has it looked at now."""

    settings: RemoteSettings
    remote: Remote
    health: RemoteHealth
    news: asyncio.Event = field(default_factory=asyncio.Event)


async def open_remotes(rooms: Rooms, stack: AsyncExitStack) -> list[OpenedRemote]:
    """Every remote of the configuration; the stack closes them."""
    config, require = rooms.config, rooms.disk.require
    if config.fleet.enabled or config.upstream:  # whose rooms would import all of the MQTT libraries
        from remotes.lean_mqtt import load_lean  # noqa: PLC0415 - for hosts with a broker

        load_lean()
    return [
        OpenedRemote(
            settings,
            await open_remote(config, settings, stack, require_room=require),
            RemoteHealth(settings.name),
        )
        for settings in config.remotes
    ]


def start_following(
    rooms: Rooms,
    control: ControlHost,
    opened: list[OpenedRemote],
    desired: DesiredState,
    spawn: Spawn,
    *,
    life: AgentLife | None,
) -> None:
    """Follow each remote for as long as the host runs; in safe mode only look at it."""
    manager = control.manager
    for each in opened:
        follower = make_follower(rooms, manager, each.settings, each.remote, desired)
        manager.followers.append(follower)
        control.remotes[each.settings.name] = (each.health, each.news)
        if life is not None and life.withheld is not None:
            each.health.state, each.health.reason = "not followed", life.withheld.why
            continue  # neither the trust in it nor a release could be kept
        if life is not None and life.safe:
            following = partial(follow_in_safe_mode, life, follower, each.remote, each.health, each.news)
        else:
            following = partial(
                keep_following, follower, each.remote, each.health, news=each.news, bus=rooms.bus
            )
        work = partial(following, poll_s=each.settings.poll_s, clock=rooms.clock)
        keep_running(spawn, work, f"edgehost.remote.{each.settings.name}")


def make_follower(
    rooms: Rooms,
    manager: ComponentManager,
    settings: RemoteSettings,
    remote: Remote,
    desired: DesiredState | None = None,
) -> FollowRemote:
    """What this host takes from the remote."""
    config = rooms.config
    if isinstance(settings.carrier, StickCarrier):
        from edgehost.composition.stick_remotes import tie_stick  # noqa: PLC0415 - where there is one

        tie_stick(rooms, remote)

    async def deploy(release: Release) -> None:
        await manager.deploy(release)

    async def try_out(release: Release, share: Share) -> None:
        await manager.give_share(release, share)

    return FollowRemote(
        remote,
        Following(
            components=settings.follow,
            versions={name: wanted.versions for name, wanted in config.components.items()},
            trials={
                name: Trial(VersionRange.parse(wanted.traffic.candidate), wanted.traffic.share)
                for name, wanted in config.components.items()
                if wanted.traffic.candidate
            },
            priority=settings.priority,
            device_class=config.host.device_class,
            component_bytes=config.limits.component_bytes,
        ),
        shelf=rooms.shelf,
        ledger=rooms.ledger,
        bus=rooms.bus,
        clock=rooms.clock,
        deploy=deploy,
        try_out=try_out,
        desired=desired,
        outranked=lambda component: any(
            other.following.priority > settings.priority and other.offers_component(component)
            for other in manager.followers
        ),
    )
