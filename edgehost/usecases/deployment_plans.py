"""The plans for all components of a deployment, in the order in which they may be carried out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from edgehost.domain.deployment import Deployment, OnFailure, WantedComponent
from edgehost.domain.deployment_life import Before, HeldDeployment, owners, rank_of
from edgehost.domain.deployment_order import in_order
from edgehost.domain.deployment_plan import ComponentPlan, Standing, plan_component, plan_restore
from edgehost.domain.rollout_report import RolloutState
from edgehost.usecases.deployment_book import DeploymentBook
from edgehost.usecases.deployment_facts import HostFacts
from edgehost.usecases.deployment_firmware import FirmwareHands, NoBoards, plan_name

_WATCHED = frozenset({RolloutState.APPLYING, RolloutState.SOAKING})

#: The other hosts that a deployment is for, and that bridge a device of this name, as far as this host sees.
Elsewhere = Callable[[Deployment, str], Sequence[str]]


@dataclass(slots=True)
class DeploymentPlans:
    """Plans from the facts of this moment."""

    book: DeploymentBook
    facts: HostFacts
    firmware: FirmwareHands = field(default_factory=NoBoards)
    elsewhere: Elsewhere = lambda _deployment, _device: ()

    async def of(self, held: HeldDeployment) -> tuple[ComponentPlan, ...]:
        """What is left to do for each component, each after those that it comes after."""
        wanted = {each.name: each for each in held.deployment.components}
        order = in_order({name: each.after for name, each in wanted.items()})
        owner = self._owners(held)
        plans: dict[str, ComponentPlan] = {}
        for name in order:
            plan = await self._plan(held, wanted[name], owner[name])
            plans[name] = plan if goes_back(held, name) else _after(plan, wanted[name], plans)
        for device, firmware in held.deployment.firmware.items():
            plan = await self._firmware(held, device, firmware)
            plans[plan.component] = plan
        found = tuple(plans.values())
        return tuple(reversed(found)) if held.taking_back else found

    async def _firmware(self, held: HeldDeployment, device: str, wanted: str) -> ComponentPlan:
        name = plan_name(device)
        if (other := self._taker(held, device, wanted)) is not None:
            reason = f"{name} belongs to deployment '{other.deployment.name}' (priority {other.deployment.priority})."
            return ComponentPlan(name, Standing.TAKEN, reason)
        back = goes_back(held, name)
        if name in held.failed and not back:
            return ComponentPlan(name, Standing.FAILED, held.failed[name])
        bridged_here = back or self.firmware.bridges(device)
        if not bridged_here and (there := self.elsewhere(held.deployment, device)):
            more = f" and {len(there) - 1} more" if len(there) > 1 else ""
            return ComponentPlan(
                name, Standing.REACHED, f"It is a device of {there[0]}{more}, not of this host."
            )
        return await self.firmware.plan(held, device, wanted, back=back)

    def _taker(self, held: HeldDeployment, device: str, wanted: str) -> HeldDeployment | None:
        """Another deployment that brings the device the like, and comes first: a device has one image, one component."""
        kind = self.firmware.is_image(wanted)
        for other in self.book.current():
            theirs = other.deployment.firmware.get(device)
            if other.deployment.name == held.deployment.name or theirs is None:
                continue
            if self.firmware.is_image(theirs) == kind and rank_of(other) > rank_of(held):
                return other
        return None

    async def before(self, wanted: WantedComponent) -> Before:
        """What the component is now: what taking back goes to."""
        facts = await self.facts.of(wanted.name, wanted.versions)
        return Before(
            digest="" if facts.live is None else facts.live.digest,
            version="" if facts.live is None else facts.live.version,
            config=dict(facts.config),
            bindings={what: facts.bindings.get(what, "") for what in wanted.bindings},
            candidates=tuple(facts.candidates),
        )

    async def before_devices(self, held: HeldDeployment) -> dict[str, Before]:
        """What the devices that it names run now."""
        return {plan_name(device): await self.firmware.before(device) for device in held.deployment.firmware}

    def _owners(self, held: HeldDeployment) -> dict[str, HeldDeployment]:
        """Whose each component is, were this one to hold now."""
        name = held.deployment.name
        others = [each for each in self.book.current() if each.deployment.name != name]
        return owners([*others, held])

    async def _plan(
        self, held: HeldDeployment, wanted: WantedComponent, owner: HeldDeployment
    ) -> ComponentPlan:
        name = wanted.name
        if owner is not held:
            other = owner.deployment
            reason = f"{name} belongs to deployment '{other.name}' (priority {other.priority})."
            return ComponentPlan(name, Standing.TAKEN, reason)
        if held.state is RolloutState.FAILED:
            return ComponentPlan(name, Standing.FAILED, held.failed.get(name, held.reason))
        facts = await self.facts.of(name, wanted.versions)
        if goes_back(held, name):
            why = held.failed.get(name) or held.reason or "; ".join(held.failed.values())
            plan = plan_restore(name, held.before.get(name, Before()), facts, f"It is taken back: {why}")
            settled = plan.standing is Standing.REACHED or plan.standing is Standing.BLOCKED
            return replace(plan, standing=Standing.FAILED, reason=why) if settled else plan
        if name in held.failed:
            return ComponentPlan(name, Standing.FAILED, held.failed[name])
        if held.state in _WATCHED:
            for digest, release in self.facts.given_up(name).items():
                if digest not in held.given_up and wanted.present and wanted.versions.allows(release.version):
                    why = f"{release.version} is {release.stage}: {release.reason}"
                    return ComponentPlan(name, Standing.FAILED, why)
        return plan_component(wanted, facts, f"deployment {held.deployment.name}")


def goes_back(held: HeldDeployment, component: str) -> bool:
    """Whether the component is on its way to what it was."""
    if not held.begun:
        return False
    failed = component in held.failed and held.deployment.on_failure is not OnFailure.KEEP
    return held.taking_back or failed


def _after(plan: ComponentPlan, wanted: WantedComponent, plans: dict[str, ComponentPlan]) -> ComponentPlan:
    """The plan, if those that it comes after are where they should be."""
    if plan.standing is not Standing.CHANGING:
        return plan
    for name in wanted.after:
        if plans[name].standing is Standing.FAILED:
            return replace(plan, standing=Standing.FAILED, reason=f"It comes after {name}, which failed.")
        if plans[name].standing not in {Standing.REACHED, Standing.TAKEN}:
            reason = f"It comes after {name}, which is not there yet."
            return replace(plan, standing=Standing.BLOCKED, reason=reason)
    return plan
