"""A host that follows deployments, over stores that may lose their power at any write, and a remote that a test fills."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from edgehost.adapters.storage.memory_shelf import MemoryShelf
from edgehost.domain.backoff import Backoff
from edgehost.domain.component_spec import ComponentSpec
from edgehost.domain.deployment_life import HeldDeployment
from edgehost.domain.deployment_reader import signed_bytes
from edgehost.domain.errors import EdgehostError, NotFoundError, StorageFullError
from edgehost.domain.offered_release import OfferedRelease
from edgehost.domain.release_life import Release, Stage
from edgehost.domain.signed_content import SignedContent
from edgehost.domain.signed_document import DocumentKind, SignedDocument
from edgehost.usecases.component_config import ComponentConfigs
from edgehost.usecases.deployment_book import DeploymentBook
from edgehost.usecases.deployment_facts import HostFacts
from edgehost.usecases.deployment_firmware import FirmwareHands, NoBoards
from edgehost.usecases.deployment_plans import DeploymentPlans
from edgehost.usecases.direct_traffic import TrafficDirector
from edgehost.usecases.follow_remote import Following, FollowRemote
from edgehost.usecases.manage_components import ComponentManager
from edgehost.usecases.reconcile_component import ComponentHands
from edgehost.usecases.reconcile_deployment import DeploymentReconciler
from edgehost.usecases.rollout_turn import RolloutTurn, Turn
from edgehost.usecases.take_deployments import DeploymentIntake, HostWords
from tests.adapters.storage.faulty_disk import PowerCutError
from tests.usecases.deploy_scene import Scene, ScriptedPool, StillClock, component_bytes

WORDS = HostWords("host-1", "generic", {"site": "north"})


class World:
    """What outlives the host: its stores, its remote, and the power that may go at any write."""

    name = "test"

    def __init__(self) -> None:
        self.clock = StillClock()
        self.shelf = CutShelf(self)
        self.deployments: dict[str, Mapping[str, Any]] = {}
        self.configs: Mapping[str, Sequence[tuple[str, Mapping[str, str]]]] = {}
        self.bindings: dict[str, str] = {}
        self.tables: dict[str, Mapping[str, Any]] = {}  # small ones of other parts
        self.offers: list[OfferedRelease] = []
        self.documents_: list[SignedDocument] = []
        self.files: dict[str, bytes] = {}
        self.away: set[str] = set()  # components and documents that cannot be fetched now
        self.stuck: set[str] = set()  # components whose fetch never ends
        self.begun: asyncio.Event = asyncio.Event()  # a fetch that never ends has begun
        self.writes = 0
        self.cut_at: int | None = None
        self.cut_after = False
        self.full = False

    # The remote

    def offer(self, component: str, version: str, sequence: int = 1, **spec: Any) -> OfferedRelease:
        content = component_bytes(component, version, **spec)
        digest = hashlib.sha256(content).hexdigest()
        self.files[digest] = content
        offer = OfferedRelease(
            component=component,
            version=version,
            kind="model",
            abi="extism",
            sequence=sequence,
            device_classes=("any",),
            digest=digest,
            size_bytes=len(content),
            remote=self.name,
            target_path=f"{component}/{version}.wasm",
        )
        self.offers.append(offer)
        return offer

    def deploy(self, sequence: int, name: str = "site", **document: Any) -> SignedDocument:
        """Sign a deployment."""
        content = signed_bytes({"name": name, **document}, sequence)
        digest = hashlib.sha256(content).hexdigest()
        self.files[digest] = content
        signed = SignedDocument(
            kind=DocumentKind.DEPLOYMENT,
            name=name,
            version=str(sequence),
            sequence=sequence,
            digest=digest,
            size_bytes=len(content),
            remote=self.name,
            target_path=f"@deployment/{name}/{sequence}.json",
        )
        self.documents_.append(signed)
        return signed

    async def refresh(self) -> tuple[OfferedRelease, ...]:
        return tuple(self.offers)

    def documents(self) -> tuple[SignedDocument, ...]:
        return tuple(self.documents_)

    async def fetch(self, content: SignedContent, **_how: Any) -> bytes:
        name = content.target_path.partition("/")[0].removeprefix("@")
        if name in self.stuck:
            self.begun.set()
            await asyncio.Event().wait()
        if name in self.away:
            raise StorageFullError(f"{name} cannot be had now.")
        return self.files[content.digest]

    async def changes(self) -> AsyncIterator[None]:
        return
        yield

    # The stores

    async def load(self) -> dict[str, Mapping[str, Any]]:
        return dict(self.deployments)

    async def keep(self, name: str, document: Mapping[str, Any]) -> None:
        with self.write():
            await asyncio.sleep(0)  # others have their turn while a disk works
            self.deployments[name] = document

    def write(self) -> Cut:
        if self.full:
            raise StorageFullError("The disk is full.")
        return Cut(self)


class Cut:
    """The power may go before or after what is written within."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.writes += 1
        self.now = world.writes == world.cut_at

    def __enter__(self) -> None:
        if self.now and not self.world.cut_after:
            raise PowerCutError

    def __exit__(self, *_: object) -> None:
        if self.now and self.world.cut_after:
            raise PowerCutError


