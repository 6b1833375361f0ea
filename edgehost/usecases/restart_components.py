"""What was live is started again when the host starts; what cannot be is blamed only for its own faults."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

from edgehost.domain.backoff import Backoff
from edgehost.domain.errors import (
    ConflictError,
    DamagedError,
    EdgehostError,
    GuestError,
    IncompatibleReleaseError,
    UnavailableError,
)
from edgehost.domain.release_life import Release, Stage
from edgehost.ports.event_bus import EventBus
from edgehost.usecases.deploy_release import Deployer
from edgehost.usecases.direct_traffic import TrafficDirector
from edgehost.usecases.roll_back_release import roll_back

log = logging.getLogger("edgehost.components")

#: The machine, its configuration or another component stands in the way, not the release.
_BLAMELESS: Final = (UnavailableError, IncompatibleReleaseError, ConflictError)
#: A machine that boots is slow, so one fault of the guest says little; the second in a row is its own.
_FAULTS_THAT_CONDEMN: Final = 2


@dataclass(slots=True)
class Restarts:
    """Live releases that do not run: tried again until they do, or until another takes their place."""

    deployer: Deployer
    traffic: TrafficDirector
    bus: EventBus
    spawn: Callable[[Coroutine[Any, Any, None], str], None]
    turn: Callable[[str], asyncio.Lock]
    changed: Callable[[], None]
    backoff: Backoff = Backoff(base_s=2.0, cap_s=300.0)
    down: dict[str, str] = field(default_factory=dict)  # component: why its live release does not run
    _faults: dict[str, int] = field(default_factory=dict)  # of the guest, in a row

    async def start(self, component: str) -> None:
        """Start the component's live release, and see to it that it is tried again when it does not."""
        async with self.turn(component):
            await self._try(component)
            if component in self.down:
                self.spawn(self._keep_trying(component), f"edgehost.restart.{component}")

    async def _keep_trying(self, component: str) -> None:
        attempt = 0
        while component in self.down:
            # Never less than half: a fleet is spread, and a slow boot gets its time.
            await asyncio.sleep(self.backoff.delay_s(attempt, random.uniform(0.5, 1.0)))  # noqa: S311 - no secret
            attempt += 1
            async with self.turn(component):
                await self._try(component)
            self.changed()

    async def _try(self, component: str) -> None:
        before = self.down.pop(component, None)
        release = self.deployer.ledger.live(component)
        if release is None or self.deployer.running.get(component) is not None:
            return  # another took its place, or an operator took it out of service
        try:
            await self.deployer.start_live(release)
        except EdgehostError as error:
            await self._failed(release, error, before)
        else:
            self._faults.pop(component, None)
            if before is not None:
                log.info("%s %s runs again.", component, release.version)
        if component not in self.down:
            await self.traffic.start_again(component)

    async def _failed(self, release: Release, error: EdgehostError, before: str | None) -> None:
        component = release.component
        if isinstance(error, DamagedError) or not await self.deployer.shelf.has(release.digest):
            await self._stand_in(release, error)
            return
        if isinstance(error, GuestError):
            self._faults[component] = self._faults.get(component, 0) + 1
        if isinstance(error, _BLAMELESS) or 0 < self._faults.get(component, 0) < _FAULTS_THAT_CONDEMN:
            self.down[component] = str(error)
            if before != str(error):  # once for each reason, not at every try
                log.warning(
                    "%s %s is live but does not run; it is tried again: %s", component, release.version, error
                )
            return
        self._faults.pop(component, None)
        log.warning("%s %s does not start any more: %s", component, release.version, error)
        await self._give_way(release, Stage.QUARANTINED, error)

    async def _stand_in(self, release: Release, error: EdgehostError) -> None:
        """Its file is gone: an earlier release serves until a remote has brought the file again."""
        log.warning(
            "The file of %s %s is lost; it goes live again once a remote has brought it: %s",
            release.component,
            release.version,
            error,
        )
        await self._give_way(release, Stage.SHELVED, error)

    async def _give_way(self, release: Release, stage: Stage, error: EdgehostError) -> None:
        try:
            await roll_back(
                self.deployer,
                self.bus,
                release.component,
                reason=f"It did not start again: {error.message}",
                stage=stage,
            )
        except UnavailableError as full:  # the ledger cannot be written: it stays live, and is tried again
            self.down[release.component] = str(full)
            log.warning("%s %s stays live, but does not run: %s", release.component, release.version, full)
