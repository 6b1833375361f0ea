"""Run releases beside the live one, divide the calls between them, and end the trial either way."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

from edgehost.domain.candidate_fit import require_candidate
from edgehost.domain.errors import (
    ConflictError,
    EdgehostError,
    GuestError,
    IncompatibleReleaseError,
    NotFoundError,
    RefusedError,
)
from edgehost.domain.record_forms import Way
from edgehost.domain.release_life import Release, Stage
from edgehost.domain.traffic import DEFAULT_HEADER, Share, StickyKey, TrafficPlan, free_end
from edgehost.domain.traffic_events import CandidateDecided, TrafficChanged
from edgehost.ports.event_bus import EventBus
from edgehost.usecases.deploy_release import Deployer
from edgehost.usecases.running_components import RunningRelease
from edgehost.usecases.split_calls import Candidate, Spawn, SplitCalls


@dataclass(frozen=True, slots=True)
class Ground:
    """Why a trial ends: who decided, and on what."""

    by: str  # "rule" or "operator"
    reason: str
    figures: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TrafficDirector:
    """One component's trials; the manager calls it in the component's turn."""

    deployer: Deployer
    bus: EventBus
    spawn: Spawn  # owns the shadows' calls

    def split(self, component: str) -> SplitCalls | None:
        """How its calls are divided; None when all go to the live release."""
        split = self.deployer.running.split_of(component)
        return split if isinstance(split, SplitCalls) else None

    def candidate(self, component: str, version: str) -> Candidate:
        """The candidate of this version.

        Raises:
            NotFoundError: there is none.
        """
        members = self._members(component)
        for member in members:
            if member.running.release.version == version:
                return member
        known = ", ".join(member.running.release.version for member in members) or "none"
        raise NotFoundError(f"'{component}' has no candidate {version[:80]}.", hint=f"Candidates: {known}.")

    async def give(self, release: Release, share: Share) -> Release:
        """Run the release as a candidate with this share, or change the share that it has.

        Raises:
            NotFoundError: the component has no live release to run beside.
            RefusedError: the shares cannot be; nothing was changed.
            IncompatibleReleaseError: it cannot stand in for the live release; it stays on the shelf.
            EdgehostError: as for a deployment.
        """
        component = release.component
        main = self.deployer.running.require(component)
        if main.release.digest == release.digest:
            raise ConflictError(
                f"{component} {release.version} is the live release already.", hint="Name another version."
            )
        members = self._members(component)
        others = [each for each in members if each.running.release.digest != release.digest]
        before = next((each.share for each in members if each not in others), None)
        top = before.from_top if before and not before.shadow else free_end(each.share for each in others)
        share = replace(share, since=self.deployer.clock.now(), from_top=top and not share.shadow)
        shares = {
            each.running.release.digest: replace(each.share, sticky=share.sticky) for each in others
        } | {release.digest: share}
        TrafficPlan.of(component, shares)
        if before is not None:
            return await self._shared_out(main, members, shares, release.digest)
        async with AsyncExitStack() as undo:
            spec, wasm = await self.deployer.opened(release)
            require_candidate(main.spec, spec)
            way = await self.deployer.migrations.require_way(release, spec, main.release.version)
            if way is not Way.AS_THEY_ARE:
                raise IncompatibleReleaseError(
                    f"{component} {release.version} needs the records in another form than {main.release.version}.",
                    hint="Deploy it instead: 'edgehost deploy NAME@VERSION'.",
                )
            # One instance until calls come: a trial should cost a small board little.
            lean = replace(spec, limits=replace(spec.limits, instances_min=1))
            release, pool = await self.deployer.probed(release, lean, wasm)
            undo.push_async_callback(pool.close)
            running = RunningRelease(release, spec, pool, on_fault=self.deployer.on_fault)
            try:
                release = await self._shared_out(
                    main, (*members, Candidate(running, share)), shares, release.digest
                )
            except EdgehostError as error:
                await self.deployer.ledger.move(release, Stage.SHELVED, reason=error.message)
                raise
            undo.pop_all()
        return release

    async def promote(self, component: str, version: str, ground: Ground) -> Release:
        """Make the candidate the live release; the one before and other candidates drain.

        Raises:
            NotFoundError: there is no such candidate.
            ConflictError, StorageFullError: nothing was changed.
        """
        running = await self.deployer.take_over(self.candidate(component, version).running)
        self._told_decision("promote", running.release, ground)
        return running.release

    async def stop(self, component: str, version: str, ground: Ground) -> Release:
        """End the candidate and never try it again by itself; the live release has all of its calls back.

        Raises:
            NotFoundError: there is no such candidate.
            StorageFullError: nothing was changed.
        """
        stopped = self.candidate(component, version)
        release = await self.deployer.ledger.move(
            stopped.running.release, Stage.QUARANTINED, reason=ground.reason
        )
        self._route(component, tuple(each for each in self._members(component) if each is not stopped))
        self.deployer.drain_later(stopped.running, None)
        self._told_decision("stop", release, ground)
        return release

    async def retire(self, component: str, version: str, reason: str) -> Release:
        """End the candidate's trial without a verdict: it may be tried or deployed again.

        Raises:
            NotFoundError: there is no such candidate.
            StorageFullError: nothing was changed.
        """
        ended = self.candidate(component, version)
        release = await self.deployer.ledger.move(ended.running.release, Stage.DRAINING, reason=reason)
        self._route(component, tuple(each for each in self._members(component) if each is not ended))
        self.deployer.drain_later(ended.running, release)
        return release

    async def start_again(self, component: str) -> None:
        """Run what ran beside the live release when the host stopped, as far as it still can."""
        main = self.deployer.running.get(component)
        started: list[Candidate] = []
        for release in self.deployer.ledger.candidates(component):
            try:
                if main is None or release.share is None:
                    raise ConflictError(f"'{component}' has no live release.")
                spec, pool = await self.deployer.started_again(release)
                started.append(
                    Candidate(
                        RunningRelease(release, spec, pool, on_fault=self.deployer.on_fault), release.share
                    )
                )
                require_candidate(main.spec, spec)
            except EdgehostError as error:
                if started and started[-1].running.release is release:
                    await started.pop().running.pool.close()
                await self._left_out(release, error)
        self._route(component, tuple(started))

    async def _left_out(self, release: Release, error: EdgehostError) -> None:
        """What does not start is quarantined when it is to blame, and can be tried again when the machine is."""
        lost = isinstance(error, NotFoundError) and not await self.deployer.shelf.has(release.digest)
        blameless = lost or isinstance(
            error, IncompatibleReleaseError
        )  # what this host gives may have changed
        if isinstance(error, RefusedError | GuestError | NotFoundError) and not blameless:
            await self.deployer.ledger.move(release, Stage.QUARANTINED, reason=error.message)
            return
        draining = await self.deployer.ledger.move(release, Stage.DRAINING, reason=error.message)
        await self.deployer.ledger.move(draining, Stage.RETIRED, reason=error.message)

    async def _shared_out(
        self,
        main: RunningRelease,
        members: tuple[Candidate, ...],
        shares: Mapping[str, Share],
        digest: str,
    ) -> Release:
        releases = {release.digest: release for release in await self.deployer.ledger.share_out(shares)}
        for member in members:
            member.running.release = releases[member.running.release.digest]
        self._route(
            main.release.component,
            tuple(Candidate(each.running, shares[each.running.release.digest]) for each in members),
        )
        self.bus.publish(
            TrafficChanged(
                at=self.deployer.clock.now(),
                component=main.release.component,
                version=main.release.version,
                candidates=tuple(
                    {"version": each.version, "weight": each.share.weight, "shadow": each.share.shadow}
                    for each in releases.values()
                    if each.share is not None
                ),
            )
        )
        return releases[digest]

    def _members(self, component: str) -> tuple[Candidate, ...]:
        split = self.split(component)
        return () if split is None else split.members

    def _route(self, component: str, members: tuple[Candidate, ...]) -> None:
        main = self.deployer.running.get(component)
        if main is None:
            return
        split = SplitCalls(component, members, self.spawn) if members else None
        self.deployer.running.route(component, main, split)
        key = StickyKey() if split is None else split.plan.sticky
        self.deployer.routes.stick(component, key.name if key.kind == "header" else DEFAULT_HEADER)

    def _told_decision(self, decision: str, release: Release, ground: Ground) -> None:
        self.bus.publish(
            CandidateDecided(
                at=self.deployer.clock.now(),
                component=release.component,
                version=release.version,
                decision=decision,
                by=ground.by,
                reason=ground.reason,
                figures=ground.figures,
            )
        )
