"""Call the services that want to be called by time."""

from __future__ import annotations

import asyncio
import logging

from edgehost.domain.errors import EdgehostError
from edgehost.ports.clock import Clock
from edgehost.usecases.running_components import RunningComponents, RunningRelease

log = logging.getLogger("edgehost.services")

#: What a service gets when its time has come.
_TICK = b'{"event": "timer"}'

#: A service that fails at every tick logs once a minute, not once a tick.
_REPEAT_LOG_S = 60.0


async def run_services(running: RunningComponents, clock: Clock, changed: asyncio.Event) -> None:
    """Keep one timer for every live service until cancelled; ``changed`` says that the set may differ."""
    async with asyncio.TaskGroup() as tasks:
        timers: dict[str, tuple[float, str, asyncio.Task[None]]] = {}
        while True:
            changed.clear()
            wanted = {name: (every_s, export) for name, every_s, export in _timed(running.all())}
            for name, (every_s, export, task) in list(timers.items()):
                if wanted.get(name) != (every_s, export):
                    task.cancel()
                    del timers[name]
            for name, (every_s, export) in wanted.items():
                if name not in timers:
                    task = tasks.create_task(
                        _ticking(running, clock, name, every_s, export), name=f"edgehost.service.{name}"
                    )
                    timers[name] = (every_s, export, task)
            await changed.wait()


def _timed(releases: tuple[RunningRelease, ...]) -> list[tuple[str, float, str]]:
    return [
        (release.spec.name, release.spec.service.every_s, release.spec.service.export)
        for release in releases
        if release.spec.service is not None and release.spec.service.every_s
    ]


async def _ticking(
    running: RunningComponents, clock: Clock, component: str, every_s: float, export: str
) -> None:
    """Ticks keep their beat; a tick that takes too long costs the ones it covers, and never runs twice at once."""
    next_tick = clock.monotonic()
    last_logged = -_REPEAT_LOG_S
    while True:
        try:
            await running.call(component, export, _TICK)
        except EdgehostError as error:
            if clock.monotonic() - last_logged >= _REPEAT_LOG_S:
                last_logged = clock.monotonic()
                log.warning("Service '%s' failed at a tick: %s", component, error)
        now = clock.monotonic()
        next_tick = max(next_tick + every_s, now)
        await asyncio.sleep(next_tick - now)
