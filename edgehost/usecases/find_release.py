"""Find what an operator names, on the shelf or at a remote, and have it on the shelf."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from edgehost.domain.errors import EdgehostError, NotFoundError
from edgehost.domain.offered_release import OfferedRelease
from edgehost.domain.release_life import Release, Stage
from edgehost.domain.version_range import VersionRange
from edgehost.usecases.deploy_release import Deployer
from edgehost.usecases.follow_remote import FollowRemote, rank

#: What goes live when nobody names a version.
_WAITING: Final = frozenset({Stage.SHELVED, Stage.RETIRED})
_GIVEN_UP: Final = frozenset({Stage.QUARANTINED, Stage.REJECTED})


async def named_release(
    deployer: Deployer, followers: Sequence[FollowRemote], component: str, version: str
) -> Release:
    """The latest publication of this version.

    Raises:
        NotFoundError: neither shelf nor remotes have it.
        EdgehostError: it could not be fetched.
    """
    try:
        release = deployer.ledger.named(component, version)
    except NotFoundError:
        release = None
    problem: EdgehostError | None = None
    fetched = False
    for follower in followers:
        try:
            offers = [
                offer
                for offer in await follower.offers()
                if (offer.component, offer.version) == (component, version)
            ]
            if offers:
                best = max(offers, key=rank)
                follower.require_fitting(best, by_name=True)
                release, fetched = await follower.shelved(best), True
        except EdgehostError as error:
            problem = error
    if release is not None and (fetched or await _can_be_had(deployer, release)):
        return release
    if problem is not None:
        raise problem
    if release is not None:
        raise NotFoundError(
            f"{component} {version} is no longer on the shelf, and no remote offers it any more.",
            hint="Publish it again, or deploy another version: 'edgehost history' lists them.",
        )
    raise NotFoundError(f"No release {component}@{version} is on the shelf or offered by a remote.")


async def newest_release(
    deployer: Deployer, followers: Sequence[FollowRemote], component: str, within: VersionRange
) -> Release:
    """The newest release that the configuration wants and that has not misbehaved here.

    Raises:
        NotFoundError: there is none.
        EdgehostError: it could not be fetched.
    """
    ledger = deployer.ledger
    waiting = [
        release
        for release in ledger.of(component)
        if within.allows(release.version)
        and (
            release.stage is Stage.LIVE
            or (release.stage in _WAITING and await deployer.shelf.has(release.digest))
        )
    ]
    release = max(waiting, key=rank, default=None)
    problem: EdgehostError | None = None
    unwanted: list[OfferedRelease] = []
    given_up: list[Release] = []
    for follower in followers:
        try:
            offers = [offer for offer in await follower.offers() if offer.component == component]
            unwanted += [offer for offer in offers if not within.allows(offer.version)]
            known = {offer.digest: ledger.by_digest(offer.digest) for offer in offers}
            bad = [each for each in known.values() if each is not None and each.stage in _GIVEN_UP]
            given_up += bad
            wanted = [
                offer for offer in offers if within.allows(offer.version) and known[offer.digest] not in bad
            ]
            best = max(wanted, key=rank, default=None)
            if best is not None and (release is None or rank(best) > rank(release)):
                follower.require_fitting(best)
                release = await follower.shelved(best)
        except EdgehostError as error:
            problem = error
    if release is not None:
        return release
    raise problem or _nothing_wanted(component, within, unwanted, given_up)


async def _can_be_had(deployer: Deployer, release: Release) -> bool:
    """Whether its file is here, or another answer than "it is not here" is due."""
    return release.stage not in _WAITING or await deployer.shelf.has(release.digest)


def _nothing_wanted(
    component: str, within: VersionRange, unwanted: Sequence[OfferedRelease], given_up: Sequence[Release]
) -> NotFoundError:
    if unwanted:
        best = max(unwanted, key=rank)
        return NotFoundError(
            f"Remote '{best.remote}' offers {best.version}, "
            f"but components.{component}.version is '{within.text}'.",
            hint=f"Change the configuration, or name it: 'edgehost deploy {component}@{best.version}'.",
        )
    if given_up:
        bad = max(given_up, key=rank)
        return NotFoundError(
            f"{component} {bad.version} is {bad.stage}, and nothing else of it is offered: {bad.reason}",
            hint="Publish a mended release, or lift it with 'edgehost deploy NAME@VERSION --lift-quarantine'.",
        )
    return NotFoundError(f"No release of '{component}' is on the shelf or offered by a remote.")
