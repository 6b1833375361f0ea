"""The components that run on this host, as a directory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgehost.domain.component_spec import ComponentSpec
from edgehost.ports.component_directory import ReachableComponent
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.running_components import RunningComponents


@dataclass(frozen=True, slots=True)
class LocalComponent:
    """A component of this host; a call reaches whatever release is live by then."""

    spec: ComponentSpec
    running: RunningComponents
    place: str = ""

    async def call(self, function: str, payload: bytes, *, context: CallContext = CallContext()) -> bytes:
        """The answer of one of its exports."""
        return await self.running.call(self.spec.name, function, payload, context=context)


@dataclass(frozen=True, slots=True)
class LocalDirectory:
    """A ComponentDirectory of one host."""

    running: RunningComponents

    def find(self, component: str) -> ReachableComponent | None:
        """The component, or None when no live one has this name."""
        running = self.running.get(component)
        return None if running is None else LocalComponent(running.spec, self.running)

    def names(self) -> Iterable[str]:
        """Every component that runs here."""
        return tuple(running.spec.name for running in self.running.all())

    def blame(self, component: str) -> None:
        """Count an answer that broke the contract as a fault of the component."""
        self.running.blame(component)
