"""A system that is shown this host and its devices, and takes part in nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from edgehost.domain.events import Event
from edgehost.domain.upstream_node import UpstreamNode

#: A button was pressed: the node's name, and which button. Never waits.
Pressed = Callable[[str, str], None]


class Upstream(Protocol):
    """It keeps the last of what it is shown over every loss of the connection."""

    @property
    def connected(self) -> bool:
        """Whether what is shown arrives."""
        ...

    @property
    def trouble(self) -> str:
        """Why it is not connected."""
        ...

    def show(self, node: UpstreamNode) -> None:
        """This is how the node is now; never waits."""
        ...

    def tell(self, event: Event) -> None:
        """Something happened; lost when there is no connection. Never waits."""
        ...

    async def run(self) -> None:
        """Keep a connection until cancelled, and say goodbye then."""
        ...
