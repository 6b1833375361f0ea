"""What the remotes have of deployments, beside what this host has taken in of it: as of the last look, and no further."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from edgehost.ports.remote import Remote
from edgehost.usecases.keep_following import RemoteHealth
from edgehost.usecases.take_deployments import DeploymentIntake, newest_deployments


def offered_deployments(
    intake: DeploymentIntake, remotes: Iterable[Remote], healths: Iterable[RemoteHealth]
) -> Sequence[Mapping[str, Any]]:
    """Each remote with its state, the unix seconds of the last good look, and the newest deployment of each name there.

    ``taken_in`` is the sequence that this host has taken in, 0 for none; ``reason`` says why it is not the newest.
    """
    known = {remote.name: remote for remote in remotes}
    return [
        {
            "remote": health.name,
            "state": health.state,
            "reason": health.reason,
            "checked_at": health.checked_at,
            "deployments": [
                {
                    "deployment": document.name,
                    "sequence": document.sequence,
                    "taken_in": intake.taken_in(health.name, document.name),
                    "reason": intake.why_not(health.name, document),
                }
                for document in (newest_deployments(known[health.name]) if health.name in known else ())
            ],
        }
        for health in healths
    ]
