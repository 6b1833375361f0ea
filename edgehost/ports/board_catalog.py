"""The boards that are known here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from edgehost.domain.board import Board, UsbChip, UsbId


class BoardCatalog(Protocol):
    """Boards that came with edgehost and those of the user's own folder, which win."""

    def all(self) -> Sequence[Board]:
        """Every board, sorted by id."""
        ...

    def get(self, board_id: str) -> Board:
        """One board.

        Raises:
            NotFoundError: there is none of this id; the hint names the nearest.
        """
        ...

    def by_usb(self, usb: UsbId) -> Sequence[Board]:
        """The boards that such a USB device may be."""
        ...

    def chip(self, usb: UsbId) -> UsbChip | None:
        """What chip it is, when the id names a chip and not a board."""
        ...
