"""How it is with a component now: what a plan is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from edgehost.domain.deployment_plan import Choice, ComponentFacts
from edgehost.domain.errors import EdgehostError, IncompatibleReleaseError
from edgehost.domain.offered_release import OfferedRelease
from edgehost.domain.release_life import Release, Stage
from edgehost.domain.version_range import VersionRange
from edgehost.usecases.component_config import ComponentConfigs
from edgehost.usecases.follow_remote import FollowRemote
from edgehost.usecases.manage_components import ComponentManager

#: Stages from which a release is not taken up again by itself.
GIVEN_UP: Final = frozenset({Stage.QUARANTINED, Stage.REJECTED})
_WAITING: Final = frozenset({Stage.SHELVED, Stage.RETIRED, Stage.CANDIDATE})


class BoundPorts(Protocol):
    """What deployments read and change of bindings."""

    def bound(self) -> Mapping[str, str]:
        """What operators and deployments bound."""
        ...

    def loose(self) -> frozenset[str]:
        """What is bound to something that is not here."""
        ...

    async def bind(self, what: str, target: str) -> None:
        """Bind it; an empty target takes that back.

        Raises:
            NotFoundError: one of the two is not here.
            StorageFullError: it could not be kept; nothing has changed.
        """
        ...


class NoPorts:
    """A host without ports."""

    def bound(self) -> Mapping[str, str]:
        """Nothing."""
        return {}

    def loose(self) -> frozenset[str]:
        """Nothing."""
        return frozenset()

    async def bind(self, what: str, target: str) -> None:
        """Nothing can be bound."""
        raise EdgehostError(f"'{what}' cannot be bound to '{target}': this host serves no ports.")


@dataclass(slots=True)
class HostFacts:
    """Ledger, shelf, the last good checks of the remotes, configuration and bindings."""

    manager: ComponentManager
    configs: ComponentConfigs
    ports: BoundPorts = field(default_factory=NoPorts)

    async def of(self, component: str, within: VersionRange) -> ComponentFacts:
        """How it is with a component; sequences are compared within the range that is wanted."""
        ledger = self.manager.deployer.ledger
        live = ledger.live(component)
        found: dict[str, Choice] = {}
        refused: dict[str, str] = {}
        for release in ledger.of(component):
            if release.stage in GIVEN_UP:
                refused[release.version] = f"It is {release.stage}: {release.reason}"
            elif release.stage in _WAITING and await self._is_here(release):
                found[release.digest] = _choice(release, here=True)
        for offer, follower in self.offers(component):
            known = ledger.by_digest(offer.digest)
            if offer.digest in found or (known is not None and known.stage in GIVEN_UP):
                continue
            try:
                if known is None:
                    follower.require_fitting(offer, within=within)
            except IncompatibleReleaseError as error:
                refused[offer.version] = error.message
            else:
                found[offer.digest] = _choice(offer, here=await self.manager.deployer.shelf.has(offer.digest))
        runs = self.manager.deployer.running.get(component) is not None
        down = (
            "" if live is None or runs else self.manager.restarts.down.get(component, "it is not started yet")
        )
        return ComponentFacts(
            live=None if live is None else _choice(live, here=True),
            down=down,
            pinned=live is not None and live.pinned,
            candidates={
                each.digest: each.share.weight
                for each in ledger.candidates(component)
                if each.share is not None and not each.share.shadow
            },
            choices=tuple(found.values()),
            refused=refused,
            config=self.configs.of(component, "" if live is None else live.digest),
            bindings=self.ports.bound(),
            loose=self.ports.loose(),
        )

    def offers(self, component: str) -> Sequence[tuple[OfferedRelease, FollowRemote]]:
        """What the last good checks of the remotes found of it, and whom to fetch it from."""
        return [
            (offer, follower)
            for follower in self.manager.followers
            for offer in follower.known
            if offer.component == component
        ]

    def given_up(self, component: str) -> Mapping[str, Release]:
        """Its releases that misbehaved here, by digest."""
        releases = self.manager.deployer.ledger.of(component)
        return {each.digest: each for each in releases if each.stage in GIVEN_UP}

    async def _is_here(self, release: Release) -> bool:
        return await self.manager.deployer.shelf.has(release.digest)


def _choice(release: Release | OfferedRelease, *, here: bool) -> Choice:
    return Choice(release.version, release.digest, release.sequence, here)
