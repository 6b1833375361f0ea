"""The firmware images that a deployment wants on devices: planned from what devices say and what this host brought there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import semver

from edgehost.domain.deployment_life import HeldDeployment
from edgehost.domain.deployment_plan import Action, Choice, ComponentPlan, Standing, Step
from edgehost.domain.device import DeviceState
from edgehost.domain.device_firmware import FirmwarePage, FlashStage, FlashUnderWay, KnownImage
from edgehost.domain.errors import NotFoundError
from edgehost.domain.rollout_report import RolloutState
from edgehost.domain.version_range import VersionRange
from edgehost.usecases.deployment_firmware import device_of, plan_name
from edgehost.usecases.device_conduct import DeviceConduct
from edgehost.usecases.firmware_offers import FirmwareOffers
from edgehost.usecases.flash_device import FlashDevice

_WATCHED: Final = frozenset({RolloutState.APPLYING, RolloutState.SOAKING})
_DOING: Final = {
    FlashStage.WRITING: "is being written",
    FlashStage.TRYING: "is written; the device must come back",
    FlashStage.RESTORING: "is brought back",
    FlashStage.RETURNING: "is brought back; the device must come back",
}


@dataclass(slots=True)
class ImageHands:
    """Plans and carries out what deployments want of devices' firmware."""

    flash: FlashDevice
    offers: FirmwareOffers
    wake: Callable[[], None] = lambda: None  # the reconciler, where time alone makes a difference
    conduct: DeviceConduct = field(default_factory=DeviceConduct)
    _alarms: dict[str, asyncio.TimerHandle] = field(default_factory=dict)  # by device

    def plan(self, held: HeldDeployment, state: DeviceState, wanted: str, *, back: bool) -> ComponentPlan:
        """What is left to do for a device that should run ``NAME@RANGE``, or that goes back to what it ran."""
        device = state.name
        page, name = self.flash.book.page(device), plan_name(device)
        if page.under_way is not None:
            return _going_on(held, name, page.under_way)
        if back:
            return self._plan_back(held, name, page, device)
        firmware, _, versions = wanted.partition("@")
        within, running = VersionRange.parse(versions), self.flash.running(device)
        version = self.version(device)
        board = self._board(device)
        offers = self.offers.of(firmware, page, board)
        best = next((each for each in offers if within.allows(each.version)), None)
        if _is_there(running, version, firmware, within, best):
            return self._conducted(held, name, state, running, version)
        if best is None:
            return self._nothing_fits(name, firmware, within, board)
        return self._obstacle(held, page, state, best) or self._plan_forth(held, name, best, version)

    def version(self, device: str) -> str:
        """What the device says that it runs, else what this host saw there last; "" when neither."""
        running = self.flash.running(device)
        return self.flash.version(device) or ("" if running is None else running.version)

    async def prepare(self, plan: ComponentPlan) -> None:
        """Fetch the image, check it against the board, and keep it on the shelf.

        Raises:
            EdgehostError: it does not fit, or cannot be had now.
        """
        if plan.target is not None:
            await self.flash.prepare(device_of(plan.component), self._required(plan.target))

    async def carry_out(self, plan: ComponentPlan) -> None:
        """Flash it, and see the device come back with it.

        Raises:
            RefusedError: it did not, and what ran before is back, or the reason says what is there.
            EdgehostError: not now.
        """
        if plan.target is None:
            return
        device = device_of(plan.component)
        failed = plan.stop[0] if plan.stop else ""
        await self.flash.run(device, self._required(plan.target), plan.deployment, failed=failed)
        known = self.flash.writer.devices.known.get(device)
        if known is not None:
            self.conduct.began(device, plan.target.digest, known.state)

    def _plan_forth(self, held: HeldDeployment, name: str, image: KnownImage, version: str) -> ComponentPlan:
        device = device_of(name)
        there = f"{version} runs there." if version else "nothing answers there."
        reason = f"deployment {held.deployment.name} wants {image.label}; {there}"
        if self.flash.running(device) is None:
            reason += (
                " This host does not have the image that is there: if the new one fails it stays where it answers, "
                "and otherwise the board needs a person."
            )
            reason += f" {self.flash.writer.recovery(device)}".rstrip()
        step = Step(Action.FLASH, f"{image.name} {version or 'unknown'} to {image.version}", reason)
        return _changing(held, name, step, image)

    def _plan_back(self, held: HeldDeployment, name: str, page: FirmwarePage, device: str) -> ComponentPlan:
        why = held.failed.get(name) or held.reason or "; ".join(held.failed.values())
        before, running = held.before.get(name), self.flash.running(device)
        version = self.version(device)
        settled = ComponentPlan(name, Standing.FAILED, page.lost or why)
        if before is None or (running is not None and running.digest == before.firmware):
            return settled
        image = self.offers.image(before.firmware) if before.firmware else None
        if image is None:
            if before.firmware_version in {"", version}:
                return settled
            was = before.firmware_version
            reason = f"It stays at {version or 'what it has'}: this host does not have the image of {was}."
            return ComponentPlan(name, Standing.FAILED, f"{why} {reason}".strip())
        if barred := page.failure(image.digest, held.deployment.digest):
            return ComponentPlan(name, Standing.FAILED, f"It cannot go back to {image.label}: {barred}")
        step = Step(Action.FLASH, f"back to {image.label}", f"It is taken back: {why}")
        failed = (running.digest,) if running is not None and name in held.failed else ()
        return _changing(held, name, step, image, failed)

    def _conducted(
        self, held: HeldDeployment, name: str, state: DeviceState, running: KnownImage | None, version: str
    ) -> ComponentPlan:
        """It is there; whether it fails more than the deployment allows, or is gone since it was flashed."""
        digest = version if running is None else running.digest
        target = None if running is None else _choice(running)
        gates = held.deployment.rollout.gates
        if fault := self.conduct.fault(state.name, digest, state, gates, restarts=True):
            return ComponentPlan(name, Standing.FAILED, fault, target=target)
        if state.online:
            return ComponentPlan(name, Standing.REACHED, target=target)
        before = held.before.get(name)
        ours = held.state in _WATCHED and before is not None and before.firmware != digest
        reason = f"It is offline: {state.reason}"
        if ours and running is not None and state.since:
            left_s = state.since + self.flash.writer.back_within_s(state.name) - self.flash.writer.clock.now()
            if left_s <= 0:
                return ComponentPlan(name, Standing.FAILED, f"With {running.label} {reason}", target=target)
            self._look_again(state.name, left_s)
        return ComponentPlan(name, Standing.BLOCKED, reason, target=target)

    def _look_again(self, device: str, left_s: float) -> None:
        """An offline device tells nobody that it still is."""
        alarm = self._alarms.pop(device, None)
        if alarm is not None:
            alarm.cancel()
        self._alarms[device] = asyncio.get_running_loop().call_later(left_s, lambda: self.wake())  # noqa: PLW0108 - set later

    def _obstacle(
        self, held: HeldDeployment, page: FirmwarePage, state: DeviceState, image: KnownImage
    ) -> ComponentPlan | None:
        name = plan_name(state.name)
        if why := page.failure(image.digest, held.deployment.digest):
            return ComponentPlan(name, Standing.FAILED, why)
        if not state.online and not page.lost:
            by_hand, _ = self.flash.by_hand.told(state.name)
            return ComponentPlan(name, Standing.BLOCKED, by_hand or f"It is offline: {state.reason}")
        try:
            self.flash.writer.sites(state.name)
        except NotFoundError as error:
            return ComponentPlan(name, Standing.BLOCKED, str(error))
        return None

    def _nothing_fits(self, name: str, firmware: str, within: VersionRange, board: str) -> ComponentPlan:
        """What is signed for other boards fails, so that nobody waits for it; what is not there may still come."""
        all_offers = self.offers.of(firmware, FirmwarePage(), "")
        elsewhere = [each for each in all_offers if within.allows(each.version)]
        if board and elsewhere:
            reason = f"{elsewhere[0].label} is not signed for '{board}'."
            return ComponentPlan(name, Standing.FAILED, reason)
        there = ", ".join(each.version for each in all_offers[:5]) or "none"
        reason = f"No firmware '{firmware}' on offer fits {within.text}; there is {there}."
        return ComponentPlan(name, Standing.BLOCKED, reason)

    def _board(self, device: str) -> str:
        try:
            return self.flash.writer.sites(device).board.id
        except NotFoundError:
            return ""

    def _required(self, target: Choice) -> KnownImage:
        image = self.offers.image(target.digest)
        if image is None:
            raise NotFoundError(f"No remote offers firmware {target.version} any more.")
        return image


