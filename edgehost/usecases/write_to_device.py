"""The firmware of a bridged device is written with its bridge off the line; then it is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from edgehost.domain.device import DeviceIdentity
from edgehost.domain.device_firmware import KnownImage
from edgehost.domain.errors import EdgehostError, FlashFailedError
from edgehost.domain.flash_events import FlashBegan, FlashEnded
from edgehost.domain.flashing import BoardState, FlashProgress
from edgehost.ports.clock import Clock
from edgehost.ports.event_bus import EventBus
from edgehost.ports.programmer import Report
from edgehost.usecases.bridge_device import Devices
from edgehost.usecases.flash_board import FlashPlan
from edgehost.usecases.flash_site import FlashSites, SignedImages

#: The slowest board here takes minutes; a programmer that hangs is ended.
_LONGEST_FLASH_S: Final = 3600.0


@dataclass(slots=True)
class WriteToDevice:
    """The devices of a host as boards."""

    devices: Devices
    images: SignedImages
    sites: FlashSites
    bus: EventBus
    clock: Clock
    progress: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # by device, those under way
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def moved(self) -> None:
        """A device came, went, or began anew."""
        news, self._news = self._news, asyncio.Event()
        news.set()

    def on_line(self, line: str, board: str = "") -> list[str]:
        """The devices that are bridged or flashed over a line; without one, the only device that is such a board."""
        if line:
            return [name for name in self.devices.known if self._is_on(name, line)]
        alike = [name for name in self.devices.known if board and self._is_found_by_board(name, board)]
        return alike if len(alike) == 1 else []

    @property
    def news(self) -> asyncio.Event:
        """Is set at the next ``moved``."""
        return self._news

    def _is_on(self, device: str, line: str) -> bool:
        try:
            own = self.sites(device).line
        except EdgehostError:
            own = ""
        return line == own or self.devices.get(device).is_on(line)

    def _is_found_by_board(self, device: str, board: str) -> bool:
        try:
            site = self.sites(device)
        except EdgehostError:
            return False
        return (site.board.id, site.line) == (board, "")

    def version(self, device: str) -> str:
        """What the device said last of its firmware, since this host runs; "" when nothing."""
        known = self.devices.known.get(device)
        identity = None if known is None else known.state.identity
        return "" if identity is None else identity.firmware

    def is_online(self, device: str) -> bool:
        """Whether it answers now."""
        known = self.devices.known.get(device)
        return known is not None and known.state.online

    def recovery(self, device: str) -> str:
        """What a person does when the board no longer answers."""
        try:
            return self.sites(device).board.recovery
        except EdgehostError:
            return ""

    def back_within_s(self, device: str) -> float:
        """Seconds after a flash within which the device must answer."""
        return self.sites(device).back_within_s

    async def require_fitting(self, device: str, image: KnownImage) -> None:
        """Bring the image to the shelf, and check it against the board.

        Raises:
            As SignedImages.checked.
        """
        await self.images.checked(image, self.sites(device), f"{device}:")

    async def write(self, device: str, image: KnownImage) -> None:
        """Write it and read it back, with the bridge off the line.

        Raises:
            NoLineError: there is none now. DeviceError: as the programmer, with the state of the board.
            As SignedImages.checked.
        """
        site = self.sites(device)
        line = await self.images.line_of(site)
        plan = await self.images.checked(image, site, line)

        def report(progress: FlashProgress) -> None:
            self.progress[device] = {"firmware": image.name, "version": image.version, **asdict(progress)}

        self.bus.publish(FlashBegan(at=self.clock.now(), **_facts(plan)))
        problem, reason, state = "cancelled", "The host was stopped.", ""
        try:
            await self._run(device, plan, report)
        except EdgehostError as error:
            problem, reason, state = error.code, error.message, str(getattr(error, "state", ""))
            raise
        except Exception as fault:
            problem, reason = "internal", f"{type(fault).__name__}: {fault}"
            raise
        else:
            problem = reason = ""
        finally:
            self.progress.pop(device, None)
            self.bus.publish(
                FlashEnded(
                    at=self.clock.now(), **_facts(plan), problem=problem, reason=reason, board_state=state
                )
            )

    async def came_back(self, device: str, within_s: float) -> DeviceIdentity | None:
        """Who answers, once somebody does; None when nobody does in time."""
        known = self.devices.get(device)
        try:
            async with asyncio.timeout(within_s):
                while True:
                    news, state = self._news, known.state
                    if state.online and state.identity is not None:
                        return state.identity
                    await news.wait()
        except TimeoutError:
            return None

    async def _run(self, device: str, plan: FlashPlan, report: Report) -> None:
        try:
            async with self.devices.get(device).held(), asyncio.timeout(_LONGEST_FLASH_S):
                await self.images.flasher.run(plan, report, held=True)
        except TimeoutError:
            problem = FlashFailedError(f"The flash was not done after {_LONGEST_FLASH_S:g} s.")
            problem.state = str(BoardState.PARTIAL)
            raise problem from None


def _facts(plan: FlashPlan) -> dict[str, Any]:
    job = plan.job
    return {
        "board": job.board.id,
        "line": job.line,
        "firmware": job.image.name,
        "version": job.image.version,
        "digest": job.image.digest,
    }
