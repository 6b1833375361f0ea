"""Take a release that misbehaved out of service, whether it is live or tried beside the live one."""

from __future__ import annotations

from edgehost.domain.errors import NotFoundError
from edgehost.usecases.direct_traffic import Ground
from edgehost.usecases.manage_components import ComponentManager


async def condemn_release(manager: ComponentManager, component: str, digest: str, reason: str) -> None:
    """Quarantine it, and bring back what was good before.

    Raises:
        NotFoundError: it does not run any more.
        StorageFullError: nothing was changed.
    """
    ledger = manager.deployer.ledger
    live = ledger.live(component)
    if live is not None and live.digest == digest:
        await manager.roll_back(component, reason)
        return
    for candidate in ledger.candidates(component):
        if candidate.digest == digest:
            await manager.stop_candidate(component, candidate.version, Ground("rule", reason, {}))
            return
    raise NotFoundError(f"{component} {digest[:12]} does not run any more.")  # another watch was faster
