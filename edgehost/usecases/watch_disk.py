"""Keep room for records: warn before the disk is full, and fetch nothing that would fill it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final

from edgehost.domain.disk_room import READ_ONLY_HINT, DiskRoom, Room
from edgehost.domain.errors import StorageFullError
from edgehost.domain.host_events import DiskMoved
from edgehost.ports.clock import Clock
from edgehost.ports.event_bus import EventBus
from edgehost.usecases.finding import finding

log = logging.getLogger("edgehost.disk")

LOOK_S: Final = 60.0


class DiskWatch:
    """``look`` asks the kernel; ``make_room`` drops what the host can do without."""

    def __init__(
        self,
        look: Callable[[], DiskRoom],
        *,
        reserve_bytes: int,
        bus: EventBus,
        clock: Clock,
    ) -> None:
        self._look = look
        self._reserve_bytes = reserve_bytes
        self._bus = bus
        self._clock = clock
        self.room: DiskRoom | None = None
        self.state = Room.OK
        self.make_room: Callable[[], Awaitable[int]] | None = None  # returns how many files it dropped

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> Room:
        """Look once; make room when it is short, tell when the state has changed."""
        state = await self._measured()
        if state in {Room.SHORT, Room.LOW} and state != self.state and self.make_room is not None:
            dropped = await self.make_room()
            if dropped:
                log.info("%d files of earlier releases were dropped to make room.", dropped)
                state = await self._measured()
        if state != self.state and self.room is not None:
            self.state = state
            self._tell(self.room)
        return state

    def require(self, wanted_bytes: int, wanted_inodes: int) -> None:
        """Check that so much can be written and leaves the reserve; asks the kernel anew.

        Raises:
            StorageFullError: it cannot.
        """
        try:
            lack = self._look().lacks(wanted_bytes, wanted_inodes, self._reserve_bytes)
        except OSError as problem:
            lack = f"The data folder cannot be looked at ({problem.strerror})"
        if lack:
            raise StorageFullError(
                f"{lack}; nothing is fetched.",
                hint="Free some space, or lower [limits] free_bytes; the host tries again by itself.",
            )

    def status(self) -> Mapping[str, Any]:
        """For ``status``."""
        if self.room is None:
            return {"state": "unknown"}
        return {
            "state": str(self.state),
            "free_bytes": self.room.free_bytes,
            "total_bytes": self.room.total_bytes,
            "free_inodes": self.room.free_inodes,
            "reserve_bytes": self._reserve_bytes,
        }

    def findings(self) -> Iterator[Mapping[str, Any]]:
        """For the host's doctor."""
        if self.room is not None and self.state is not Room.OK:
            yield finding(
                "disk",
                "warning" if self.state is Room.LOW else "failed",
                self._sentence(self.room),
                "Free some space; until then nothing new is fetched, so that records can be written."
                if self.state is not Room.READ_ONLY
                else f"{READ_ONLY_HINT} What runs keeps running, and records are taken again by themselves.",
            )

    async def _measured(self) -> Room:
        try:
            self.room = await asyncio.to_thread(self._look)
        except OSError as problem:
            log.warning("The data folder cannot be looked at: %s", problem)
            return self.state
        return self.room.state(self._reserve_bytes)

    def _tell(self, room: DiskRoom) -> None:
        sentence = self._sentence(room)
        log.log(logging.INFO if self.state is Room.OK else logging.WARNING, "%s", sentence)
        self._bus.publish(
            DiskMoved(
                at=self._clock.now(),
                state=str(self.state),
                free_bytes=room.free_bytes,
                free_inodes=room.free_inodes,
                reason=sentence,
            )
        )

    def _sentence(self, room: DiskRoom) -> str:
        if room.read_only:
            return "The data folder's disk is read-only: nothing can be written, no record and no release."
        inodes = f" and {room.free_inodes} inodes" if room.total_inodes else ""
        return (
            f"The data folder's disk is {self.state}: {room.free_bytes} bytes{inodes} are free, "
            f"{self._reserve_bytes} bytes are kept for records."
        )
