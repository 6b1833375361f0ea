"""How a host speaks to its fleet; nothing here waits, and nothing is lost that is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from edgehost.domain.fleet_rules import Operator


class FleetLink(Protocol):
    """Topics and payloads over a link that comes and goes."""

    @property
    def connected(self) -> bool:
        """Whether it is up, and this host the one that speaks for its name."""
        ...

    def keep(self, topic: str, payload: bytes | None, *, again: bool = False) -> None:
        """Have this retained from now on, over every loss of the link and of the broker; None takes it away.

        ``again`` writes it although the broker has it, since somebody may have written over it.
        """
        ...

    def put(self, topic: str, payload: bytes, *, expires_s: float) -> None:
        """Have this retained once; not remembered."""
        ...

    def tell(self, topic: str, payload: bytes, *, expires_s: float) -> None:
        """Say it to those who listen now; dropped while there is no link."""
        ...

    def ask_again(self) -> None:
        """Have the broker show the commands that it retains once more."""
        ...


class Signatures(Protocol):
    """Opens what operators sign."""

    async def opened(self, signed: bytes, *, purpose: str) -> tuple[Mapping[str, Any], Operator]:
        """What was signed and by whom.

        Raises:
            RefusedError: it is no signed message, the key is unknown, or the signature does not hold.
        """
        ...


class TableStore(Protocol):
    """A small table that is kept durably."""

    async def load(self) -> Mapping[str, Any]:
        """What was kept last; empty when nothing was.

        Raises:
            RefusedError: something else is there.
        """
        ...

    async def keep(self, table: Mapping[str, Any]) -> None:
        """Keep it before returning.

        Raises:
            StorageFullError: the one before is still kept.
        """
        ...
