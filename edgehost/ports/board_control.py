"""What an operator, or whoever speaks for one, may ask of a host about the boards on its lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class BoardControl(Protocol):
    """Answers are ready for JSON. Errors are EdgehostErrors and reach the operator as they are."""

    def boards(self) -> Sequence[Mapping[str, Any]]:
        """Every board that is known here, as in its file."""
        ...

    async def lines(self) -> Sequence[Mapping[str, Any]]:
        """The lines of the host's machine, each with the boards that may be at its end, and why."""
        ...

    def firmware(self) -> Sequence[Mapping[str, Any]]:
        """The signed firmware that the remotes offer, as their last checks found it."""
        ...

    async def flash(self, order: Mapping[str, Any]) -> Mapping[str, Any]:
        """Fetch and check signed firmware, and begin to write it; returns the flash as ``flash_state`` does.

        ``order``: board, firmware, and where wanted version, line, baud, verify, erase_all, tool, dry_run.

        Raises:
            RefusedError: the order cannot be understood.
            NotFoundError: there is no such board or firmware.
            NoLineError, LineBusyError, InvalidImageError, ChipMismatchError: before anything was touched.
        """
        ...

    def flashes(self) -> Sequence[Mapping[str, Any]]:
        """The flashes under way and the last ones that ended, oldest first."""
        ...

    async def flash_state(self, number: int, *, seen: int = 0, wait_s: float = 0.0) -> Mapping[str, Any]:
        """How a flash is; waits, up to ``wait_s``, until it has moved on beyond turn ``seen``.

        Raises:
            NotFoundError: there was no such flash, or it is long over.
        """
        ...
