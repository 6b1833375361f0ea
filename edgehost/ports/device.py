"""A device at the other end of a line, as the host's use cases see it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from edgehost.domain.device import DeviceSlots, DeviceState


@dataclass(frozen=True, slots=True)
class BridgeSettings:
    """Which line, and how often the device is heard."""

    name: str
    line: str  # a path, a URL, or id:SERIAL of a USB device
    baud: int = 115_200
    fast_baud: int = 0  # agreed on once the device answers; 0: none
    interval_ms: int = 1000  # between two telemetries
    silence_s: float = 5.0  # then it is asked for a sign of life; after twice as much it is offline


class DeviceListener(Protocol):
    """Whoever is told what a device does by itself; never waits."""

    def moved(self, state: DeviceState) -> None:
        """It came online or went offline, or began anew."""
        ...

    def told(self, telemetry: Any) -> None:  # noqa: ANN401 - JSON
        """It told its telemetry."""
        ...

    def said(self, text: str) -> None:
        """A line of diagnostic text."""
        ...


class Device(Protocol):
    """One device. Without a link every verb raises UnavailableError at once."""

    @property
    def state(self) -> DeviceState:
        """How it is now."""
        ...

    async def call(self, component: str, function: str, payload: bytes) -> bytes:
        """Call an export of the component that runs there.

        Raises:
            NotFoundError: it does not run there, or has no such export.
            GuestError: it failed; GuestFailedError in the guest's own words.
            TooLargeError: the payload does not fit the device.
            UnavailableError: the device does not answer, or runs nothing.
        """
        ...

    async def slots(self) -> DeviceSlots:
        """What runs and what is on its way, asked for now.

        Raises:
            UnavailableError.
        """
        ...

    async def prepare(self, wasm: bytes, manifest: bytes, progress: Callable[[int, int], None]) -> None:
        """Bring the component into the spare slot, going on where an earlier try ended; what runs goes on.

        Raises:
            UntrustedReleaseError, IncompatibleReleaseError, QuarantinedReleaseError: the device refuses it.
            UnavailableError: the link was lost; the device keeps what it has.
        """
        ...

    async def commit(self) -> None:
        """Check and probe what is in the spare slot, and run it.

        Raises:
            As prepare; GuestError: it failed its probe, and the old release runs again.
        """
        ...

    async def roll_back(self) -> None:
        """Run the release before.

        Raises:
            ConflictError: there is none. UnavailableError.
        """
        ...

    async def reset(self) -> None:
        """Begin anew.

        Raises:
            UnavailableError.
        """
        ...

    async def log(self) -> str:
        """The last lines that it kept.

        Raises:
            UnavailableError.
        """
        ...


class BridgedDevice(Device, Protocol):
    """A device whose line can be taken for a while."""

    def is_on(self, path: str) -> bool:
        """Whether this is its line, by whatever name."""
        ...

    def held(self) -> AbstractAsyncContextManager[None]:
        """The line is closed inside the block and opened again behind it."""
        ...

    async def run(self) -> None:
        """Keep the link up until cancelled."""
        ...
