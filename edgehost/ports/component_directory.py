"""Which component answers to a name, wherever it runs.

Whoever calls a component asks here and calls what comes back: the same for one on this host and for one on a
peer. Today there is one directory, of the components that run here; a directory that also knows the peers
implements the same three methods.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from edgehost.domain.component_spec import ComponentSpec
from edgehost.ports.sandbox import CallContext


class ReachableComponent(Protocol):
    """A component that can be called now."""

    @property
    def spec(self) -> ComponentSpec:
        """What it says of itself."""
        ...

    @property
    def place(self) -> str:
        """The host that it runs on; empty for this one."""
        ...

    async def call(self, function: str, payload: bytes, *, context: CallContext = ...) -> bytes:
        """The answer of one of its exports; errors as for Sandbox.call."""
        ...


class ComponentDirectory(Protocol):
    """Finds components by name."""

    def find(self, component: str) -> ReachableComponent | None:
        """The component, or None when no live one has this name."""
        ...

    def names(self) -> Iterable[str]:
        """Every component that can be found."""
        ...

    def blame(self, component: str) -> None:
        """Count an answer that broke the contract as a fault of the component."""
        ...
