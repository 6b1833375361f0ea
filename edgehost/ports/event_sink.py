"""Where events go when they leave the host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class EventSink(Protocol):
    """Takes CloudEvents documents."""

    async def send(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Hand these over, in this order.

        Raises:
            UnavailableError: not now; the same events come again.
            EdgehostError: these will never be taken.
        """
        ...
