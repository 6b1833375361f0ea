"""What a deployer needs of the other rooms: pools, routes, and records that change their form."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Protocol

from edgehost.domain.component_spec import ComponentSpec
from edgehost.domain.record_forms import Way
from edgehost.domain.release_life import Release
from edgehost.usecases.running_components import Pool


class StartPool(Protocol):
    """Starts the instances of a release, without traffic."""

    async def __call__(self, release: Release, spec: ComponentSpec, wasm: bytes, /) -> StartedPool:
        """Started instances.

        Raises:
            InvalidComponentError: the module cannot be loaded.
        """
        ...


class StartedPool(Pool, Protocol):
    """A pool that can be looked over before it takes traffic."""

    async def exports(self) -> tuple[str, ...]:
        """Compile every export and name it."""
        ...


class ModelRoutes(Protocol):
    """Where models are served; a change is one assignment."""

    def require_free(self, spec: ComponentSpec) -> None:
        """Check that no other component serves the model's endpoint.

        Raises:
            EndpointTakenError: another one does.
        """
        ...

    def serve(self, spec: ComponentSpec, *, digest: str) -> None:
        """Serve this release's model from now on, in place of the component's earlier one."""
        ...

    def withdraw(self, component: str) -> None:
        """Serve the component's model no longer."""
        ...

    def stick(self, component: str, header: str) -> None:
        """Take the word that the component's calls stick to from this request header."""
        ...


class Migrations(Protocol):
    """Brings records into the form that a release knows."""

    async def require_way(self, release: Release, spec: ComponentSpec, last: str) -> Way:
        """What the release needs of the records; ``last`` is the version that was live last.

        Raises:
            IncompatibleReleaseError: it cannot read them.
        """
        ...

    def moved(
        self, release: Release, spec: ComponentSpec, pool: Pool, *, before: ComponentSpec | None, last: str
    ) -> AbstractAsyncContextManager[None]:
        """Within the block the records have the release's form; the block makes it live.

        Raises:
            IncompatibleReleaseError: a record has no form in this release; nothing was changed.
            EdgehostError: not now; nothing was changed.
        """
        ...

    async def settle(self, spec: ComponentSpec) -> None:
        """The live release has proved itself: there is no way back for its records."""
        ...

    async def recover(
        self, live: Callable[[str], Release | None], by_digest: Callable[[str], Release | None]
    ) -> None:
        """Put right what the last run of the host was cut short in."""
        ...


class RecordsStay:
    """Migrations of a host whose records never change their form."""

    async def require_way(self, _release: Release, _spec: ComponentSpec, _last: str) -> Way:
        """They stay as they are."""
        return Way.AS_THEY_ARE

    def moved(
        self,
        _release: Release,
        _spec: ComponentSpec,
        _pool: Pool,
        *,
        before: ComponentSpec | None,  # noqa: ARG002 - as in Migrations
        last: str,  # noqa: ARG002 - as in Migrations
    ) -> AbstractAsyncContextManager[None]:
        """Nothing is done before the block."""
        return nullcontext()

    async def settle(self, spec: ComponentSpec) -> None:
        """Nothing is kept."""

    async def recover(
        self, live: Callable[[str], Release | None], by_digest: Callable[[str], Release | None]
    ) -> None:
        """Nothing was cut short."""
