"""A host's deployment rooms on memory adapters, with instances that do as a test says."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgehost.adapters.storage.memory_shelf import MemoryShelf
from edgehost.domain.component_file import embed_spec
from edgehost.domain.component_spec import ComponentSpec
from edgehost.domain.errors import EdgehostError, EndpointTakenError
from edgehost.domain.probation import ProbationRule
from edgehost.domain.release_life import Release, Stage
from edgehost.ports.release_shelf import ReleaseShelf
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.deploy_release import Deployer
from edgehost.usecases.release_ledger import ReleaseLedger
from edgehost.usecases.running_components import DrainingError, RunningComponents, RunningRelease
from tests.usecases.noted_bus import NotedBus

EMPTY_MODULE = b"\0asm\1\0\0\0"


class StillClock:
    """Time that stands until it is moved."""

    def __init__(self, wall: float = 1_800_000_000.0) -> None:
        self.wall = wall
        self.mono = 0.0

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.mono

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.mono += seconds


class ScriptedPool:
    """Instances whose answers a test decides."""

    def __init__(self, answer: Callable[[str, bytes], bytes], exports: tuple[str, ...]) -> None:
        self.answer = answer
        self.names = exports
        self.draining = False
        self.closed = False

    async def exports(self) -> tuple[str, ...]:
        return self.names

    async def call(
        self,
        function: str,
        payload: bytes,
        *,
        context: CallContext = CallContext(),
        deadline_s: float | None = None,
    ) -> bytes:
        if self.draining:
            raise DrainingError("The pool drains.")
        return self.answer(function, payload)

    async def drain(self, timeout_s: float) -> bool:
        self.draining = True
        return True

    async def close(self) -> None:
        self.draining = self.closed = True

    def instances(self) -> list[dict[str, Any]]:
        return []


@dataclass
class RecordedRoutes:
    """Which component serves which endpoint."""

    served: dict[str, str] = field(default_factory=dict)  # endpoint -> component
    stuck: dict[str, str] = field(default_factory=dict)  # component -> header

    def require_free(self, spec: ComponentSpec) -> None:
        if spec.model is not None and self.served.get(spec.model.endpoint, spec.name) != spec.name:
            raise EndpointTakenError(f"'{spec.model.endpoint}' is served already.")

    def serve(self, spec: ComponentSpec, *, digest: str) -> None:
        if spec.model is not None:
            self.served[spec.model.endpoint] = spec.name

    def withdraw(self, component: str) -> None:
        self.served = {endpoint: name for endpoint, name in self.served.items() if name != component}

    def stick(self, component: str, header: str) -> None:
        self.stuck[component] = header


def component_bytes(name: str, version: str, *, endpoint: str | None = None, **more: Any) -> bytes:
    """A component file with no code, for use cases that never run it."""
    document: dict[str, Any] = {
        "name": name,
        "version": version,
        "kind": "model",
        "model": {"endpoint": endpoint or name},
    }
    return embed_spec(EMPTY_MODULE, document | more)


class Scene:
    """Everything a deployment touches."""

    def __init__(self, shelf: ReleaseShelf | None = None) -> None:
        self.clock = StillClock()
        self.bus = NotedBus()
        self.shelf = shelf or MemoryShelf()
        self.ledger = ReleaseLedger(self.shelf, self.bus, self.clock)
        self.running = RunningComponents()
        self.routes = RecordedRoutes()
        self.pools: dict[str, ScriptedPool] = {}
        self.answers: dict[str, Callable[[str, bytes], bytes]] = {}
        self.exports: dict[str, tuple[str, ...]] = {}
        self.start_errors: dict[str, EdgehostError] = {}
        self.drained: list[RunningRelease] = []
        self.faults: list[RunningRelease] = []
        self.deployer = Deployer(
            shelf=self.shelf,
            ledger=self.ledger,
            running=self.running,
            routes=self.routes,
            clock=self.clock,
            start_pool=self._start_pool,
            drain_later=self._drain_later,
            on_fault=self.faults.append,
            probation=ProbationRule(),
        )

    async def shelve(self, name: str, version: str, *, sequence: int = 1, **spec: Any) -> Release:
        """Put a release on the shelf, ready to deploy."""
        content = component_bytes(name, version, **spec)
        return await self.shelve_file(name, version, content, sequence=sequence)

    async def shelve_file(self, name: str, version: str, content: bytes, *, sequence: int = 1) -> Release:
        digest = hashlib.sha256(content).hexdigest()
        await self.shelf.put(digest, content)
        release = Release(name, version, digest, len(content), sequence, "test")
        for stage in (Stage.VERIFIED, Stage.SHELVED):
            release = release.moved_to(stage, at=self.clock.now())
        return await self.ledger.add(release)

    def stage_of(self, release: Release) -> Stage:
        known = self.ledger.by_digest(release.digest)
        assert known is not None
        return known.stage

    async def _start_pool(self, release: Release, spec: ComponentSpec, wasm: bytes) -> ScriptedPool:
        error = self.start_errors.get(release.version)
        if error is not None:
            raise error
        answer = self.answers.get(release.version, lambda _function, _payload: release.version.encode())
        pool = ScriptedPool(answer, self.exports.get(release.version, spec.exports_used()))
        self.pools[release.version] = pool
        return pool

    def _drain_later(self, running: RunningRelease, _before: Release | None) -> None:
        self.drained.append(running)


def raising(error: EdgehostError) -> Callable[[str, bytes], bytes]:
    """An answer that is an error."""

    def answer(_function: str, _payload: bytes) -> bytes:
        raise error

    return answer


def as_mapping(value: Mapping[str, Any]) -> dict[str, Any]:
    return dict(value)
