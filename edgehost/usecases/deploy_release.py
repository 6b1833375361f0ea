"""Bring a shelved release live: stage, probe, switch, drain the one before ([swap-1])."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace

from edgehost.domain.component_file import read_component
from edgehost.domain.component_spec import ComponentSpec
from edgehost.domain.errors import (
    ConflictError,
    DamagedError,
    EdgehostError,
    GuestError,
    IncompatibleReleaseError,
    InvalidComponentError,
    NotFoundError,
    QuarantinedReleaseError,
    RefusedError,
)
from edgehost.domain.probation import ProbationRule
from edgehost.domain.release_life import Release, Stage
from edgehost.ports.clock import Clock
from edgehost.ports.release_shelf import ReleaseShelf
from edgehost.usecases.deployer_needs import Migrations, ModelRoutes, RecordsStay, StartedPool, StartPool
from edgehost.usecases.release_ledger import ReleaseLedger
from edgehost.usecases.running_components import RunningComponents, RunningRelease


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What becomes of the release that was live until now."""

    stage: Stage = Stage.DRAINING
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Deployer:
    """What bringing a release live needs."""

    shelf: ReleaseShelf
    ledger: ReleaseLedger
    running: RunningComponents
    routes: ModelRoutes
    clock: Clock
    start_pool: StartPool
    drain_later: Callable[
        [RunningRelease, Release | None], None
    ]  # owns the drain, so that a deploy need not wait
    on_fault: Callable[[RunningRelease], None]
    probation: ProbationRule = field(default_factory=ProbationRule)
    migrations: Migrations = field(default_factory=RecordsStay)

    async def deploy(
        self, release: Release, *, after: Aftermath | None = None, pinned: bool = False
    ) -> RunningRelease:
        """Bring the release live; whatever ran before runs on when this one does not make it.

        Raises:
            QuarantinedReleaseError: its digest has misbehaved here.
            InvalidComponentError, GuestError: it did not pass its probe; it is quarantined now.
            EndpointTakenError: another component serves its endpoint; it stays on the shelf.
        """
        before = self.ledger.live(release.component)
        spec, wasm = await self.opened(release)
        await self.migrations.require_way(release, spec, self.last_version(release.component))
        async with AsyncExitStack() as undo:
            release, pool = await self.probed(release, spec, wasm)
            undo.push_async_callback(pool.close)
            running = await self._switched(release, spec, pool, before, after or Aftermath(), pinned=pinned)
            undo.pop_all()
        return running

    async def opened(self, release: Release) -> tuple[ComponentSpec, bytes]:
        """The file of a release that may be started, and what it says of itself.

        Raises:
            QuarantinedReleaseError, ConflictError: it may not be started.
            RefusedError: its file is not what it was published as; it is quarantined now.
            EndpointTakenError: another component serves its endpoint.
        """
        if release.stage is Stage.DRAINING:  # its calls finish where they are; it may come back meanwhile
            release = await self.ledger.move(release, Stage.RETIRED)
        self._require_deployable(release)
        try:
            spec, wasm = await self._opened(release)
        except DamagedError:
            raise  # the file is set aside; fetching it again mends it, so the digest is not to blame
        except RefusedError as error:
            stage = Stage.REJECTED if release.stage is Stage.SHELVED else Stage.QUARANTINED
            await self.ledger.move(release, stage, reason=error.message)
            raise
        self.routes.require_free(spec)
        return spec, wasm

    def last_version(self, component: str) -> str:
        """The version that is live, or was last; "" when none ever was."""
        live = self.ledger.live(component)
        been = [live] if live is not None else [each for each in self.ledger.of(component) if each.live_at]
        return max(been, key=lambda release: release.live_at).version if been else ""

    async def probed(self, release: Release, spec: ComponentSpec, wasm: bytes) -> tuple[Release, StartedPool]:
        """The release at its stage before traffic, with instances that answered its probe.

        Raises:
            InvalidComponentError, GuestError: it did not pass; it is quarantined now.
            EdgehostError: not now; it is on the shelf.
        """
        release = await self.ledger.move(release, Stage.STAGED)
        pool = await self._staged(release, spec, wasm)
        try:
            return await self.ledger.move(release, Stage.PROBED), pool
        except BaseException:
            await pool.close()
            raise

    async def started_again(self, release: Release) -> tuple[ComponentSpec, StartedPool]:
        """Instances of a release that the ledger says runs, when the host starts.

        Raises:
            EdgehostError: it cannot be started any more.
        """
        spec, wasm = await self._opened(release)
        self.routes.require_free(spec)
        return spec, await self._tried(release, spec, wasm)

    async def start_live(self, release: Release) -> RunningRelease:
        """Start a release that the ledger already calls live, when the host starts.

        Raises:
            EdgehostError: it cannot be started any more; the caller decides what takes its place.
        """
        spec, pool = await self.started_again(release)
        if release.probation_until > self._probation_until():  # a clock that was ahead has been put right
            release = replace(release, probation_until=self._probation_until())
        running = RunningRelease(release, spec, pool, on_fault=self.on_fault)
        self.running.route(release.component, running)
        self.routes.serve(spec, digest=release.digest)
        return running

    async def rehearse(self, release: Release) -> None:
        """Start the release without traffic, probe it, and end it again; it is on the shelf afterwards.

        Raises:
            EdgehostError: as for deploy; one that does not pass its probe is quarantined now.
        """
        spec, wasm = await self.opened(release)
        await self.migrations.require_way(release, spec, self.last_version(release.component))
        release, pool = await self.probed(release, spec, wasm)
        await pool.close()
        await self.ledger.move(release, Stage.SHELVED)

    async def restart(self, component: str, keep: Callable[[], Awaitable[None]]) -> RunningRelease:
        """Start the live release anew, call ``keep`` once it has passed its probe, then let what ran finish.

        Raises:
            NotFoundError: the component has no live release.
            EdgehostError: it does not start as the host's terms are now; what ran runs on.
        """
        release = self.ledger.live(component)
        if release is None:
            raise NotFoundError(f"'{component}' has no live release.")
        spec, pool = await self.started_again(release)
        try:
            await keep()
        except BaseException:
            await pool.close()
            raise
        running = RunningRelease(release, spec, pool, on_fault=self.on_fault)
        earlier = self.running.route(component, running, self.running.split_of(component))
        self.routes.serve(spec, digest=release.digest)
        if earlier is not None:
            self.drain_later(earlier, None)
        return running

    async def take_over(self, candidate: RunningRelease) -> RunningRelease:
        """Make a candidate the live release; it brings its instances along.

        Raises:
            ConflictError, StorageFullError: nothing was changed.
        """
        release = candidate.release
        before = self.ledger.live(release.component)
        release = await self.ledger.go_live(
            release,
            before=before,
            before_goes=Stage.DRAINING,
            reason="",
            probation_until=self._probation_until(),
            pinned=before is not None and before.pinned,
        )
        running = RunningRelease(release, candidate.spec, candidate.pool, on_fault=self.on_fault)
        self._route(running, before)
        return running

    def _require_deployable(self, release: Release) -> None:
        if release.stage is Stage.QUARANTINED:
            raise QuarantinedReleaseError(
                f"{release.component} {release.version} is quarantined: {release.reason}",
                hint="Publish a mended release, or lift it with 'edgehost deploy NAME@VERSION --lift-quarantine'.",
            )
        if release.stage not in {Stage.SHELVED, Stage.RETIRED}:
            raise ConflictError(
                f"{release.component} {release.version} is {release.stage}, not waiting on the shelf."
            )

    def _probation_until(self) -> float:
        return self.clock.now() + self.probation.seconds if self.probation.seconds else 0.0

    async def _opened(self, release: Release) -> tuple[ComponentSpec, bytes]:
        wasm = await self.shelf.get(release.digest)
        spec = read_component(wasm)
        if (spec.name, spec.version) != (release.component, release.version):
            raise InvalidComponentError(
                f"The file calls itself {spec.name} {spec.version}; "
                f"it was published as {release.component} {release.version}.",
                hint="Build it again and publish the file as it is.",
            )
        return spec, wasm

    async def _staged(self, release: Release, spec: ComponentSpec, wasm: bytes) -> StartedPool:
        try:
            return await self._tried(release, spec, wasm)
        except EdgehostError as error:
            to_blame = isinstance(error, RefusedError | GuestError | NotFoundError)
            if isinstance(error, IncompatibleReleaseError):  # what this host gives is too little for it
                to_blame = False
            stage = Stage.QUARANTINED if to_blame else Stage.SHELVED
            await self.ledger.move(release, stage, reason=error.message)
            raise

    async def _tried(self, release: Release, spec: ComponentSpec, wasm: bytes) -> StartedPool:
        async with AsyncExitStack() as undo:
            pool = await self.start_pool(release, spec, wasm)
            undo.push_async_callback(pool.close)
            exports = await pool.exports()
            missing = [name for name in spec.exports_used() if name not in exports]
            if missing:
                raise InvalidComponentError(
                    f"The specification names exports that the module lacks: {', '.join(missing)}.",
                    hint=f"It has: {', '.join(exports)}.",
                )
            if spec.probe.export:
                await pool.call(
                    spec.probe.export, spec.probe.input.encode(), deadline_s=spec.probe.deadline_ms / 1000
                )
            undo.pop_all()
        return pool

    async def _switched(
        self,
        release: Release,
        spec: ComponentSpec,
        pool: StartedPool,
        before: Release | None,
        after: Aftermath,
        *,
        pinned: bool,
    ) -> RunningRelease:
        earlier = self.running.get(release.component)
        migrated = self.migrations.moved(
            release,
            spec,
            pool,
            before=None if earlier is None else earlier.spec,
            last=self.last_version(release.component),
        )
        try:
            self.routes.require_free(spec)  # another component may have come live in the meantime
            async with migrated:
                release = await self.ledger.go_live(
                    release,
                    before=before,
                    before_goes=after.stage,
                    reason=after.reason,
                    probation_until=self._probation_until(),
                    pinned=pinned,
                )
                running = RunningRelease(release, spec, pool, on_fault=self.on_fault)
                self._route(running, before)
            if earlier is None and before is not None and after.stage is Stage.DRAINING:
                await self.ledger.move(before, Stage.RETIRED)  # it was live but did not run: nothing drains
        except EdgehostError as error:
            stage = Stage.QUARANTINED if isinstance(error, RefusedError) else Stage.SHELVED
            await self.ledger.move(release, stage, reason=error.message)
            raise
        if not release.probation_until:
            await self.migrations.settle(spec)
        return running

    def _route(self, running: RunningRelease, before: Release | None) -> None:
        """Send the component's calls here, and let whatever ran until now finish."""
        component = running.release.component
        split = self.running.split_of(component)
        earlier = self.running.route(component, running)
        if running.spec.model is not None:
            self.routes.serve(running.spec, digest=running.release.digest)
        else:
            self.routes.withdraw(component)
        if earlier is not None:
            self.drain_later(earlier, before)
        for candidate in () if split is None else split.candidates:
            if candidate.pool is not running.pool:
                self.drain_later(candidate, candidate.release)

    def take_down(self, component: str, before: Release | None = None) -> None:
        """Send no calls to the component any more; what runs of it finishes, and ``before`` is retired then."""
        split = self.running.split_of(component)
        earlier = self.running.route(component, None)
        self.routes.withdraw(component)
        for running in (earlier, *(() if split is None else split.candidates)):
            if running is not None:
                self.drain_later(running, before if running is earlier else running.release)
