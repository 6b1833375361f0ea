"""The tasks that watch over the agent's own life while the host runs."""

from __future__ import annotations

import asyncio
import logging

from edgehost.composition.agent_life import AgentLife
from edgehost.composition.life_withheld import leave_when_writable, withheld_at
from edgehost.composition.rooms import Rooms
from edgehost.domain.config_generation import Generation
from edgehost.domain.errors import EdgehostError
from edgehost.domain.host_events import ConfigurationMoved, SafeModeEntered
from edgehost.ports.clock import Clock
from edgehost.ports.remote import Remote
from edgehost.usecases.control_host import ControlHost
from edgehost.usecases.follow_remote import FollowRemote
from edgehost.usecases.keep_following import RemoteHealth
from edgehost.usecases.manage_components import ComponentManager
from edgehost.usecases.watch_safe_mode import Leave, leave_after, leave_for_news
from remotes.owned_tasks import Spawn, owned_tasks

log = logging.getLogger("edgehost.life")
_AGAIN_S = 60.0
_HEARD = frozenset({"ok", "refused"})  # a remote that is not trusted was at least reached


def tie_life(life: AgentLife, rooms: Rooms, control: ControlHost) -> None:
    """Let the running host be asked about its life, and the life end the host."""

    def notice(generation: Generation) -> None:
        rooms.bus.publish(
            ConfigurationMoved(
                at=rooms.clock.now(),
                generation=generation.number,
                standing=str(generation.standing),
                origin=generation.origin,
                reason=generation.reason,
            )
        )

    def in_touch() -> bool:
        return not control.remotes or any(health.state in _HEARD for health, _ in control.remotes.values())

    life.stop, life.notice, life.in_touch = rooms.stopping.set, notice, in_touch
    control.life = life

    async def bundle() -> bytes:
        from edgehost.composition.diagnosis import host_parts, machine_parts, make_bundle  # noqa: PLC0415 - rarely asked

        parts = {**await host_parts(control), **await asyncio.to_thread(machine_parts, rooms.config)}
        text = await life.text(life.generation.number)
        return await asyncio.to_thread(lambda: make_bundle(parts, text, at=rooms.clock.now()))

    control.bundle = bundle


async def start_components(manager: ComponentManager, life: AgentLife | None) -> None:
    """Start what was live, as far as the mode lets it run."""
    if life is None or not life.safe:
        await manager.start_live()
    elif life.withheld is not None and life.runs_components:
        # Each once: what does not start is neither condemned nor replaced, since that could not be noted.
        for component in manager.deployer.ledger.live_components():
            release = manager.deployer.ledger.live(component)
            if release is None:
                continue
            try:
                await manager.deployer.start_live(release)
            except EdgehostError as problem:
                log.warning("%s %s does not run: %s", component, release.version, problem)
        manager.changed()


async def watch_life(life: AgentLife, rooms: Rooms, control: ControlHost, spawn: Spawn) -> None:
    """Tell the mode, then wait for the end of the trial, by a clock that does not jump."""
    if life.safe:
        rooms.bus.publish(SafeModeEntered(at=rooms.clock.now(), reason=life.safe))
        if life.withheld is not None:
            data = life.config.host.data
            ending = leave_when_writable(lambda: withheld_at(data), life.leave_safe_mode)
        else:
            ending = leave_after(life.record.retry_s, _leave(life))  # it ends by itself one day
        spawn(ending, "edgehost.safe-mode")
    if not life.config.host.config_trial_s:
        return
    await asyncio.sleep(life.config.host.config_trial_s)
    down = control.manager.restarts.down
    running = control.manager.deployer.running
    while True:
        try:
            await life.prove([component for component in down if running.get(component) is None])
        except (EdgehostError, OSError) as problem:  # a full disk: it is well all the same, and noted later
            log.warning("That the host is well cannot be noted: %s", problem)
            await asyncio.sleep(_AGAIN_S)
        else:
            return


async def follow_in_safe_mode(
    life: AgentLife,
    follower: FollowRemote,
    remote: Remote,
    health: RemoteHealth,
    news: asyncio.Event,
    *,
    poll_s: float,
    clock: Clock,
) -> None:
    """Look at a remote, but deploy nothing: what is new leads out of safe mode."""

    async def hear() -> None:
        async for _ in remote.changes():
            news.set()

    async with owned_tasks() as spawn:
        spawn(hear(), f"edgehost.remote.{remote.name}.changes")
        await leave_for_news(
            follower,
            health,
            news,
            poll_s=poll_s,
            clock=clock,
            left_for=life.record.left_for,
            leave=_leave(life),
        )


def _leave(life: AgentLife) -> Leave:
    async def leave(left_for: str, by_itself: bool) -> None:  # noqa: FBT001 - see Leave
        if not life.restarting:
            await life.leave_safe_mode(left_for=left_for, by_itself=by_itself)

    return leave