def _choice(image: KnownImage) -> Choice:
    return Choice(image.version, image.digest, image.sequence, here=False)


def _is_there(
    running: KnownImage | None, version: str, name: str, within: VersionRange, best: KnownImage | None
) -> bool:
    """Whether what runs fits, and nothing newer is offered; of what this host did not bring the version must do."""
    if not semver.Version.is_valid(version) or not within.allows(version):
        return False
    if running is not None and running.name != name:
        return False
    return best is None or semver.Version.parse(version) >= semver.Version.parse(best.version)


def _going_on(held: HeldDeployment, name: str, flash: FlashUnderWay) -> ComponentPlan:
    """A flash that has begun is finished, whatever is wanted."""
    reason = f"{flash.image.label} {_DOING[flash.stage]}. {flash.why}".strip()
    if not held.begun:  # what it brings to the device is prepared when that is over
        return ComponentPlan(name, Standing.BLOCKED, reason)
    return _changing(held, name, Step(Action.FLASH, flash.image.label, reason), flash.image)


def _changing(
    held: HeldDeployment, name: str, step: Step, image: KnownImage, failed: tuple[str, ...] = ()
) -> ComponentPlan:
    return ComponentPlan(
        name,
        Standing.CHANGING,
        step.reason,
        (step,),
        target=_choice(image),
        stop=failed,
        deployment=held.deployment.digest,
    )
