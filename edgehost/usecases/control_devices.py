"""What an operator may ask of a host about its devices, answered over their bridges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from edgehost.domain.errors import UnavailableError
from edgehost.usecases.bridge_device import Devices
from edgehost.usecases.deploy_to_device import DeployToDevice
from edgehost.usecases.view_firmware import FirmwareView


@dataclass(slots=True)
class ControlDevices:
    """Meets DeviceControl."""

    all: Devices
    deployer: DeployToDevice
    firmware: FirmwareView

    def devices(self) -> Sequence[Mapping[str, Any]]:
        """Every device."""
        return [self._document(name) for name in self.all.known]

    async def device(self, name: str) -> Mapping[str, Any]:
        """One device, asked now when it is online."""
        with suppress(UnavailableError):
            await self.all.get(name).slots()
        return self._document(name)

    async def call_device(self, name: str, component: str, function: str, payload: bytes) -> bytes:
        """Call an export of the component that runs there."""
        return await self.all.get(name).call(component, function, payload)

    async def deploy_to_device(
        self, name: str, component: str, version: str | None = None
    ) -> Mapping[str, Any]:
        """Check, send, probe and switch."""
        await self.deployer.deploy(name, component, version)
        return self._document(name)

    async def roll_device_back(self, name: str) -> Mapping[str, Any]:
        """Run the release before."""
        await self.deployer.roll_back(name)
        return self._document(name)

    async def device_log(self, name: str) -> str:
        """The last lines that the device kept."""
        return await self.all.get(name).log()

    async def reset_device(self, name: str) -> None:
        """Let it begin anew."""
        await self.all.get(name).reset()

    def _document(self, name: str) -> Mapping[str, Any]:
        state = self.all.get(name).state.document()
        return state | {"transfer": self.deployer.transfers.get(name), "firmware": self.firmware.of(name)}
