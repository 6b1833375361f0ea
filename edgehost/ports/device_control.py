"""What an operator, or whoever speaks for one, may ask of a host about the devices behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class DeviceControl(Protocol):
    """Answers are ready for JSON. Errors are EdgehostErrors and reach the operator as they are."""

    def devices(self) -> Sequence[Mapping[str, Any]]:
        """Every device: identity, what runs, online and since when, its last telemetry."""
        ...

    async def device(self, name: str) -> Mapping[str, Any]:
        """One device; its slots asked for now when it is online.

        Raises:
            NotFoundError.
        """
        ...

    async def call_device(self, name: str, component: str, function: str, payload: bytes) -> bytes:
        """Call an export of the component that runs there.

        Raises:
            NotFoundError, GuestError, UnavailableError, TooLargeError.
        """
        ...

    async def deploy_to_device(
        self, name: str, component: str, version: str | None = None
    ) -> Mapping[str, Any]:
        """Check, send, probe and switch; returns the device.

        Raises:
            NotFoundError: no remote offers it, or not for devices.
            IncompatibleReleaseError: it does not fit; nothing was sent.
            UntrustedReleaseError, QuarantinedReleaseError, GuestError: the device refused it.
            UnavailableError: the link was lost; trying again goes on where it ended.
        """
        ...

    async def roll_device_back(self, name: str) -> Mapping[str, Any]:
        """Run the release before; returns the device.

        Raises:
            NotFoundError, ConflictError, UnavailableError.
        """
        ...

    async def device_log(self, name: str) -> str:
        """The last lines that the device kept.

        Raises:
            NotFoundError, UnavailableError.
        """
        ...

    async def reset_device(self, name: str) -> None:
        """Let it begin anew.

        Raises:
            NotFoundError, UnavailableError.
        """
        ...
