"""The components that a deployment wants on devices: planned from what devices say, prepared in their spare slots.

``[firmware] lamp = "device-blink@^1.0"`` names the device and a component that is signed for devices. Prepared means
that the component is in the spare slot; switching is one short request then, and taking back is the device's own
rollback to the release before. What is a firmware image goes to ``ImageHands``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import semver

from edgehost.domain.deployment_life import Before, HeldDeployment
from edgehost.domain.deployment_plan import Action, Choice, ComponentPlan, Standing, Step
from edgehost.domain.device import DeviceRelease, DeviceState
from edgehost.domain.errors import ConflictError, NotFoundError, RefusedError
from edgehost.domain.version_range import VersionRange
from edgehost.usecases.bridge_device import Devices
from edgehost.usecases.deploy_images import ImageHands
from edgehost.usecases.deploy_to_device import DeployToDevice, DeviceOffer
from edgehost.usecases.deployment_firmware import device_of, plan_name
from edgehost.usecases.device_conduct import DeviceConduct

_BACK = "back to"
#: Devices that are named in a reason.
_NAMED = 8


@dataclass(slots=True)
class DeviceHands:
    """Meets FirmwareHands for the devices that this host bridges."""

    devices: Devices
    deployer: DeployToDevice
    images: ImageHands
    conduct: DeviceConduct = field(default_factory=DeviceConduct)

    async def before(self, device: str) -> Before:
        """What the device runs now: what taking back goes to."""
        running, image = self._running(device), self.images.flash.running(device)
        return Before(
            digest="" if running is None else running.digest,
            version="" if running is None else running.version,
            firmware="" if image is None else image.digest,
            firmware_version=self.images.version(device),
        )

    def is_image(self, wanted: str) -> bool:
        """Whether firmware of this name is on offer, or was brought to a device here."""
        return self.images.offers.knows(wanted.partition("@")[0])

    def bridges(self, device: str) -> bool:
        """Whether this host has such a device."""
        return device in self.devices.known

    def _unknown(self, device: str) -> str:
        names = sorted(self.devices.known)
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        there = f"there {'is' if len(names) == 1 else 'are'} {', '.join(names[:_NAMED])}{more}"
        return f"There is no device '{device}' here; {there}."

    async def plan(self, held: HeldDeployment, device: str, wanted: str, *, back: bool) -> ComponentPlan:
        """What is left to do for a device that should run ``NAME@RANGE``, or that goes back to what it ran."""
        name = plan_name(device)
        if not self.bridges(device):
            if back:  # nothing was done there
                return ComponentPlan(name, Standing.REACHED, "This host bridges no such device.")
            return ComponentPlan(name, Standing.BLOCKED, self._unknown(device))
        state = self.devices.get(device).state
        if self.is_image(wanted):
            return self.images.plan(held, state, wanted, back=back)
        return _plan_back(held, name, state) if back else self._plan(held, device, wanted, state)

    def _plan(self, held: HeldDeployment, device: str, wanted: str, state: DeviceState) -> ComponentPlan:
        name = plan_name(device)
        component, _, versions = wanted.partition("@")
        within, running = VersionRange.parse(versions), self._running(device)
        offer = self.deployer.best_known(component, within)
        if running is not None and running.component == component and _is_best(running, within, offer):
            return self._conduct(held, name, state, running)
        if not state.online:
            return ComponentPlan(name, Standing.BLOCKED, f"It is offline: {state.reason}")
        if offer is None:
            reason = (
                f"No remote offers {component} {versions} for devices, as a component or as a firmware image."
            )
            return ComponentPlan(name, Standing.BLOCKED, reason)
        try:
            self.deployer.require_offer_fits(device, offer)
        except RefusedError as error:
            return ComponentPlan(name, Standing.FAILED, error.message)
        return _plan_forth(name, offer, running, held)

    async def prepare(self, plan: ComponentPlan) -> None:
        """Bring the component into the device's spare slot, or the image to the shelf.

        Raises:
            EdgehostError: it does not fit, or the device does not answer now.
        """
        if self._brings_image(plan):
            await self.images.prepare(plan)
        elif plan.target is not None and plan.does(Action.FLASH):
            await self.deployer.prepare(device_of(plan.component), self._offer(plan.target))

    async def carry_out(self, plan: ComponentPlan) -> None:
        """Switch, after what is missing in the spare slot was sent; or let the device go back.

        Raises:
            EdgehostError: it could not be done; RefusedError when trying again would not help.
        """
        if self._brings_image(plan):
            await self.images.carry_out(plan)
            return
        device = device_of(plan.component)
        if plan.target is None:
            if plan.does(Action.FLASH):
                await self.deployer.roll_back(device)
            return
        offer = self._offer(plan.target)
        try:
            await self.deployer.prepare(device, offer)
        except ConflictError:  # it runs already
            return
        await self.deployer.commit(device, offer)
        self.conduct.began(device, plan.target.digest, self.devices.get(device).state)

    def _running(self, device: str) -> DeviceRelease | None:
        known = self.devices.known.get(device)
        slots = None if known is None else known.state.slots
        return None if slots is None else slots.running

    def _offer(self, target: Choice) -> DeviceOffer:
        offer = self.deployer.known_by_digest(target.digest)
        if offer is None:
            raise NotFoundError(f"No remote offers {target.version} any more.")
        return offer

    def _brings_image(self, plan: ComponentPlan) -> bool:
        return plan.target is not None and self.images.offers.image(plan.target.digest) is not None

    def _conduct(
        self, held: HeldDeployment, name: str, state: DeviceState, running: DeviceRelease
    ) -> ComponentPlan:
        """It runs; whether it fails more of its calls than the deployment allows."""
        gates = held.deployment.rollout.gates
        if fault := self.conduct.fault(state.name, running.digest, state, gates):
            return ComponentPlan(name, Standing.FAILED, fault)
        if not state.online:
            return ComponentPlan(name, Standing.BLOCKED, f"It is offline: {state.reason}")
        return ComponentPlan(name, Standing.REACHED)


def _is_best(running: DeviceRelease, within: VersionRange, offer: DeviceOffer | None) -> bool:
    """Whether it fits, and nothing newer is offered; a version that was withdrawn stays."""
    if not semver.Version.is_valid(running.version) or not within.allows(running.version):
        return False
    if offer is None or offer.release.digest == running.digest:
        return True
    return semver.Version.parse(running.version) > semver.Version.parse(offer.release.version)


def _plan_forth(
    name: str, offer: DeviceOffer, running: DeviceRelease | None, held: HeldDeployment
) -> ComponentPlan:
    release = offer.release
    now = "nothing runs there." if running is None else f"{running.component} {running.version} runs there."
    reason = f"deployment {held.deployment.name} wants {offer.label}; {now}"
    return ComponentPlan(
        name,
        Standing.CHANGING,
        reason,
        (Step(Action.FLASH, offer.label, reason),),
        target=Choice(release.version, release.digest, release.sequence, here=False),
    )


def _plan_back(held: HeldDeployment, name: str, state: DeviceState) -> ComponentPlan:
    why = held.failed.get(name) or held.reason or "; ".join(held.failed.values())
    before = held.before.get(name)
    slots = state.slots
    running = "" if slots is None or slots.running is None else slots.running.digest
    if before is None or running == before.digest:
        return ComponentPlan(name, Standing.FAILED, why)
    if not state.online:
        return ComponentPlan(name, Standing.BLOCKED, f"It is offline: {state.reason}")
    if slots is None or not slots.can_roll_back or not before.digest:
        there = before.version or "running nothing"
        return ComponentPlan(
            name, Standing.FAILED, f"It cannot go back to {there}: the device has no release before."
        )
    step = Step(Action.FLASH, f"{_BACK} {before.version}", f"It is taken back: {why}")
    return ComponentPlan(name, Standing.CHANGING, step.reason, (step,))
