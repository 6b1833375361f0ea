"""Writes firmware to a board over one protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from edgehost.domain.flashing import FlashJob, FlashOutcome, FlashProgress

Report = Callable[[FlashProgress], None]


class Programmer(Protocol):
    """One protocol. It opens the line itself, and closes it however it ends."""

    @property
    def protocol(self) -> str:
        """The name that boards give in ``flash.protocol``."""
        ...

    async def flash(self, job: FlashJob, report: Report) -> FlashOutcome:
        """Write the image, read it back, start it; cancelling leaves the line closed.

        Raises:
            LineBusyError, LineDeniedError, LineLostError: the line.
            NoSyncError: nobody answers in the bootloader's tongue; the hint says what to press.
            ChipMismatchError: another chip answers than the board has; nothing was erased.
            VerifyFailedError: what was read back is not what was written.
            FlashFailedError: anything else, with the state that the board is in.
        """
        ...
