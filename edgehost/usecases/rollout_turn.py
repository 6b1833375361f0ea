"""Whose turn it is: the question that a host asks before it begins with a deployment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from edgehost.domain.deployment import Deployment


@dataclass(frozen=True, slots=True)
class Turn:
    """Whether the host may begin now; the reason is shown while it may not."""

    go: bool
    reason: str = ""
    halt: bool = False  # not now, and not later either unless somebody resumes it


class RolloutTurn(Protocol):
    """Waves, windows, approvals and the components' consent. Whoever it is wakes the reconciler when it may differ."""

    async def may_begin(self, deployment: Deployment) -> Turn:
        """Whether this host may change something for the deployment now; asked until it may, then no more."""
        ...


class AtOnce:
    """The turn of a host that follows no rollout."""

    async def may_begin(self, _deployment: Deployment) -> Turn:
        """Always."""
        return _GO


_GO: Final = Turn(go=True)