class CutShelf(MemoryShelf):
    """A shelf in the world."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    async def put(self, digest: str, content: bytes) -> None:
        with self._world.write():
            await super().put(digest, content)

    async def record(self, *releases: Release) -> None:
        with self._world.write():
            await super().record(*releases)

    async def collect(self, keep: Iterable[str]) -> tuple[str, ...]:
        return await super().collect(keep)


@dataclass
class ConfigStore:
    world: World

    async def load(self) -> Mapping[str, Sequence[tuple[str, Mapping[str, str]]]]:
        return self.world.configs

    async def keep(self, table: Mapping[str, Sequence[tuple[str, Mapping[str, str]]]]) -> None:
        with self.world.write():
            await asyncio.sleep(0)
            self.world.configs = table


@dataclass
class Bindings:
    world: World
    known: set[str] = field(default_factory=lambda: {"mill", "mast"})

    def bound(self) -> Mapping[str, str]:
        return self.world.bindings

    def loose(self) -> frozenset[str]:
        return frozenset(what for what, target in self.world.bindings.items() if target not in self.known)

    async def bind(self, what: str, target: str) -> None:
        if target not in {*self.known, ""}:
            raise NotFoundError(f"There is no '{target}'.")
        with self.world.write():
            if target:
                self.world.bindings[what] = target
            else:
                self.world.bindings.pop(what, None)


class Held:
    """A turn that a test gives."""

    def __init__(self) -> None:
        self.go = True

    async def may_begin(self, _deployment: object) -> Turn:
        return Turn(self.go, "" if self.go else "Its wave has not come.")


class Desired(Scene):
    """One run of the host."""

    def __init__(self, world: World, turn: RolloutTurn | None = None, words: HostWords = WORDS) -> None:
        super().__init__(world.shelf)
        self.world = world
        self.clock = world.clock
        self.ledger._clock = self.clock
        self.deployer = replace(
            self.deployer,
            clock=self.clock,
            drain_later=lambda running, before: self.manager.drain_later(running, before),  # noqa: PLW0108 - made below
        )
        self.started: dict[str, Mapping[str, str]] = {}  # "component version": the overrides it started with
        self.broken: dict[str, EdgehostError] = {}  # "component version": why it does not start
        self.events = self.bus.published
        self.configs = ComponentConfigs(ConfigStore(world))
        self.book = DeploymentBook(world)
        self.turn = turn or Held()
        self.words = words
        self.firmware: FirmwareHands = NoBoards()

    @asynccontextmanager
    async def on(self) -> AsyncIterator[DeploymentReconciler]:
        """The host runs within the block."""
        await self.ledger.load()
        await self.configs.load()
        await self.book.load(lambda held: self.words.are_among(held.deployment.hosts))
        async with asyncio.TaskGroup() as self.tasks:
            owned: list[asyncio.Task[None]] = []

            def spawn(work: Coroutine[Any, Any, None], name: str) -> None:
                owned.append(self.tasks.create_task(work, name=name))

            self.manager = ComponentManager(
                self.deployer, TrafficDirector(self.deployer, self.bus, spawn), self.bus, spawn
            )
            facts = HostFacts(self.manager, self.configs, Bindings(self.world))
            self.reconciler = DeploymentReconciler(
                self.book,
                DeploymentPlans(self.book, facts, self.firmware),
                ComponentHands(facts, self.firmware),
                self.bus,
                self.clock,
                turn=self.turn,
                backoff=Backoff(10, 10),
            )
            self.intake = DeploymentIntake(
                self.words, self.book, self.bus, self.clock, wake=self.reconciler.wake
            )
            self.follow = FollowRemote(
                self.world,
                Following(),
                shelf=self.shelf,
                ledger=self.ledger,
                bus=self.bus,
                clock=self.clock,
                deploy=self._deploy,
                desired=self.intake,
            )
            self.manager.followers.append(self.follow)
            await self.manager.start_live()
            yield self.reconciler
            for task in owned:
                task.cancel()

    async def settle(self) -> None:
        """Look at the remote, and do all that can be done now."""
        await self.follow.catch_up()
        await self.reconciler.settled(self.tasks)

    async def retry(self) -> None:
        """Let the time pass after which what failed is tried again, and do it."""
        self.clock.pass_by(20)
        await self.settle()

    def live(self, component: str) -> str:
        release = self.ledger.live(component)
        return "" if release is None else release.version

    def held(self, name: str = "site") -> HeldDeployment:
        return self.book.named(name)

    def told(self) -> list[str]:
        """What was told of deployments."""
        return [
            event.type.rpartition(".")[2] + (f":{state}" if (state := event.details().get("state")) else "")
            for event in self.events
            if event.type.startswith("edgehost.deployment.")
        ]

    async def _deploy(self, release: Release) -> None:
        await self.manager.deploy(release)

    async def _start_pool(self, release: Release, spec: ComponentSpec, wasm: bytes) -> ScriptedPool:
        key = f"{spec.name} {spec.version}"
        if (error := self.broken.get(key)) is not None:
            raise error
        config = self.configs.to_start(spec.name, release.digest)
        if "poison" in config:
            raise self.broken["poison"]
        self.started[key] = config
        return ScriptedPool(lambda _function, _payload: spec.version.encode(), spec.exports_used())


def stages(host: Desired, component: str) -> dict[str, Stage]:
    """Each version's stage."""
    return {release.version: release.stage for release in host.ledger.of(component)}


TWO = {"pump": {"version": "^1"}, "valve": {"version": "^1"}}


def world_of_two() -> World:
    """A remote with two components."""
    world = World()
    for component in ("pump", "valve"):
        world.offer(component, "1.0.0", 1)
    return world


async def drained(host: Desired, component: str, version: str) -> None:
    """Wait until a release has finished its calls."""
    async with asyncio.timeout(30):
        while stages(host, component)[version] is not Stage.RETIRED:
            await asyncio.sleep(0)
