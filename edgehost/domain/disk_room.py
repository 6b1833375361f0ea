"""How much room a disk has left, and when that is too little."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

#: What to do about a disk that was turned read-only.
READ_ONLY_HINT: Final = (
    "The kernel does that to a medium that fails: see 'dmesg', check it ('fsck') or replace it, "
    "then mount it for writing ('mount -o remount,rw')."
)
#: Journals, ledgers and configurations make a handful of files; compaction and updates need some spare ones.
RESERVED_INODES: Final = 64
#: Above the reserve by this factor nobody need be told.
_COMFORT: Final = 2


class Room(enum.StrEnum):
    """How it stands."""

    OK = "ok"
    LOW = "low"  # less than twice the reserve
    SHORT = "short"  # the reserve is touched: nothing new is fetched
    READ_ONLY = "read-only"


@dataclass(frozen=True, slots=True)
class DiskRoom:
    """What this user may still write, as the file system counts it."""

    free_bytes: int
    total_bytes: int
    free_inodes: int
    total_inodes: int  # 0: this file system does not count them
    read_only: bool = False

    def state(self, reserve_bytes: int) -> Room:
        """How it stands, when so many bytes are to be kept for records."""
        if self.read_only:
            return Room.READ_ONLY
        if self.free_bytes < reserve_bytes or self._inodes_below(RESERVED_INODES):
            return Room.SHORT
        if self.free_bytes < _COMFORT * reserve_bytes or self._inodes_below(_COMFORT * RESERVED_INODES):
            return Room.LOW
        return Room.OK

    def lacks(self, wanted_bytes: int, wanted_inodes: int, reserve_bytes: int) -> str:
        """Why so much more cannot be written; empty when it can."""
        if self.read_only:
            return "The disk is mounted read-only"
        if self.free_bytes < wanted_bytes + reserve_bytes:
            return f"{self.free_bytes} bytes are free; {wanted_bytes} are needed and {reserve_bytes} kept for records"
        if self._inodes_below(wanted_inodes + RESERVED_INODES):
            return (
                f"{self.free_inodes} inodes are free; {wanted_inodes} are needed "
                f"and {RESERVED_INODES} kept for records"
            )
        return ""

    def _inodes_below(self, number: int) -> bool:
        return self.total_inodes > 0 and self.free_inodes < number
