"""What an operator sees of deployments: what is held, how it stands, and what would change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from edgehost.domain.deployment import Deployment
from edgehost.domain.deployment_life import HeldDeployment
from edgehost.domain.deployment_plan import ComponentPlan, Standing
from edgehost.domain.deployment_reader import read_signed_deployment, signed_bytes
from edgehost.domain.errors import InvalidSpecificationError
from edgehost.domain.rollout_report import RolloutState
from edgehost.usecases.reconcile_deployment import DeploymentReconciler
from edgehost.usecases.take_deployments import HostWords

_SETTLED: Final = frozenset({Standing.REACHED, Standing.TAKEN})


@dataclass(slots=True)
class DeploymentsView:
    """Answers are ready for JSON."""

    reconciler: DeploymentReconciler
    host: HostWords
    wave: Callable[[Deployment], int | None] = lambda _deployment: None  # this host's, of those in waves
    offered: Callable[[], Sequence[Mapping[str, Any]]] = tuple  # what the remotes have, as of the last look
    advice: Callable[[Deployment], str] = lambda _deployment: ""  # what to do about one that waits

    def rows(self) -> Mapping[str, Mapping[str, Any]]:
        """One line for each name, for ``status``; what waits is in front of what holds."""
        return {name: self._row(page[-1]) for name, page in self._pages()}

    def hints(self) -> Mapping[str, str]:
        """What an operator can do, by name, about a wait that does not end by itself."""
        return {name: hint for name, page in self._pages() if (hint := self.hint(page[-1]))}

    def hint(self, held: HeldDeployment) -> str:
        """What an operator can do about it; "" when there is nothing."""
        return "" if held.begun or held.state is RolloutState.HALTED else self.advice(held.deployment)

    def all(self) -> Sequence[Mapping[str, Any]]:
        """Everything that is held, with the standing of each component."""
        return [
            {
                **self._row(held),
                "digest": held.deployment.digest,
                "remote": held.remote,
                "accepted_at": held.accepted_at,
                "priority": held.deployment.priority,
                "on_failure": str(held.deployment.on_failure),
                "note": held.deployment.note,
                "hint": self.hint(held),
                "components": [
                    self._component(plan)
                    for plan in self.reconciler.standing.get(name, ())
                    if held is page[0]
                ],
            }
            for name, page in self._pages()
            for held in page
        ]

    async def plan(self, document: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """What would change now; of a document, were it signed as the next of its name and had its turn.

        Raises:
            InvalidSpecificationError: the document is none that a host would follow.
        """
        if document is None:
            held = [page[-1] for _, page in self._pages()]
            planned = [await self._planned(each) for each in held]
            return {"deployments": planned, "remotes": list(self.offered())}
        deployed = await self._planned(self._proposed(document))
        if deployed["for_this_host"]:  # for what the one before it waits says nothing of it
            deployed["reason"] = ""
        return {"deployments": [deployed]}

    def _proposed(self, document: Mapping[str, Any]) -> HeldDeployment:
        name = document.get("name")
        if not isinstance(name, str):
            raise InvalidSpecificationError("name is missing.", hint="Add 'name = ...'.")
        sequence = self.reconciler.book.page(name).floor + 1
        content = signed_bytes(document, sequence)
        deployment = read_signed_deployment(content, name=name, sequence=sequence)
        return HeldDeployment(deployment, content, "", accepted_at=self.reconciler.clock.now())

    async def _planned(self, held: HeldDeployment) -> dict[str, Any]:
        deployment = held.deployment
        ours = self.host.are_among(deployment.hosts)
        plans = await self.reconciler.plans.of(held) if ours else ()
        return {
            "deployment": deployment.name,
            "sequence": deployment.sequence,
            "state": str(held.state),
            "for_this_host": ours,
            "reason": self.reason(held) if ours else "This host is not among those that it is for.",
            "changes": sum(len(plan.steps) for plan in plans),
            "components": [_plan_document(plan) for plan in plans],
        }

    def _row(self, held: HeldDeployment) -> dict[str, Any]:
        wave = self.wave(held.deployment)
        return {
            "deployment": held.deployment.name,
            "sequence": held.deployment.sequence,
            "state": str(held.state),
            "since": held.since,
            "reason": self.reason(held),
            **({} if wave is None else {"wave": wave}),
        }

    def _pages(self) -> list[tuple[str, tuple[HeldDeployment, ...]]]:
        return [(name, page.all) for name, page in sorted(self.reconciler.book.pages().items()) if page.all]

    def reason(self, held: HeldDeployment) -> str:
        """Why it stands where it does, for people; what waits says for what."""
        if held.reason:
            return held.reason
        if not held.begun:
            return self.reconciler.reasons.get(held.deployment.name, "")
        plans = self.reconciler.standing.get(held.deployment.name, ())
        unsettled = [plan for plan in plans if plan.standing not in _SETTLED]
        return f"{unsettled[0].component}: {self.reconciler.work.reason(unsettled[0])}" if unsettled else ""

    def _component(self, plan: ComponentPlan) -> Mapping[str, Any]:
        return {
            "component": plan.component,
            "standing": str(plan.standing),
            "version": "" if plan.target is None else plan.target.version,
            "reason": self.reconciler.work.reason(plan),
        }


def _plan_document(plan: ComponentPlan) -> Mapping[str, Any]:
    return {
        "component": plan.component,
        "standing": str(plan.standing),
        "reason": plan.reason,
        "steps": [
            {"action": str(step.action), "what": step.what, "reason": step.reason} for step in plan.steps
        ],
    }
