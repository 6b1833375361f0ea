"""What this host knows of every release, in memory and on the shelf, and the only place where one moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from edgehost.domain.errors import NotFoundError
from edgehost.domain.events import ReleaseMoved
from edgehost.domain.release_life import KEPT_STAGES, Release, Stage
from edgehost.domain.traffic import Share
from edgehost.domain.version_range import VersionRange
from edgehost.ports.clock import Clock
from edgehost.ports.event_bus import EventBus
from edgehost.ports.release_shelf import ReleaseShelf

#: What a rollback may go back to.
_GOOD = frozenset({Stage.RETIRED, Stage.DRAINING, Stage.SHELVED})
#: Stages that a restart puts right by itself (``AFTER_RESTART``): writing them would only wear the disk.
_PASSING = frozenset({Stage.STAGED, Stage.PROBED, Stage.RETIRED})
_ACCEPTED = KEPT_STAGES - {Stage.QUARANTINED}


class ReleaseLedger:
    """The shelf's ledger, held in memory; a move that must outlive a restart is durable before it is told."""

    def __init__(self, shelf: ReleaseShelf, bus: EventBus, clock: Clock) -> None:
        self._shelf = shelf
        self._bus = bus
        self._clock = clock
        self._releases: dict[str, Release] = {}  # by digest, oldest first
        self._one_change = asyncio.Lock()  # a change is made from what is known, and known once it is durable
        self.beside: Callable[[], Iterable[str]] = tuple  # digests of what else the shelf must keep

    async def load(self) -> None:
        """Read the shelf's ledger; whatever was half-way when the host stopped is put right."""
        mended = []
        for release in await self._shelf.releases():
            found = release.after_restart()
            if found is not release:
                mended.append(found)
            self._releases[found.digest] = found
        if mended:
            await self._shelf.record(*mended)

    def all(self) -> tuple[Release, ...]:
        """Every release, oldest first."""
        return tuple(self._releases.values())

    def of(self, component: str) -> tuple[Release, ...]:
        """The releases of one component, oldest first."""
        return tuple(release for release in self._releases.values() if release.component == component)

    def by_digest(self, digest: str) -> Release | None:
        """The release with this digest."""
        return self._releases.get(digest)

    def live(self, component: str) -> Release | None:
        """The release that takes the traffic."""
        return next((release for release in self.of(component) if release.stage is Stage.LIVE), None)

    def live_components(self) -> tuple[str, ...]:
        """Every component that has a live release."""
        return tuple(release.component for release in self._releases.values() if release.stage is Stage.LIVE)

    def candidates(self, component: str) -> tuple[Release, ...]:
        """The releases that run beside the live one."""
        return tuple(release for release in self.of(component) if release.stage is Stage.CANDIDATE)

    def good(self, component: str) -> tuple[Release, ...]:
        """What a rollback may go back to: releases that were live, the latest first.

        One that a power cut caught on its way back is on the shelf again, and no worse for it.
        """
        good = [release for release in self.of(component) if release.stage in _GOOD and release.live_at]
        return tuple(sorted(good, key=lambda release: release.live_at, reverse=True))

    def newest_sequence(self, component: str, remote: str, *, within: VersionRange | None = None) -> int:
        """The largest sequence of this component that was accepted from the remote and did not misbehave; 0 for none.

        Each remote counts for itself: a mirror of the same repository is not a remote of its own.

        ``within`` leaves out versions that the operator does not want: who pins an older line may have it.
        """
        accepted = [
            release
            for release in self.of(component)
            if release.stage in _ACCEPTED and release.remote == remote
        ]
        return max((r.sequence for r in accepted if within is None or within.allows(r.version)), default=0)

    def named(self, component: str, version: str) -> Release:
        """The shelved release with this name and version, the latest publication of it.

        Raises:
            NotFoundError: there is none.
        """
        found = [release for release in self.of(component) if release.version == version]
        kept = [release for release in found if release.stage in KEPT_STAGES]
        if not kept:
            known = ", ".join(release.version for release in self.of(component)) or "none"
            raise NotFoundError(
                f"No release {component}@{version} is on this host's shelf.", hint=f"Known versions: {known}."
            )
        return max(kept, key=lambda release: release.sequence)

    async def add(self, release: Release) -> Release:
        """Enter a release, or renew what is known of it when the same file was published again.

        Raises:
            StorageFullError: the ledger cannot be written; nothing was changed.
        """
        async with self._one_change:
            known = self._releases.get(release.digest)
            if known is not None and known.stage in KEPT_STAGES:
                release = replace(
                    known, sequence=max(known.sequence, release.sequence), version=release.version
                )
                if release == known:
                    return known
            await self._write((replace(release, changed_at=self._clock.now()),), told=known is None)
            return self._releases[release.digest]

    async def move(self, release: Release, stage: Stage, *, reason: str = "") -> Release:
        """Move one release; returns it as it now is.

        Raises:
            ConflictError: the table has no such move.
            StorageFullError: the ledger cannot be written; nothing was changed.
        """
        async with self._one_change:
            moved = self._releases[release.digest].moved_to(stage, at=self._clock.now(), reason=reason)
            await self._write((moved,))
            return moved

    async def go_live(
        self,
        release: Release,
        *,
        before: Release | None,
        before_goes: Stage,
        reason: str,
        probation_until: float,
        pinned: bool = False,
    ) -> Release:
        """Make the release live and move the one before it and every candidate out of its way, in one write.

        Raises:
            ConflictError, StorageFullError: nothing was changed.
        """
        async with self._one_change:
            now = self._clock.now()
            live = self._releases[release.digest].moved_to(Stage.LIVE, at=now)
            moved = [replace(live, probation_until=probation_until, pinned=pinned, live_at=now)]
            if before is not None:
                moved.append(self._releases[before.digest].moved_to(before_goes, at=now, reason=reason))
            moved += self._without_candidates(release, at=now)
            if (
                before_goes is not Stage.SHELVED
            ):  # a stand-in does not end the wait for the release it stands in for
                moved += self._no_longer_awaited(release)
            await self._write(tuple(moved))
            return moved[0]

    async def take_down(self, release: Release, *, reason: str, stage: Stage = Stage.QUARANTINED) -> None:
        """Quarantine or shelve the live release when nothing takes its place; its candidates go with it.

        Raises:
            ConflictError, StorageFullError: nothing was changed.
        """
        async with self._one_change:
            now = self._clock.now()
            moved = self._releases[release.digest].moved_to(stage, at=now, reason=reason)
            await self._write((moved, *self._without_candidates(release, at=now)))

    async def share_out(self, shares: Mapping[str, Share]) -> tuple[Release, ...]:
        """Give the releases with these digests their shares, in one write; a probed one becomes a candidate.

        Raises:
            ConflictError, StorageFullError: nothing was changed.
        """
        async with self._one_change:
            now = self._clock.now()
            changed = []
            for digest, share in shares.items():
                release = self._releases[digest]
                if release.stage is not Stage.CANDIDATE:
                    release = release.moved_to(Stage.CANDIDATE, at=now)
                changed.append(replace(release, share=share))
            await self._write(tuple(changed))
            return tuple(changed)

    def awaited(self, component: str) -> Release | None:
        """The release that was live until its file was lost."""
        return next((release for release in self.of(component) if release.awaited), None)

    def _no_longer_awaited(self, main: Release) -> list[Release]:
        return [
            replace(release, awaited=False, pinned=False)
            for release in self.of(main.component)
            if release.awaited and release.digest != main.digest
        ]

    def _without_candidates(self, main: Release, *, at: float) -> list[Release]:
        return [
            candidate.moved_to(Stage.DRAINING, at=at, reason="Another release took over.")
            for candidate in self.candidates(main.component)
            if candidate.digest != main.digest
        ]

    async def pin(self, release: Release, *, pinned: bool) -> Release:
        """Note whether newer offers may replace this release by themselves."""
        async with self._one_change:
            known = self._releases[release.digest]
            changed = replace(known, pinned=pinned)
            if changed != known:
                await self._write((changed,), told=False)
            return changed

    async def end_probation(self, release: Release) -> Release:
        """Note durably that the release has proved itself."""
        async with self._one_change:
            changed = replace(self._releases[release.digest], probation_until=0.0)
            await self._write((changed,), told=False)
            return changed

    async def _write(self, releases: tuple[Release, ...], *, told: bool = True) -> None:
        lasting = [release for release in releases if release.stage not in _PASSING]
        if lasting:
            await self._shelf.record(*lasting)
        for release in releases:
            self._releases[release.digest] = release
            if told:
                self._bus.publish(
                    ReleaseMoved(
                        at=release.changed_at,
                        component=release.component,
                        version=release.version,
                        digest=release.digest,
                        stage=release.stage,
                        reason=release.reason,
                    )
                )

    async def forget(self, digests: Iterable[str]) -> None:
        """Drop what is known of these releases, for good."""
        async with self._one_change:
            digests = tuple(digests)
            await self._shelf.forget(digests)
            for digest in digests:
                self._releases.pop(digest, None)
