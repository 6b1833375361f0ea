"""How the host's last starts ended, counted without a clock; and when it must start in safe mode.

A start is well when the host has run for a while (monotonic time); an end is clean when the host said so. Three starts
in a row that were neither lead to safe mode: components off, control on.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

#: Fewer would take two power cuts of a flickering supply for a fault; more would keep a site waiting.
UNCLEAN_STARTS_TO_SAFE_MODE: Final = 3
#: Safe mode ends by itself after this pause, doubled each time up to the last, in case the cause has passed.
FIRST_RETRY_S: Final = 3600.0
LAST_RETRY_S: Final = 24 * 3600.0
_LONGEST_REASON: Final = 300


class Ending(enum.StrEnum):
    """How the run before this one ended."""

    CLEAN = "clean"
    DIED = "died"  # the machine ran on
    REBOOTED = "rebooted"  # power cut, reset or a kernel that fell


@dataclass(frozen=True, slots=True)
class BootRecord:
    """What is written at a start, when it is well, and at a clean end: three small writes a run."""

    running: bool = False
    well: bool = False
    unclean: int = 0  # starts in a row that ended before they were well
    safe: str = ""  # why the host is in safe mode; empty: it is not
    retries: int = 0  # times that safe mode ended by itself since the host was last well
    left_for: str = ""  # what safe mode was last left for, so that the same does not lead out of it twice
    reported: bool = False  # the end of this run has a report already
    pid: int = 0
    machine_boot: str = ""  # the kernel's id of this boot of the machine
    generation: int = 0
    down: str = ""  # live components that did not run when the host was last seen well, joined by commas

    def ending(self, machine_boot: str) -> Ending:
        """How the recorded run ended, seen from the next start."""
        if not self.running:
            return Ending.CLEAN
        return Ending.DIED if machine_boot == self.machine_boot else Ending.REBOOTED

    def begun(self, *, pid: int, machine_boot: str, generation: int, new_generation: bool) -> BootRecord:
        """The record of the start that begins now; a configuration that is new leads out of safe mode."""
        unclean = self.unclean
        if self.running:
            unclean = 1 if self.well else unclean + 1
        safe = self.safe
        if new_generation:
            unclean, safe = 0, ""
        elif unclean >= UNCLEAN_STARTS_TO_SAFE_MODE and not safe:
            safe = f"The host ended uncleanly {unclean} times in a row before it was well."
        return replace(
            self,
            running=True,
            well=False,
            reported=False,
            unclean=unclean,
            safe=safe,
            pid=pid,
            machine_boot=machine_boot,
            generation=generation,
        )

    def proven(self, down: Iterable[str] = ()) -> BootRecord:
        """The host has been well for a while; ``down`` are live components that do not run."""
        retries = self.retries if self.safe else 0
        return replace(self, well=True, unclean=0, retries=retries, down=",".join(sorted(down)))

    def ended(self) -> BootRecord:
        """The host ends as it should."""
        return replace(self, running=False)

    def entered_safe_mode(self, why: str) -> BootRecord:
        """From the next start on, components stay off."""
        return replace(self, safe=why[:_LONGEST_REASON])

    def left_safe_mode(self, *, left_for: str = "", by_itself: bool = False) -> BootRecord:
        """From the next start on, components run again; three tries as after any good start."""
        return replace(
            self,
            safe="",
            unclean=0,
            left_for=left_for or self.left_for,
            retries=self.retries + 1 if by_itself else 0,
        )

    @property
    def retry_s(self) -> float:
        """How long safe mode lasts before it ends by itself."""
        return min(FIRST_RETRY_S * 2.0**self.retries, LAST_RETRY_S)

    def document(self) -> dict[str, Any]:
        """As it is stored."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> BootRecord:
        """What was stored.

        Raises:
            ValueError, TypeError: something else was.
        """
        record = cls(**document)
        if not all(type(getattr(record, name)) is type(value) for name, value in asdict(cls()).items()):
            raise ValueError("a value has another type")
        return record
