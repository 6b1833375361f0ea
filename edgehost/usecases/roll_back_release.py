"""Bring back the release that was good before, and never try the bad one again ([swap-2])."""

from __future__ import annotations

from edgehost.domain.errors import EdgehostError, NotFoundError
from edgehost.domain.events import ReleaseRolledBack
from edgehost.domain.release_life import Release, Stage
from edgehost.ports.event_bus import EventBus
from edgehost.usecases.deploy_release import Aftermath, Deployer


async def roll_back(
    deployer: Deployer, bus: EventBus, component: str, *, reason: str, stage: Stage = Stage.QUARANTINED
) -> Release | None:
    """Quarantine the live release and bring back the latest good one; None when there was no good one.

    Without a good one the component is taken out of service: a release that misbehaves must not stay. One that
    is not to blame goes back to the shelf (``stage``), to go live again later.

    Raises:
        NotFoundError: the component has no live release.
        StorageFullError: the ledger cannot be written; the release stays live.
    """
    ledger = deployer.ledger
    bad = ledger.live(component)
    if bad is None:
        raise NotFoundError(f"'{component}' has no live release to roll back.")
    restored = await _restored(deployer, component, Aftermath(stage, reason))
    if restored is None:
        await ledger.take_down(bad, reason=reason, stage=stage)
        deployer.take_down(component)
    bus.publish(
        ReleaseRolledBack(
            at=deployer.clock.now(),
            component=component,
            version=bad.version,
            to_version="" if restored is None else restored.version,
            reason=reason,
        )
    )
    return restored


async def _restored(deployer: Deployer, component: str, after: Aftermath) -> Release | None:
    for candidate in deployer.ledger.good(component):
        if not await deployer.shelf.has(candidate.digest):
            continue
        try:
            return (await deployer.deploy(candidate, after=after)).release
        except EdgehostError:
            # It is quarantined or back on the shelf, told as an event with its reason; the next one may do.
            continue
    return None
