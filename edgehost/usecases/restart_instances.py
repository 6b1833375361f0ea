"""Replace a component's instances by fresh ones of the same releases; calls in flight finish on the old ones."""

from __future__ import annotations

from edgehost.domain.errors import NotFoundError
from edgehost.domain.release_life import Release
from edgehost.usecases.manage_components import ComponentManager


async def restart_instances(manager: ComponentManager, component: str) -> Release:
    """Start new instances, send the calls there, and let the old ones finish.

    Raises:
        NotFoundError: the component has no live release.
        EdgehostError: new instances do not start; the old ones run on.
    """
    deployer = manager.deployer
    async with manager.restarts.turn(component):
        live = deployer.ledger.live(component)
        if live is None:
            raise NotFoundError(f"'{component}' has no live release to restart.")
        split = deployer.running.split_of(component)
        replaced = (deployer.running.get(component), *(() if split is None else split.candidates))
        running = await deployer.start_live(live)
        try:
            await manager.traffic.start_again(component)
        finally:
            for each in replaced:
                if each is not None:
                    manager.drain_later(each, None)
            manager.changed()
    return running.release
