"""The service ``device``: functions of the component on a microcontroller behind this host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from edgehost.config_services import DeviceOptions
from edgehost.domain.errors import GuestProtocolError, RefusedError, UnavailableError
from edgehost.domain.json_text import read_json, write_json
from edgehost.ports.device import Device
from edgehost.ports.service import Service, ServiceHealth, ServiceNotice


class DeviceService:
    """A Service over the bridge of one device; ``connect`` says where devices are."""

    events: Mapping[str, str] = {}

    def __init__(self, name: str, options: DeviceOptions) -> None:
        self._name, self._options = name, options
        self.functions: Mapping[str, str] = {
            function: f"{function} of {options.component} on {options.device}"
            for function in options.functions
        }
        self._get: Callable[[str], Device] | None = None

    def connect(self, get: Callable[[str], Device]) -> None:
        """From now on it can be called."""
        self._get = get

    async def call(self, function: str, given: Any, *, timeout_s: float) -> Any:  # noqa: ANN401 - JSON
        """What the component answers, as JSON.

        Raises:
            NotFoundError: it does not run there, or has no such export.
            GuestError: it failed. TooLargeError: the input does not fit the device.
            UnavailableError: the device does not answer.
        """
        if self._get is None:
            raise UnavailableError(f"The service '{self._name}' has not begun yet.")
        payload = b"" if given is None else write_json(given)
        try:
            async with asyncio.timeout(timeout_s):
                output = await self._get(self._options.device).call(
                    self._options.component, function, payload
                )
        except TimeoutError:
            raise UnavailableError(f"{self._options.device} did not answer in time.") from None
        if not output:
            return None
        try:
            return read_json(output)
        except RefusedError:
            raise GuestProtocolError(
                f"{self._options.component} on {self._options.device} answered with something that is no JSON."
            ) from None

    def health(self) -> ServiceHealth:
        """Whether the device is there."""
        state = None if self._get is None else self._get(self._options.device).state
        if state is None or not state.online:
            why = "not begun" if state is None else state.reason
            return ServiceHealth(
                "warning", f"{self._options.device} is offline: {why}", "See 'edgehost bridge ls'."
            )
        return ServiceHealth()


@asynccontextmanager
async def open_device_service(
    name: str,
    options: DeviceOptions,
    notice: ServiceNotice,  # noqa: ARG001 - devices tell by events of their own
) -> AsyncIterator[Service]:
    """A service whose device comes and goes."""
    yield DeviceService(name, options)
