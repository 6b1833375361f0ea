"""What was done once and must not be done again."""

from __future__ import annotations

from typing import Protocol


class OnceMarks(Protocol):
    """Durable marks, a bounded number: the oldest are forgotten."""

    async def mark(self, key: str) -> bool:
        """Set the mark durably; False when it was set before.

        Raises:
            StorageFullError: it could not be kept; it is not set.
        """
        ...
