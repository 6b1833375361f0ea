"""The firmware that a deployment wants on the boards of a host; whoever flashes boards brings the verbs."""

from __future__ import annotations

from typing import Final, Protocol

from edgehost.domain.deployment_life import Before, HeldDeployment
from edgehost.domain.deployment_plan import ComponentPlan, Standing

#: In front of a device's name where components are named: no component's name has a space.
_DEVICE: Final = "device "


class FirmwareHands(Protocol):
    """Plans and flashes; what was done is seen in the next plan."""

    async def plan(self, held: HeldDeployment, device: str, wanted: str, *, back: bool) -> ComponentPlan:
        """What is left to do for a device that should run ``NAME@RANGE``, or that goes back to what it ran.

        The plan's component is ``plan_name(device)``; a device that this host does not have is BLOCKED.
        """
        ...

    def bridges(self, device: str) -> bool:
        """Whether this host has such a device."""
        ...

    async def before(self, device: str) -> Before:
        """What the device runs now: what taking back goes to."""
        ...

    def is_image(self, wanted: str) -> bool:
        """Whether ``NAME@RANGE`` is a firmware image, as far as is known now; else it is a component."""
        ...

    async def prepare(self, plan: ComponentPlan) -> None:
        """Bring what is planned to the device, and change nothing that runs.

        Raises:
            EdgehostError: as carry_out.
        """
        ...

    async def carry_out(self, plan: ComponentPlan) -> None:
        """All of its steps.

        Raises:
            EdgehostError: a step could not be done; RefusedError when trying again would not help.
        """
        ...


class NoBoards:
    """A host that flashes nothing for deployments says so, and waits."""

    async def plan(self, held: HeldDeployment, device: str, wanted: str, *, back: bool) -> ComponentPlan:  # noqa: ARG002 - as in FirmwareHands
        """It cannot be done here; nothing was done, so nothing goes back."""
        standing = Standing.FAILED if back else Standing.BLOCKED
        return ComponentPlan(plan_name(device), standing, f"This host flashes no boards, so {wanted} waits.")

    def bridges(self, device: str) -> bool:  # noqa: ARG002 - as above
        """It has none."""
        return False

    async def before(self, device: str) -> Before:  # noqa: ARG002 - as above
        """Nothing that this host could bring back."""
        return Before()

    def is_image(self, wanted: str) -> bool:  # noqa: ARG002 - as above
        """Nothing is known of any."""
        return False

    async def prepare(self, plan: ComponentPlan) -> None:
        """Nothing is planned."""

    async def carry_out(self, plan: ComponentPlan) -> None:
        """Nothing is planned."""


def plan_name(device: str) -> str:
    """The name of a device among the components of a deployment."""
    return f"{_DEVICE}{device}"


def is_device(component: str) -> bool:
    """Whether the name is that of a device."""
    return component.startswith(_DEVICE)


def device_of(component: str) -> str:
    """The device behind its name among the components."""
    return component.removeprefix(_DEVICE)
