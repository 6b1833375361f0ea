"""The upstream systems of a host. Without a table nothing is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgehost.composition.agent_life import AgentLife
from edgehost.composition.rooms import Rooms
from edgehost.usecases.control_host import ControlHost
from remotes.owned_tasks import Spawn

if TYPE_CHECKING:
    from edgehost.usecases.deploy_to_device import DeployToDevice


async def start_upstreams(
    rooms: Rooms, control: ControlHost, deployer: DeployToDevice | None, life: AgentLife | None, spawn: Spawn
) -> None:
    """Show the host and its devices to every system of the configuration."""
    if not rooms.config.upstream:
        return
    from edgehost.composition.upstream_systems import start_systems  # noqa: PLC0415 - where it is configured

    await start_systems(rooms, control, deployer, life, spawn)
