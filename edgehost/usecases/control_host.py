"""What an operator may ask of the running host, answered from its rooms."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from edgehost.domain.errors import NotFoundError
from edgehost.domain.events import GuestLogged
from edgehost.domain.release_life import Release
from edgehost.domain.suggestion import did_you_mean
from edgehost.ports.agent_control import AgentControl
from edgehost.ports.board_control import BoardControl
from edgehost.ports.certificate_control import CertificateControl
from edgehost.ports.clock import Clock
from edgehost.ports.device_control import DeviceControl
from edgehost.usecases.direct_traffic import Ground
from edgehost.usecases.host_findings import (
    conduct_findings,
    down_findings,
    remote_finding,
    sandbox_findings,
    storage_findings,
)
from edgehost.usecases.keep_following import RemoteHealth
from edgehost.usecases.manage_components import ComponentManager
from edgehost.usecases.order_binding import order_binding, port_findings
from edgehost.usecases.port_rooms import PortRooms
from edgehost.usecases.run_pipeline import Pipelines
from edgehost.usecases.run_workflow import Workflows
from edgehost.usecases.running_components import RunningRelease
from edgehost.usecases.show_record import domain_of
from edgehost.usecases.traffic_order import read_traffic_order
from edgehost.usecases.view_agent import life_findings
from edgehost.usecases.view_deployments import DeploymentsView
from edgehost.usecases.view_host import HostViews
from edgehost.usecases.view_ports import bindings_view
from edgehost.usecases.view_workflows import history_view, order_undo, workflow_view
from edgehost.usecases.watch_traffic import TrafficWatch, figures_of


@dataclass(slots=True)
class HostIdentity:
    """Who this host is; fixed while it runs."""

    name: str
    version: str
    device_class: str
    pid: int
    started_at: float
    urls: tuple[str, ...] = ()


@dataclass(slots=True)
class ControlHost:
    """Meets the HostControl port."""

    identity: HostIdentity
    manager: ComponentManager
    traffic_watch: TrafficWatch
    clock: Clock
    confinement: Callable[[], Mapping[str, str]]
    storage: Callable[[], Mapping[str, Any]]
    request_stop: Callable[[], None]
    guest_lines: Iterable[GuestLogged] = ()
    ports: PortRooms | None = None
    workflows: Workflows | None = None
    pipelines: Pipelines | None = None
    views: HostViews | None = None
    remotes: dict[str, tuple[RemoteHealth, asyncio.Event]] = field(default_factory=dict)
    life: AgentControl | None = None
    make_boards: Callable[[], BoardControl] | None = None
    _boards: BoardControl | None = None
    bridged: DeviceControl | None = None
    certificates: CertificateControl | None = None
    bundle: Callable[[], Awaitable[bytes]] | None = None
    written_of: Callable[[str], int | None] = lambda _digest: None  # bytes that a deployment wrote, by digest
    deployment_views: DeploymentsView | None = None
    more_status: dict[str, Callable[[], Mapping[str, Any]]] = field(default_factory=dict)  # by name
    more_findings: list[Callable[[], Iterable[Mapping[str, Any]]]] = field(default_factory=list)

    def boards(self) -> BoardControl:
        """The boards on the lines of this machine; made when somebody asks for them first."""
        if self._boards is None:
            if self.make_boards is None:
                raise NotFoundError("This host looks after no boards.")
            self._boards = self.make_boards()
        return self._boards

    def devices(self) -> DeviceControl:
        """The devices that this host bridges."""
        if self.bridged is None:
            raise NotFoundError(
                "This host bridges no devices.",
                hint="Describe them under [devices.NAME] in its configuration.",
            )
        return self.bridged

    def renewals(self) -> CertificateControl:
        """The certificates that this host renews."""
        if self.certificates is None:
            raise NotFoundError(
                "This host renews no certificates.",
                hint="Describe them under [[certificates]] in its configuration.",
            )
        return self.certificates

    def agent(self) -> AgentControl:
        """The agent's own life: configurations, mode, crashes."""
        if self.life is None:
            raise NotFoundError("This host was not started by 'edgehost run': it has no life of its own.")
        return self.life

    async def status(self) -> Mapping[str, Any]:
        """Who this host is, since when it runs, what is live, how its remotes are."""
        return {
            **asdict(self.identity),
            "now": self.clock.now(),
            "components": [self._component(running) for running in self.manager.deployer.running.all()],
            "remotes": [asdict(health) for health, _ in self.remotes.values()],
            "confinement": dict(self.confinement()),
            "storage": dict(self.storage()),
            **({} if self.life is None else {"agent": dict(self.life.status())}),
            **{name: dict(view()) for name, view in self.more_status.items()},
        }

    def _component(self, running: RunningRelease) -> dict[str, Any]:
        split = self.manager.deployer.running.split_of(running.release.component)
        candidates = () if split is None else split.candidates
        known = self.manager.deployer.ledger.by_digest(running.release.digest)
        return _component(running, known or running.release, now=self.clock.now()) | {
            "candidates": [each.release.version for each in candidates]
        }

    async def doctor(self) -> Sequence[Mapping[str, Any]]:
        """Findings about the running host."""
        deployer = self.manager.deployer
        findings: list[dict[str, Any]] = [
            *sandbox_findings(self.confinement()),
            *down_findings(self.manager.restarts.down, deployer.running),
            *(remote_finding(health) for health, _ in self.remotes.values()),
            *conduct_findings(deployer.running),
        ]
        if self.ports is not None:
            findings.extend(port_findings(self.ports))
        findings.extend(storage_findings(self.storage()))
        if self.life is not None:
            findings.extend(dict(each) for each in life_findings(self.life))
        for more in self.more_findings:
            findings.extend(dict(each) for each in more())
        return findings

    async def deployments(self) -> Sequence[Mapping[str, Any]]:
        """The deployments that are held, each with the standing of its components."""
        return [] if self.deployment_views is None else self.deployment_views.all()

    async def plan_deployments(self, document: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """What would change now, for what is held or for a document."""
        if self.deployment_views is None:
            raise NotFoundError("This host follows no deployments.")
        return await self.deployment_views.plan(document)

    async def logs(self, component: str | None = None) -> Sequence[Mapping[str, Any]]:
        """The last lines that components logged, oldest first."""
        return [
            {"at": line.at, **line.details()}
            for line in self.guest_lines
            if component in {None, line.component}
        ]

    async def releases(self, component: str | None = None) -> Sequence[Mapping[str, Any]]:
        """The ledger, oldest first; of one component when it is named."""
        ledger = self.manager.deployer.ledger
        found = ledger.all() if component is None else ledger.of(component)
        if component is not None and not found:
            known = {release.component for release in ledger.all()}
            raise NotFoundError(
                f"No release of '{component}' is known here.", hint=did_you_mean(component, known)
            )
        return [asdict(each) | {"written_bytes": self.written_of(each.digest)} for each in found]

    async def instances(self) -> Sequence[Mapping[str, Any]]:
        """Every sandbox."""
        return [
            {"component": running.release.component, "version": running.release.version, **instance}
            for running in self.manager.deployer.running.everything()
            for instance in running.pool.instances()
        ]

    async def deploy(self, component: str, version: str | None = None) -> Mapping[str, Any]:
        """Bring a release live; returns it."""
        return asdict(await self.manager.deploy_named(component, version))

    async def rollback(self, component: str) -> Mapping[str, Any]:
        """Bring the last good release back; returns it."""
        live = self.manager.deployer.ledger.live(component)
        if live is None:
            raise NotFoundError(f"'{component}' has no live release to roll back.")
        if not await self._has_good(component):
            raise NotFoundError(
                f"'{component}' has no earlier good release on the shelf.",
                hint="It stays as it is. Deploy another version with 'edgehost deploy NAME@VERSION'.",
            )
        restored = await self.manager.roll_back(component, "An operator rolled it back.")
        if restored is None:
            raise NotFoundError(
                f"No earlier release of '{component}' starts any more; it is out of service.",
                hint="Deploy another version with 'edgehost deploy NAME@VERSION'.",
            )
        return asdict(restored)

    async def withdraw(self, component: str) -> Mapping[str, Any]:
        """Take a component out of service until it is deployed again."""
        was = await self.manager.withdraw(component, "An operator took it out of service.")
        return {} if was is None else asdict(was)

    async def traffic(self, component: str) -> Mapping[str, Any]:
        """How a component's calls are divided, and what came of it."""
        return self.traffic_watch.describe(component)

    async def change_traffic(self, component: str, order: Mapping[str, Any]) -> Mapping[str, Any]:
        """Give shares, promote or stop; returns how calls are divided then."""
        wanted = read_traffic_order(order)
        for version, share in wanted.shares.items():
            await self.manager.give_share(await self.manager.found(component, version), share)
        if wanted.promote:
            await self.manager.promote(
                component, wanted.promote, self._by_operator(component, wanted.promote)
            )
        if wanted.stop:
            await self.manager.stop_candidate(
                component, wanted.stop, self._by_operator(component, wanted.stop)
            )
        return self.traffic_watch.describe(component)

    def _by_operator(self, component: str, version: str) -> Ground:
        traffic = self.manager.traffic
        candidate, split = traffic.candidate(component, version), traffic.split(component)
        figures = {} if split is None else figures_of(split, candidate)
        return Ground("operator", "An operator decided it.", figures)

    async def unquarantine(self, digest: str) -> Mapping[str, Any]:
        """Let a quarantined release be tried again; returns it."""
        return asdict(await self.manager.lift_quarantine(digest))

    async def refresh(self, remote: str | None = None) -> Mapping[str, Any]:
        """Look at the remotes now; returns how each was before."""
        if remote is not None and remote not in self.remotes:
            raise NotFoundError(f"There is no remote '{remote}'.", hint=did_you_mean(remote, self.remotes))
        for name, (_, news) in self.remotes.items():
            if remote in {None, name}:
                news.set()
        return {name: asdict(health) for name, (health, _) in self.remotes.items()}

    async def call(self, component: str, function: str, payload: bytes) -> bytes:
        """Call an export of the live release of a component."""
        return await self.manager.deployer.running.call(component, function, payload)

    async def bindings(self) -> Mapping[str, Any]:
        """What leads where, and how it is."""
        return bindings_view(self._ports())

    async def bind(self, what: str, target: str) -> Mapping[str, Any]:
        """Bind a port or an adapter; returns what leads where then."""
        return await order_binding(self._ports(), what, target)

    async def workflow(self, model: str | None = None) -> Mapping[str, Any]:
        """Which ports lead to which."""
        return workflow_view(self._workflows().models, model)

    async def workflow_history(self, model: str, record_id: str) -> Mapping[str, Any]:
        """The port history of a record."""
        return await history_view(self._workflows(), model, record_id)

    async def workflow_undo(self, model: str, record_id: str) -> Mapping[str, Any]:
        """Take back what was done for a record; returns its history."""
        return await order_undo(self._workflows(), model, record_id)

    async def list_pipelines(self) -> Sequence[Mapping[str, Any]]:
        """The pipelines that the configuration describes."""
        return [] if self.pipelines is None else [each.document() for each in self.pipelines.all()]

    async def run_pipeline(self, name: str, payload: bytes) -> bytes:
        """What comes out at the end of a pipeline."""
        if self.pipelines is None:
            raise NotFoundError("This host runs no pipelines.")
        return await self.pipelines.call(name, payload)

    def _workflows(self) -> Workflows:
        if self.workflows is None:
            raise NotFoundError("This host runs no workflows.")
        return self.workflows

    def _ports(self) -> PortRooms:
        if self.ports is None:
            raise NotFoundError("This host serves no ports.")
        return self.ports

    async def view(self, details: str, model: str = "") -> Mapping[str, Any]:
        """What is served and how it is."""
        if self.views is None:
            raise NotFoundError("This host has no views.")
        return self.views.view(details, model)

    async def diag(self) -> bytes:
        """A bundle for whoever helps."""
        if self.bundle is None:
            raise NotFoundError("This host makes no bundles.")
        return await self.bundle()

    async def stop(self) -> None:
        """Begin to end."""
        self.request_stop()

    async def _has_good(self, component: str) -> bool:
        deployer = self.manager.deployer
        for release in deployer.ledger.good(component):
            if await deployer.shelf.has(release.digest):
                return True
        return False


def _component(running: RunningRelease, release: Release, *, now: float) -> dict[str, Any]:
    model = running.spec.model
    return {
        "component": release.component,
        "version": release.version,
        "kind": str(running.spec.kind),
        "endpoint": model.endpoint if model else "",
        "domain": domain_of(model) if model else "",
        "digest": release.digest,
        "remote": release.remote,
        "pinned": release.pinned,
        "live_since": min(release.changed_at, now),  # the clock may have been ahead then
        "probation_until": running.release.probation_until,
        "calls": running.conduct.calls,
        "faults": running.conduct.faults,
        "instances": len(running.pool.instances()),
    }
