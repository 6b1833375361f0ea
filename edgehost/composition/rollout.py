"""A host's part in rollouts: its turn, its gates, and what it shows of them."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from edgehost.composition.desired_state import DesiredState
from edgehost.composition.rooms import Rooms
from edgehost.domain.deployment import Deployment
from edgehost.usecases.condemn_release import condemn_release
from edgehost.usecases.follow_rollout import FleetRollout
from edgehost.usecases.manage_components import ComponentManager
from edgehost.usecases.take_deployments import HostWords
from edgehost.usecases.watch_soak import Consent, SoakWatch
from remotes.owned_tasks import Spawn, keep_running

if TYPE_CHECKING:
    from edgehost.composition.fleet import HostFleet


def start_deployments(
    rooms: Rooms, manager: ComponentManager, desired: DesiredState, fleet: HostFleet | None, spawn: Spawn
) -> None:
    """Let the host go where its deployments want it, each when it is its turn; before the fleet is started.

    Without a fleet there are windows, consent and gates; deployments in waves wait for a link, or for ``blind_after_s``.
    """
    settings = rooms.config.host

    rollout = FleetRollout(
        HostWords(settings.name, settings.device_class, settings.labels),
        desired.reconciler,
        SoakWatch(rooms.running),
        Consent(rooms.running),
        rooms.bus,
        rooms.clock,
        local=lambda: datetime.fromtimestamp(rooms.clock.now()).astimezone(),
        view=None if fleet is None else fleet.view(),
        reason_of=desired.view.reason,
        quarantine=partial(condemn_release, manager),
        failures=None if fleet is None else fleet.failures,
    )

    def wave(deployment: Deployment) -> int | None:
        return rollout.place(deployment).wave if len(deployment.rollout.waves) > 1 else None

    if fleet is not None:
        fleet.view().orders.held = desired.held
    desired.view.wave = wave
    desired.view.advice = rollout.advice
    desired.reconciler.turn = rollout
    desired.reconciler.plans.elsewhere = rollout.bridging
    keep_running(spawn, rollout.run, "edgehost.rollout")
    keep_running(spawn, desired.reconciler.run, "edgehost.deployments")
