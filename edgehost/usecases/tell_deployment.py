"""What is told of a deployment's new state."""

from __future__ import annotations

from typing import Any

from edgehost.domain.deployment_events import (
    DeploymentEvent,
    DeploymentFailed,
    DeploymentMoved,
    DeploymentReached,
)
from edgehost.domain.deployment_life import HeldDeployment
from edgehost.domain.rollout_report import RolloutState


def fact_of(held: HeldDeployment, *, at: float) -> DeploymentEvent:
    """The fact that it is in the state that it is in; ``at`` in unix seconds."""
    deployment = held.deployment
    named: dict[str, Any] = {
        "at": at,
        "deployment": deployment.name,
        "sequence": deployment.sequence,
        "digest": deployment.digest,
        "reason": held.reason,
    }
    if held.state is RolloutState.SUCCESSFUL:
        return DeploymentReached(**named)
    if held.state is RolloutState.FAILED:
        return DeploymentFailed(**named)
    return DeploymentMoved(state=str(held.state), **named)
