"""Counts the deployments that failed on this host by itself, over restarts, and says when it is set aside."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgehost.domain.deployment_life import HeldDeployment
from edgehost.domain.errors import RefusedError
from edgehost.domain.host_penalty import Failure, Penalty, PenaltyRule
from edgehost.domain.rollout_report import RolloutState
from edgehost.ports.clock import Clock
from edgehost.ports.fleet_link import TableStore
from edgehost.usecases.finding import finding

log = logging.getLogger("edgehost.rollout")


@dataclass(slots=True)
class FailureCount:
    """One for a host. ``changed`` is called when what it shows may differ."""

    store: TableStore
    clock: Clock
    rule: PenaltyRule
    changed: Callable[[], None] = lambda: None
    _penalty: Penalty = field(default_factory=Penalty)
    _shown: bool = False

    async def open(self) -> None:
        """Read what was kept; what cannot be read is nothing: it is only what was counted."""
        try:
            self._penalty = Penalty.from_document(await self.store.load())
        except (RefusedError, KeyError, TypeError, ValueError) as problem:
            log.warning("The count of failed deployments cannot be read and begins anew: %s", problem)
        self._shown = self.is_set_aside

    @property
    def is_set_aside(self) -> bool:
        """Whether rollouts count on this host no longer."""
        return self._penalty.is_set_aside(self.clock.now(), self.rule)

    async def note(self, held: HeldDeployment) -> None:
        """Count how it ended, if it has; again is no more.

        Raises:
            StorageFullError: it counts until the next restart.
        """
        after, deployment = self._penalty, held.deployment
        if held.state is RolloutState.SUCCESSFUL:
            after = after.with_success(held.since, self.rule)
        elif failed_by_itself(held):
            name, sequence, aside = deployment.name, deployment.sequence, self.is_set_aside
            after = after.with_failure(
                Failure(deployment.digest, name, sequence, held.since, held.reason, aside)
            )
        await self._become(after)

    async def clear(self) -> int:
        """Begin anew; how many failures were counted.

        Raises:
            StorageFullError: they come back with the next restart.
        """
        counted = len(self._penalty.counted(self.clock.now(), self.rule))
        await self._become(self._penalty.cleared(self.clock.now()))
        return counted

    def look(self) -> None:
        """Tell when time alone has changed it."""
        if self._shown != self.is_set_aside:
            self._shown = self.is_set_aside
            word = "is set aside by rollouts" if self._shown else "is no longer set aside by rollouts"
            log.warning("This host %s.", word)
            self.changed()

    def shown(self) -> Mapping[str, Any]:
        """For the others and for operators; empty while it is not set aside."""
        if not self.is_set_aside:
            return {}
        counted = self._penalty.counted(self.clock.now(), self.rule)
        return {
            "since": counted[self.rule.most - 1].at,
            # What set it aside is still to be heard: it may be the deployments' fault. What failed later is not.
            "failures": [
                {"deployment": each.deployment, "sequence": each.sequence, "reason": each.reason}
                for each in counted
                if not each.aside
            ],
        }

    def findings(self) -> Iterator[Mapping[str, Any]]:
        """For the host's doctor."""
        counted = self._penalty.counted(self.clock.now(), self.rule)
        if not counted:
            return
        names = ", ".join(f"{each.deployment} {each.sequence}" for each in counted[-self.rule.most or None :])
        if self.is_set_aside:
            yield finding(
                "rollouts",
                "failed",
                f"{len(counted)} deployments failed here ({names}): rollouts set this host aside.",
                "See why they failed; then 'edgehost fleet readmit --host' it, or let a deployment succeed.",
            )
        else:
            yield finding(
                "rollouts", "ok", f"{len(counted)} deployments failed here not long ago ({names}).", ""
            )

    async def _become(self, after: Penalty) -> None:
        if after != self._penalty:
            self._penalty = after
            self.look()
            await self.store.keep(after.as_document())


def failed_by_itself(held: HeldDeployment) -> bool:
    """Whether it failed here, and was not only given back for others or for an operator."""
    return held.state is RolloutState.FAILED and (bool(held.failed) or not held.taking_back)
