"""Who else uses lines to boards while nobody flashes: the bridge."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol


class LineUsers(Protocol):
    """What must let go of a line before it is flashed."""

    def pause(self, path: str) -> AbstractAsyncContextManager[None]:
        """Nobody has the line open inside the block; whoever had it opens it again behind it, however it ends."""
        ...
