"""Keep up with a remote: check it, choose what this host should run, fetch that, and hand it on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import semver

from edgehost.domain.component_spec import Abi
from edgehost.domain.errors import EdgehostError, IncompatibleReleaseError, UnavailableError
from edgehost.domain.events import RemoteChecked, RemoteRefused
from edgehost.domain.offered_release import OfferedRelease, require_compatible
from edgehost.domain.release_life import Release, Stage
from edgehost.domain.traffic import Share
from edgehost.domain.version_range import VersionRange
from edgehost.ports.clock import Clock
from edgehost.ports.event_bus import EventBus
from edgehost.ports.release_shelf import ReleaseShelf
from edgehost.ports.remote import Remote
from edgehost.usecases.release_ledger import ReleaseLedger
from edgehost.usecases.shelve_offer import shelve_offer

#: Stages from which a release is not taken up again by itself.
_GIVEN_UP = frozenset({Stage.QUARANTINED, Stage.REJECTED})

#: Components fetched and started side by side: more would only share one line and one processor.
_AT_ONCE = 3


@dataclass(frozen=True, slots=True)
class Trial:
    """Which releases of a component are tried beside the live one first, and with what share."""

    versions: VersionRange
    share: Share


@dataclass(frozen=True, slots=True)
class Following:
    """What this host takes from a remote."""

    components: tuple[str, ...] = ("*",)
    versions: Mapping[str, VersionRange] = field(default_factory=dict)  # by component; others take any
    trials: Mapping[str, Trial] = field(default_factory=dict)  # by component
    priority: int = 0  # among remotes that offer the same component
    device_class: str = "generic"
    abis: frozenset[str] = frozenset(Abi)
    component_bytes: int = 8 * 1024 * 1024

    def wants(self, component: str) -> bool:
        """Whether releases of this component go live by themselves."""
        return "*" in self.components or component in self.components


class DesiredState(Protocol):
    """Deployments that this host has accepted; their components are not followed here."""

    def holds(self, component: str) -> bool:
        """Whether the component belongs to a deployment."""
        ...

    async def look_at(self, remote: Remote) -> int:
        """Accept what the remote has of new deployments; returns how many could not be fetched yet."""
        ...


class FollowRemote:
    """One remote's share of the host's components."""

    def __init__(
        self,
        remote: Remote,
        following: Following,
        *,
        shelf: ReleaseShelf,
        ledger: ReleaseLedger,
        bus: EventBus,
        clock: Clock,
        deploy: Callable[[Release], Awaitable[None]],
        try_out: Callable[[Release, Share], Awaitable[None]] | None = None,
        desired: DesiredState | None = None,
        outranked: Callable[[str], bool] = lambda _component: False,
    ) -> None:
        self._remote = remote
        self._outranked = outranked
        self._desired = desired
        self.known: tuple[OfferedRelease, ...] = ()  # what the last good check found
        self.following = following
        self._shelf = shelf
        self._ledger = ledger
        self._bus = bus
        self._clock = clock
        self._deploy = deploy
        self._try_out = try_out
        self.unfinished = 0  # releases that the last try could not bring live yet, and another may
        self._told: set[tuple[str, str]] = set()  # refusals already told, so that a poll does not repeat them

    async def catch_up(self) -> tuple[Release, ...]:
        """Refresh, choose, fetch and deploy what is new; returns what was handed to deployment.

        A component that cannot be fetched or deployed is reported as an event and blocks no other.

        Raises:
            UntrustedReleaseError, RemoteUnreachableError: the remote as a whole; what runs keeps running.
        """
        offers = await self.offers()
        self.unfinished = 0
        if self._desired is not None:
            self.unfinished = await self._desired.look_at(self._remote)
        handed_on: list[Release] = []
        at_once = asyncio.Semaphore(_AT_ONCE)

        async def take_up(offer: OfferedRelease) -> None:
            async with at_once:
                try:
                    release = await self.shelved(offer)
                    trial = self._trial(offer)
                    if trial is not None and self._try_out is not None:
                        await self._try_out(release, trial.share)
                    else:
                        await self._deploy(release)
                except EdgehostError as error:
                    self.unfinished += isinstance(error, UnavailableError)
                    self._tell(offer, error)
                else:
                    handed_on.append(release)

        async with asyncio.TaskGroup() as tasks:
            for offer in (*self.chosen(offers), *self.tried_out(offers)):
                tasks.create_task(take_up(offer), name=f"edgehost.deploy.{offer.component}")
        return tuple(handed_on)

    @property
    def remote(self) -> Remote:
        """The remote that is followed."""
        return self._remote

    async def offers(self) -> tuple[OfferedRelease, ...]:
        """What the remote offers now, whether this host wants it or not.

        Raises:
            UntrustedReleaseError, RemoteUnreachableError.
        """
        self.known = offers = await self._remote.refresh()
        self._bus.publish(RemoteChecked(at=self._clock.now(), remote=self._remote.name, targets=len(offers)))
        return offers

    async def unseen(self) -> tuple[str, ...]:
        """Digests of releases that this host would take and has never had; nothing is fetched.

        Raises:
            UntrustedReleaseError, RemoteUnreachableError.
        """
        wanted = self.chosen(await self.offers())
        return tuple(offer.digest for offer in wanted if self._ledger.by_digest(offer.digest) is None)

    def chosen(self, offers: Iterable[OfferedRelease]) -> tuple[OfferedRelease, ...]:
        """The one offer of each followed component that should run here and does not yet."""
        return self._best(offer for offer in offers if self._trial(offer) is None)

    def tried_out(self, offers: Iterable[OfferedRelease]) -> tuple[OfferedRelease, ...]:
        """The one offer of each component that is to be tried beside its live release."""
        return self._best(offer for offer in offers if self._trial(offer) is not None)

    def _best(self, offers: Iterable[OfferedRelease]) -> tuple[OfferedRelease, ...]:
        best: dict[str, OfferedRelease] = {}
        for offer in offers:
            if self._desired is not None and self._desired.holds(offer.component):
                continue
            awaited = self._ledger.awaited(offer.component)
            if awaited is not None and awaited.digest == offer.digest:
                best[offer.component] = self._preferred(offer, best.get(offer.component))
                continue
            if awaited is not None and awaited.pinned:
                continue
            if not self.following.wants(offer.component) or self._outranked(offer.component):
                continue
            if not self._fits(offer):
                continue
            best[offer.component] = self._preferred(offer, best.get(offer.component))
        return tuple(offer for offer in best.values() if self._is_news(offer))

    @staticmethod
    def _preferred(offer: OfferedRelease, rival: OfferedRelease | None) -> OfferedRelease:
        return offer if rival is None or rank(offer) > rank(rival) else rival

    def _trial(self, offer: OfferedRelease) -> Trial | None:
        """How the offer is tried; None when it goes live at once, as the first release of a component does."""
        trial = self.following.trials.get(offer.component)
        live = self._ledger.live(offer.component)
        awaited = self._ledger.awaited(offer.component)
        if awaited is not None and awaited.digest == offer.digest:
            return None
        if trial is None or live is None or not trial.versions.allows(offer.version):
            return None
        return trial if rank(offer) > rank(live) else None

    async def shelved(self, offer: OfferedRelease) -> Release:
        """The offered release on this host's shelf, fetched when it is not there.

        Raises:
            UntrustedReleaseError, RemoteUnreachableError, StorageFullError.
        """
        return await shelve_offer(
            offer,
            remote=self._remote,
            shelf=self._shelf,
            ledger=self._ledger,
            bus=self._bus,
            clock=self._clock,
        )

    def offers_component(self, component: str) -> bool:
        """Whether the last good check found a release of it that this remote may bring."""
        return self.following.wants(component) and any(offer.component == component for offer in self.known)

    def require_fitting(
        self, offer: OfferedRelease, *, by_name: bool = False, within: VersionRange | None = None
    ) -> None:
        """Check that the offered release is for this host; an operator who names a version may have an older one.

        ``within`` is the range that holds in place of the configuration's.

        Raises:
            IncompatibleReleaseError: device class, ABI, size or sequence does not fit.
        """
        wanted = within or self.following.versions.get(offer.component)
        require_compatible(
            offer,
            device_class=self.following.device_class,
            abis=self.following.abis,
            newest_sequence=0
            if by_name
            else self._ledger.newest_sequence(offer.component, self._remote.name, within=wanted),
            most_bytes=self.following.component_bytes,
        )

    def _fits(self, offer: OfferedRelease) -> bool:
        wanted = self.following.versions.get(offer.component)
        if wanted is not None and not wanted.allows(offer.version):
            return False
        known = self._ledger.by_digest(offer.digest)
        if known is not None:
            return known.stage not in _GIVEN_UP
        try:
            self.require_fitting(offer)
        except IncompatibleReleaseError as error:
            self._tell(offer, error)
            return False
        return True

    def _is_news(self, offer: OfferedRelease) -> bool:
        live = self._ledger.live(offer.component)
        if live is None:
            return True
        # While versions are compared the live one stays, or the figures would be of different things.
        on_trial = self._ledger.candidates(offer.component)
        return not (live.pinned or live.digest == offer.digest or on_trial)

    def _tell(self, offer: OfferedRelease, error: EdgehostError) -> None:
        if (offer.digest, error.code) in self._told:
            return
        self._told.add((offer.digest, error.code))
        self._bus.publish(
            RemoteRefused(at=self._clock.now(), remote=self._remote.name, code=error.code, reason=str(error))
        )


def rank(release: OfferedRelease | Release) -> tuple[semver.Version, int]:
    """The order in which a host prefers releases: the higher version, then the later publication."""
    return semver.Version.parse(release.version), release.sequence
