"""The components that run now: one route per name, changed in one assignment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from edgehost.domain.component_spec import ComponentSpec
from edgehost.domain.errors import (
    DeadlineExceededError,
    GuestProtocolError,
    GuestTrapError,
    NotFoundError,
    SandboxDiedError,
    UnavailableError,
)
from edgehost.domain.probation import Conduct
from edgehost.domain.release_life import Release
from edgehost.domain.suggestion import did_you_mean
from edgehost.ports.sandbox import CallContext

#: Faults of the code, as against a guest that refuses an input.
FAULTS = (DeadlineExceededError, GuestProtocolError, GuestTrapError, SandboxDiedError)


class DrainingError(UnavailableError):
    """The pool takes no new calls because another release has taken over."""

    code = "draining"


class Pool(Protocol):
    """What a running component needs of its instances."""

    @property
    def draining(self) -> bool:
        """Whether it takes no more calls."""
        ...

    async def call(
        self, function: str, payload: bytes, *, context: CallContext = ..., deadline_s: float | None = None
    ) -> bytes:
        """The guest's answer."""
        ...

    async def drain(self, timeout_s: float) -> bool:
        """Finish what runs and take nothing new; False when the time was not enough."""
        ...

    async def close(self) -> None:
        """End every instance."""
        ...

    def instances(self) -> Sequence[Mapping[str, Any]]:
        """What is known of each instance, ready for JSON."""
        ...


@dataclass(eq=False, slots=True)
class RunningRelease:
    """A started release and how it behaves."""

    release: Release
    spec: ComponentSpec
    pool: Pool
    conduct: Conduct = field(default_factory=Conduct)
    on_fault: Callable[[RunningRelease], None] | None = None

    def note(self, *, fault: bool) -> None:
        """Count one more call."""
        self.conduct = self.conduct.after(fault=fault)
        if fault and self.on_fault is not None:
            self.on_fault(self)


class RunningComponents:
    """Calls reach whatever release of a component is live at that moment."""

    def __init__(self) -> None:
        self._routes: Mapping[str, RunningRelease] = {}

    def get(self, component: str) -> RunningRelease | None:
        """The live release of this component."""
        return self._routes.get(component)

    def all(self) -> tuple[RunningRelease, ...]:
        """Every live release, by component name."""
        return tuple(running for _, running in sorted(self._routes.items()))

    def route(self, component: str, running: RunningRelease | None) -> RunningRelease | None:
        """Send calls to this release from now on; returns the one that took them until now."""
        before = self._routes.get(component)
        routes = dict(self._routes)
        if running is None:
            routes.pop(component, None)
        else:
            routes[component] = running
        self._routes = routes
        return before

    def require(self, component: str) -> RunningRelease:
        """The live release of this component.

        Raises:
            NotFoundError: none is live.
        """
        running = self._routes.get(component)
        if running is None:
            raise NotFoundError(
                f"No component '{component}' runs on this host.", hint=did_you_mean(component, self._routes)
            )
        return running

    def blame(self, component: str) -> None:
        """Count an answer that broke the contract against the live release."""
        running = self._routes.get(component)
        if running is not None:
            running.conduct = running.conduct.corrected()
            if running.on_fault is not None:
                running.on_fault(running)

    async def call(
        self,
        component: str,
        function: str,
        payload: bytes,
        *,
        context: CallContext = CallContext(),
        deadline_s: float | None = None,
    ) -> bytes:
        """Call an export of the live release.

        A call that meets a release just as it starts to drain goes to its successor, so that a swap drops none.

        Raises:
            NotFoundError: no such component or export.
            BusyError, GuestError, TooLargeError: from the pool.
        """
        while True:
            running = self.require(component)
            try:
                answer = await running.pool.call(function, payload, context=context, deadline_s=deadline_s)
            except FAULTS:
                running.note(fault=True)
                raise
            except UnavailableError:
                if running.pool.draining and self._routes.get(component) is not running:
                    continue
                raise
            running.note(fault=False)
            return answer
