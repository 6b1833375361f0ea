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

    def blame(self) -> None:
        """The last answer, which seemed good, broke the contract."""
        self.conduct = self.conduct.corrected()
        if self.on_fault is not None:
            self.on_fault(self)


class Split(Protocol):
    """Divides a component's calls between the main release and its candidates."""

    @property
    def candidates(self) -> tuple[RunningRelease, ...]:
        """The releases beside the main one."""
        ...

    async def call(
        self,
        main: RunningRelease,
        function: str,
        payload: bytes,
        *,
        context: CallContext,
        deadline_s: float | None,
    ) -> bytes:
        """The answer of whoever's turn it is.

        Raises:
            DrainingError: the main release takes no more calls.
            EdgehostError: as for a pool.
        """
        ...

    def blame(self, main: RunningRelease) -> None:
        """The last answer that this task got broke the contract."""
        ...


@dataclass(frozen=True, slots=True)
class _Route:
    main: RunningRelease
    split: Split | None = None


class RunningComponents:
    """Calls reach whatever release of a component is live at that moment."""

    def __init__(self) -> None:
        self._routes: Mapping[str, _Route] = {}

    def get(self, component: str) -> RunningRelease | None:
        """The live release of this component."""
        route = self._routes.get(component)
        return None if route is None else route.main

    def split_of(self, component: str) -> Split | None:
        """How its calls are divided; None when all go to the live release."""
        route = self._routes.get(component)
        return None if route is None else route.split

    def all(self) -> tuple[RunningRelease, ...]:
        """Every live release, by component name."""
        return tuple(route.main for _, route in sorted(self._routes.items()))

    def everything(self) -> tuple[RunningRelease, ...]:
        """Every release that runs, live ones before their candidates."""
        return tuple(
            running
            for _, route in sorted(self._routes.items())
            for running in (route.main, *(() if route.split is None else route.split.candidates))
        )

    def route(
        self, component: str, running: RunningRelease | None, split: Split | None = None
    ) -> RunningRelease | None:
        """Send calls to this release from now on; returns the one that took them until now."""
        before = self._routes.get(component)
        routes = dict(self._routes)
        if running is None:
            routes.pop(component, None)
        else:
            routes[component] = _Route(running, split)
        self._routes = routes
        return None if before is None else before.main

    def require(self, component: str) -> RunningRelease:
        """The live release of this component.

        Raises:
            NotFoundError: none is live.
        """
        return self._require(component).main

    def blame(self, component: str) -> None:
        """Count an answer that broke the contract against the release that gave it."""
        route = self._routes.get(component)
        if route is None:
            return
        if route.split is not None:
            route.split.blame(route.main)
        else:
            route.main.blame()

    async def call(
        self,
        component: str,
        function: str,
        payload: bytes,
        *,
        context: CallContext = CallContext(),
        deadline_s: float | None = None,
    ) -> bytes:
        """Call an export of the live release, or of a candidate whose turn it is.

        A call that meets a release just as it starts to drain goes to its successor, so that a swap drops none.

        Raises:
            NotFoundError: no such component or export.
            BusyError, GuestError, TooLargeError: from the pool.
        """
        route: _Route | None = None
        while True:
            if route is not None and component not in self._routes:
                raise UnavailableError(
                    f"'{component}' went out of service.",
                    hint="Call again once another release of it is live.",
                )
            route = self._require(component)
            main = route.main
            try:
                if route.split is not None:
                    return await route.split.call(
                        main, function, payload, context=context, deadline_s=deadline_s
                    )
                answer = await main.pool.call(function, payload, context=context, deadline_s=deadline_s)
            except FAULTS:
                if route.split is None:  # a split has counted it where it belongs
                    main.note(fault=True)
                raise
            except UnavailableError:
                if main.pool.draining and self._routes.get(component) is not route:
                    continue
                raise
            main.note(fault=False)
            return answer

    def _require(self, component: str) -> _Route:
        route = self._routes.get(component)
        if route is None:
            raise NotFoundError(
                f"No component '{component}' runs on this host.", hint=did_you_mean(component, self._routes)
            )
        return route
