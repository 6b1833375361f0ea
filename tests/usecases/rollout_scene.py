"""Several hosts that see each other's reports in memory, each over a world of its own that may lose its power."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from edgehost.domain.component_spec import ComponentSpec
from edgehost.domain.fleet_members import failures_in
from edgehost.domain.host_penalty import PenaltyRule
from edgehost.domain.release_life import Release
from edgehost.domain.rollout_report import RolloutCommand, RolloutOrder, RolloutReport, RolloutState
from edgehost.usecases.condemn_release import condemn_release
from edgehost.usecases.count_failures import FailureCount
from edgehost.usecases.follow_rollout import FleetRollout
from edgehost.usecases.pool_statistics import PoolStatistics
from edgehost.usecases.take_deployments import HostWords
from edgehost.usecases.view_deployments import DeploymentsView
from edgehost.usecases.watch_soak import Consent, SoakWatch
from tests.usecases.deploy_scene import ScriptedPool
from tests.usecases.desired_scene import Desired, World

NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)  # a Wednesday


@dataclass
class Board:
    """What a broker retains."""

    members: dict[str, Mapping[str, str]] = field(default_factory=dict)
    reports: dict[tuple[str, str], RolloutReport] = field(default_factory=dict)  # deployment, host
    orders: dict[str, RolloutCommand] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)
    failures: dict[str, FailureCount] = field(default_factory=dict)  # by host
    devices: dict[str, Collection[str]] = field(default_factory=dict)  # by host
    changes: int = 0


@dataclass
class BoardView:
    """A FleetView."""

    board: Board
    host: str
    connected: bool = True

    def members(self) -> Mapping[str, Mapping[str, str]]:
        return self.board.members

    def bridging(self, device: str) -> Collection[str]:
        return [host for host, names in self.board.devices.items() if device in names and host != self.host]

    def away(self) -> Collection[str]:
        return self.board.away

    @property
    def key(self) -> str:
        return ""

    def trust(self, deployment: str, keys: Mapping[str, str]) -> None:
        assert not keys

    def set_aside(self) -> Mapping[str, Collection[str]]:
        return {
            name: failures_in({"set_aside": failures.shown()})
            for name, failures in self.board.failures.items()
            if failures.is_set_aside
        }

    def reports(self, deployment: str) -> Sequence[RolloutReport]:
        return [each for (name, _), each in self.board.reports.items() if name == deployment]

    def command(self, deployment: str) -> RolloutCommand | None:
        return self.board.orders.get(deployment)

    async def report(self, report: RolloutReport) -> None:
        self.board.reports[report.deployment, self.host] = report
        self.board.changes += 1

    def shown(self) -> Collection[str]:
        return {name for name, host in self.board.reports if host == self.host}

    def withdraw(self, deployment: str) -> None:
        self.board.reports.pop((deployment, self.host), None)
        self.board.changes += 1

    async def changes(self) -> AsyncIterator[None]:
        await asyncio.Event().wait()
        yield


@dataclass
class KeptTable:
    """A TableStore that outlives a run of its host."""

    world: World

    async def load(self) -> Mapping[str, Any]:
        return self.world.tables.get("failures", {})

    async def keep(self, table: Mapping[str, Any]) -> None:
        self.world.tables["failures"] = table


class RolloutHost(Desired):
    """One host; its guests answer as ``behaviour`` says, by version."""

    def __init__(self, name: str, world: World, board: Board | None, site: str = "north") -> None:
        words = HostWords(name, "pi", {"site": site})
        super().__init__(world, words=words)
        self.behaviour: dict[str, Callable[[str, bytes], bytes]] = {}
        self.local = NOON
        self.table = KeptTable(world)
        self.view = None if board is None else BoardView(board, name)

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[FleetRollout]:
        async with self.on() as reconciler:
            self.rollout = FleetRollout(
                self.words,
                reconciler,
                SoakWatch(self.running),
                Consent(self.running),
                self.bus,
                self.clock,
                local=lambda: self.local,
                view=self.view,
                reason_of=DeploymentsView(reconciler, self.words).reason,
                quarantine=partial(condemn_release, self.manager),
                failures=await self._failures(),
            )
            reconciler.turn = self.rollout
            reconciler.plans.elsewhere = self.rollout.bridging
            yield self.rollout

    async def _failures(self) -> FailureCount | None:
        if self.view is None:
            return None
        failures = FailureCount(self.table, self.clock, PenaltyRule(most=3, within_s=7 * 86_400))
        await failures.open()
        self.view.board.failures[self.words.name] = failures
        return failures

    async def step(self) -> None:
        """All that this host can do now."""
        await self.settle()
        await self.rollout.look()
        await self.settle()
        await self.rollout.look()

    def report(self, name: str = "site") -> RolloutReport:
        assert self.view is not None
        return self.view.board.reports[name, self.words.name]

    async def _start_pool(self, release: Release, spec: ComponentSpec, wasm: bytes) -> ScriptedPool:
        pool = await super()._start_pool(release, spec, wasm)
        pool.answer = self.behaviour.get(spec.version, pool.answer)
        pool.statistics = PoolStatistics()  # type: ignore[attr-defined]  # as pools of sandboxes have them
        return pool


class Fleet:
    """Hosts with one publisher."""

    def __init__(self, *names: str) -> None:
        self.board = Board()
        self.worlds = {name: World() for name in names}
        self.hosts: dict[str, RolloutHost] = {}
        self.board.members = {name: {"site": "north", "class": "pi"} for name in names}

    def offer(self, component: str, version: str, sequence: int = 1) -> None:
        for world in self.worlds.values():
            world.offer(component, version, sequence)

    def deploy(self, sequence: int, **document: Any) -> None:
        for world in self.worlds.values():
            world.deploy(sequence, **document)

    def order(self, what: RolloutOrder, sequence: int, wave: int = 0) -> None:
        self.board.orders["site"] = RolloutCommand("site", sequence, what, wave, "ada")

    @asynccontextmanager
    async def on(self) -> AsyncIterator[dict[str, RolloutHost]]:
        """All hosts run within the block."""
        async with AsyncExitStack() as stack:
            self.hosts = {name: RolloutHost(name, world, self.board) for name, world in self.worlds.items()}
            for host in self.hosts.values():
                await stack.enter_async_context(host.followed())
            yield self.hosts

    async def settle(self, *, but: str = "") -> None:
        """Let every host do what it can until nobody has anything to tell."""
        while True:
            before = self.board.changes
            for name, host in self.hosts.items():
                if name != but:
                    await host.step()
            if self.board.changes == before:
                return

    async def pass_by(self, seconds: float) -> None:
        for world in self.worlds.values():
            world.clock.pass_by(seconds)
        await self.settle()

    def states(self, sequence: int) -> dict[str, RolloutState]:
        return {
            host: each.state for (_, host), each in self.board.reports.items() if each.sequence == sequence
        }

    def live(self, component: str = "pump") -> dict[str, str]:
        return {name: host.live(component) for name, host in self.hosts.items()}

    def in_order(self, sequence: int) -> list[str]:
        """The hosts by wave; the canary first."""
        reports = [each for each in self.board.reports.values() if each.sequence == sequence]
        return [each.host for each in sorted(reports, key=lambda each: each.wave)]
