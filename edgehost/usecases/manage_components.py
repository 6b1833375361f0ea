"""All that happens to the components of a host, one thing at a time for each of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from edgehost.domain.backoff import Backoff
from edgehost.domain.errors import ConflictError, EdgehostError, NotFoundError
from edgehost.domain.release_life import Release, Stage
from edgehost.domain.traffic import Share
from edgehost.domain.version_range import ANY_VERSION, VersionRange
from edgehost.ports.event_bus import EventBus
from edgehost.usecases.collect_shelf import collect_shelf
from edgehost.usecases.deploy_release import Deployer
from edgehost.usecases.direct_traffic import Ground, TrafficDirector
from edgehost.usecases.find_release import named_release, newest_release
from edgehost.usecases.follow_remote import FollowRemote
from edgehost.usecases.restart_components import Restarts
from edgehost.usecases.roll_back_release import roll_back
from edgehost.usecases.running_components import RunningRelease

log = logging.getLogger("edgehost.components")

Spawn = Callable[[Coroutine[Any, Any, None], str], None]


@dataclass(slots=True)
class ComponentManager:
    """Deploys and rolls back; ``changed`` tells timers and watches that the running set differs."""

    deployer: Deployer
    traffic: TrafficDirector
    bus: EventBus
    spawn: Spawn  # runs a task that the host owns, under a name
    keep_good: int = 2
    drain_timeout_s: float = 30.0  # a call may take no longer than its deadline; this is the last resort
    changed: Callable[[], None] = lambda: None
    versions: Callable[[str], VersionRange] = lambda _component: ANY_VERSION  # what the configuration wants
    followers: list[FollowRemote] = field(default_factory=list)
    backoff: Backoff = Backoff(base_s=2.0, cap_s=300.0)  # between tries of what was live and does not start
    restarts: Restarts = field(init=False)
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.restarts = Restarts(
            self.deployer,
            self.traffic,
            self.bus,
            self.spawn,
            turn=self._turn,
            changed=lambda: self.changed(),  # noqa: PLW0108 - may be set later
            backoff=self.backoff,
        )

    async def start_live(self) -> None:
        """Start what was live when the host stopped, side by side; see Restarts for what does not start."""
        ledger = self.deployer.ledger
        await self.deployer.migrations.recover(ledger.live, ledger.by_digest)
        async with asyncio.TaskGroup() as tasks:
            for component in ledger.live_components():
                tasks.create_task(self.restarts.start(component), name=f"edgehost.start.{component}")
        self.changed()

    async def deploy(self, release: Release, *, pinned: bool | None = None) -> Release:
        """Bring a shelved release live; without a word on pinning, it stays as pinned as it was.

        Raises:
            EdgehostError: as for Deployer.deploy; what ran before runs on.
        """
        async with self._turn(release.component):
            known = self.deployer.ledger.by_digest(release.digest)
            if pinned is None:
                pinned = known is not None and known.pinned
            if known is not None and known.stage is Stage.LIVE and self._runs(known):
                return await self.deployer.ledger.pin(known, pinned=pinned)
            if known is not None and known.stage is Stage.CANDIDATE:
                return await self._promoted(known, pinned=pinned)
            try:
                if known is not None and known.stage is Stage.LIVE:
                    running = await self.deployer.start_live(known)
                    running.release = await self.deployer.ledger.pin(known, pinned=pinned)
                    await self.traffic.start_again(known.component)
                else:
                    running = await self.deployer.deploy(known or release, pinned=pinned)
            finally:
                self.changed()
        log.info("%s %s is live.", running.release.component, running.release.version)
        return running.release

    async def deploy_named(self, component: str, version: str | None) -> Release:
        """Bring a release live by name; without a version, the newest wanted one of the remotes' and the shelf's.

        A named version stays until another is named or none: newer offers do not replace it by themselves.

        Raises:
            NotFoundError: neither shelf nor remotes have it.
            EdgehostError: it could not be fetched or deployed.
        """
        return await self.deploy(await self.found(component, version), pinned=version is not None)

    async def found(self, component: str, version: str | None) -> Release:
        """A release by name, on the shelf; fetched when only a remote has it.

        Raises:
            NotFoundError: neither shelf nor remotes have it.
            EdgehostError: it could not be fetched.
        """
        if version is None:
            within = self.versions(component)
            return await newest_release(self.deployer, self.followers, component, within)
        return await named_release(self.deployer, self.followers, component, version)

    async def give_share(self, release: Release, share: Share) -> Release:
        """Run the release beside the live one with this share of the calls, or change its share.

        Raises:
            EdgehostError: as for TrafficDirector.give; what ran before runs on.
        """
        async with self._changing(release.component):
            given = await self.traffic.give(self.deployer.ledger.by_digest(release.digest) or release, share)
        log.info("%s %s gets %.3g of the calls.", given.component, given.version, share.weight)
        return given

    async def promote(self, component: str, version: str, ground: Ground) -> Release:
        """Make a candidate the live release.

        Raises:
            NotFoundError: there is no such candidate.
        """
        async with self._changing(component):
            release = await self.traffic.promote(component, version, ground)
        log.info("%s %s took over: %s", component, version, ground.reason)
        return release

    async def stop_candidate(self, component: str, version: str, ground: Ground) -> Release:
        """End a candidate's trial and quarantine it.

        Raises:
            NotFoundError: there is no such candidate.
        """
        async with self._changing(component):
            release = await self.traffic.stop(component, version, ground)
        log.warning("%s %s was stopped: %s", component, version, ground.reason)
        return release

    async def end_trial(self, component: str, version: str, reason: str) -> Release:
        """End a candidate's trial without a verdict; it stays on the shelf.

        Raises:
            NotFoundError: there is no such candidate.
        """
        async with self._changing(component):
            return await self.traffic.retire(component, version, reason)

    async def rehearse(self, release: Release) -> None:
        """See that a shelved release starts and passes its probe, without any traffic.

        Raises:
            EdgehostError: as for deploy.
        """
        async with self._turn(release.component):
            await self.deployer.rehearse(self.deployer.ledger.by_digest(release.digest) or release)

    async def withdraw(self, component: str, reason: str) -> Release | None:
        """Take the component out of service: its calls finish, its routes go, and no start of the host brings it back.

        None when it had no live release.

        Raises:
            StorageFullError: nothing was changed.
        """
        async with self._turn(component):
            ledger = self.deployer.ledger
            live = ledger.live(component)
            if live is None:
                return None
            runs = self._runs(live)
            await ledger.take_down(live, reason=reason, stage=Stage.DRAINING)
            try:
                self.deployer.take_down(component, live)
                if not runs:  # nothing drains
                    await ledger.move(live, Stage.RETIRED, reason=reason)
            finally:
                self.changed()
        log.info("'%s' is out of service: %s", component, reason)
        return live

    async def restart(self, component: str, keep: Callable[[], Awaitable[None]]) -> Release:
        """Start the live release anew, losing no call; ``keep`` is called once it has passed its probe.

        Raises:
            EdgehostError: as for Deployer.restart; what ran runs on.
        """
        async with self._changing(component):
            running = await self.deployer.restart(component, keep)
        log.info("%s %s was started anew.", component, running.release.version)
        return running.release

    async def roll_back(self, component: str, reason: str) -> Release | None:
        """Bring the last good release back and quarantine the live one.

        Raises:
            NotFoundError: the component has no live release.
        """
        async with self._changing(component):
            restored = await roll_back(self.deployer, self.bus, component, reason=reason)
        if restored is None:
            log.warning(
                "'%s' is out of service: %s There was no good release to go back to.", component, reason
            )
        else:
            log.warning("'%s' is back at %s: %s", component, restored.version, reason)
        return restored

    async def lift_quarantine(self, digest: str) -> Release:
        """Let a quarantined release be tried again.

        Raises:
            NotFoundError: no release has this digest.
            ConflictError: it is not quarantined, or its file is gone from the shelf.
        """
        release = self.deployer.ledger.by_digest(digest)
        if release is None:
            raise NotFoundError(
                f"No release has the digest {digest[:64]}.", hint="'edgehost history' lists them."
            )
        async with self._turn(release.component):
            if release.stage is not Stage.QUARANTINED:
                raise ConflictError(
                    f"{release.component} {release.version} is {release.stage}, not quarantined."
                )
            return await self.deployer.ledger.move(
                release, Stage.SHELVED, reason="Its quarantine was lifted."
            )

    def drain_later(self, running: RunningRelease, before: Release | None) -> None:
        """Let a release that has been replaced finish its calls and end, while the host goes on."""
        self.spawn(self._drained(running, before), f"edgehost.drain.{running.release.component}")

    async def _promoted(self, candidate: Release, *, pinned: bool) -> Release:
        """What deploying a candidate comes to."""
        ground = Ground("operator", "It was deployed.", {})
        try:
            release = await self.traffic.promote(candidate.component, candidate.version, ground)
            return await self.deployer.ledger.pin(release, pinned=pinned)
        finally:
            self.changed()

    async def _drained(self, running: RunningRelease, before: Release | None) -> None:
        if not await running.pool.drain(self.drain_timeout_s):
            log.warning(
                "%s %s still had calls after %.0f s; they were ended.",
                running.release.component,
                running.release.version,
                self.drain_timeout_s,
            )
        await running.pool.close()
        async with self._turn(running.release.component):
            try:
                if before is not None:
                    known = self.deployer.ledger.by_digest(before.digest)
                    if known is not None and known.stage is Stage.DRAINING:
                        await self.deployer.ledger.move(known, Stage.RETIRED)
                await collect_shelf(self.deployer.shelf, self.deployer.ledger, keep_good=self.keep_good)
            except EdgehostError as error:
                log.warning("The shelf could not be tidied: %s", error)

    def _runs(self, release: Release) -> bool:
        return self.deployer.running.get(release.component) is not None

    @asynccontextmanager
    async def _changing(self, component: str) -> AsyncIterator[None]:
        """The component's turn; at its end whoever asked to hear of changes does, whatever came of it."""
        async with self._turn(component):
            try:
                yield
            finally:
                self.changed()

    def _turn(self, component: str) -> asyncio.Lock:
        return self._locks.setdefault(component, asyncio.Lock())
