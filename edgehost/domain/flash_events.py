"""Facts about boards that were flashed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edgehost.domain.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class FlashBegan(Event):
    """Firmware is about to be written to a board."""

    type: ClassVar[str] = "edgehost.flash.began"
    board: str
    line: str
    firmware: str
    version: str
    digest: str

    @property
    def subject(self) -> str:
        """The line."""
        return self.line or self.board


@dataclass(frozen=True, slots=True, kw_only=True)
class FlashEnded(Event):
    """The firmware is written, or the flash broke off; ``board_state`` says how it left the board."""

    type: ClassVar[str] = "edgehost.flash.ended"
    board: str
    line: str
    firmware: str
    version: str
    digest: str
    problem: str = ""  # the error's code; empty: it went well
    reason: str = ""
    board_state: str = ""

    @property
    def subject(self) -> str:
        """The line."""
        return self.line or self.board
