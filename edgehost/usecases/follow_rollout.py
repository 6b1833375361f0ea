"""A host's part in rollouts: waits for its turn, watches itself, tells the others, and gives back what failed elsewhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from edgehost.domain.deployment import Deployment, OnFailure
from edgehost.domain.deployment_events import DeploymentEvent
from edgehost.domain.deployment_life import HeldDeployment
from edgehost.domain.errors import EdgehostError
from edgehost.domain.events import Event
from edgehost.domain.fleet_members import failures_in
from edgehost.domain.rollout_decision import (
    Decision,
    FleetSight,
    Place,
    advice_alone,
    decide,
    is_resumed,
    must_go_back,
    place_of,
)
from edgehost.domain.rollout_numbers import wave_fault
from edgehost.domain.rollout_report import RolloutCommand, RolloutReport, RolloutState
from edgehost.ports.clock import Clock
from edgehost.ports.event_bus import EventBus
from edgehost.ports.fleet_view import FleetView
from edgehost.usecases.count_failures import FailureCount
from edgehost.usecases.reconcile_deployment import DeploymentReconciler
from edgehost.usecases.rollout_turn import Turn
from edgehost.usecases.take_deployments import HostWords
from edgehost.usecases.watch_soak import Consent, Fault, SoakWatch

log = logging.getLogger("edgehost.rollout")

#: How often the gates of what soaks are looked at, and what waits is told again when its reason changed.
_LOOK_S: Final = 1.0
#: Others report one after another; what they say is looked at together.
_GATHER_S: Final = 0.1
#: A short soak is looked at so many times all the same.
_LOOKS: Final = 5
_SHORTEST_LOOK_S: Final = 0.1
#: A host that is set aside sees so often whether it still is.
_ASIDE_S: Final = 60.0
_WAITS: Final = frozenset({RolloutState.WAITING, RolloutState.PREPARED})
_CHANGED: Final = frozenset({RolloutState.APPLYING, RolloutState.SOAKING, RolloutState.SUCCESSFUL})


#: Takes a release that misbehaves out of service: component, digest, reason.
Quarantine = Callable[[str, str, str], Awaitable[None]]


async def _nothing(_component: str, _digest: str, _reason: str) -> None:
    """Who has no releases has none to quarantine."""


@dataclass(slots=True)
class FleetRollout:
    """Meets RolloutTurn; ``run`` does the rest. Without a fleet it knows windows, consent and gates alone."""

    host: HostWords
    reconciler: DeploymentReconciler
    soak: SoakWatch
    consent: Consent
    bus: EventBus
    clock: Clock
    local: Callable[[], datetime]  # the host's local time, for windows
    view: FleetView | None = None
    reason_of: Callable[[HeldDeployment], str] = lambda held: held.reason
    quarantine: Quarantine = _nothing
    failures: FailureCount | None = None  # that make rollouts set this host aside; None: nothing does
    look_s: float = _LOOK_S
    _asked_at: dict[str, float] = field(
        default_factory=dict
    )  # by digest, without seeing others: monotonic seconds
    _put_off_at: dict[str, float] = field(default_factory=dict)
    _was_ready: dict[str, bool] = field(default_factory=dict)  # by digest, at the last look
    _told: dict[str, RolloutReport] = field(default_factory=dict)
    _moved: asyncio.Event = field(default_factory=asyncio.Event)

    async def may_begin(self, deployment: Deployment) -> Turn:
        """See RolloutTurn."""
        decision = self._decision(deployment)
        if not decision.go:
            return Turn(go=False, halt=decision.halt, reason=decision.reason)
        refusal = await self._put_off(deployment)
        return Turn(go=not refusal, reason=refusal)

    async def run(self) -> None:
        """Tell, watch and take back until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._hear(), name="edgehost.rollout.hear")
            if self.view is not None:
                tasks.create_task(self._see(self.view), name="edgehost.rollout.see")
            while True:
                await self.look()
                try:
                    async with asyncio.timeout(self._pause_s()):
                        await self._moved.wait()
                except TimeoutError:
                    continue
                self._moved.clear()

    async def look(self) -> None:
        """One look at everything that is held."""
        everything = self._held()
        for held in everything:
            try:
                await self._attend(held)
                if self.failures is not None:
                    await self.failures.note(held)
            except EdgehostError as error:
                log.warning("Rollout of %s %d: %s", held.deployment.name, held.deployment.sequence, error)
        if self.failures is not None:
            self.failures.look()
        await self._tell()
        digests = {held.deployment.digest: held for held in everything}
        self.soak.forget(digests)
        self._asked_at = {key: at for key, at in self._asked_at.items() if key in digests}
        self._was_ready = {key: was for key, was in self._was_ready.items() if key in digests}
        self._put_off_at = {key: at for key, at in self._put_off_at.items() if key in digests}

    def _pause_s(self) -> float | None:
        """Until the next look: what soaks changes without a word, and so do the reasons of what waits."""
        held = self._held()
        soaks = [each.deployment.rollout.soak_s for each in held if each.state is RolloutState.SOAKING]
        if soaks:
            return min(self.look_s, max(min(soaks) / _LOOKS, _SHORTEST_LOOK_S))
        if any(each.state in _WAITS for each in held):
            return self.look_s
        return _ASIDE_S if self.failures is not None and self.failures.is_set_aside else None

    def _held(self) -> tuple[HeldDeployment, ...]:
        return (*self.reconciler.book.current(), *self.reconciler.book.queued())

    async def _attend(self, held: HeldDeployment) -> None:
        deployment, reconciler = held.deployment, self.reconciler
        if held.state in _CHANGED and not held.taking_back:
            if why := must_go_back(deployment, self._sight(deployment)):
                await reconciler.take_back(deployment.name, deployment.sequence, why)
            elif held.state is RolloutState.SOAKING and (fault := await self.soak.fault(held)):
                await self._condemn(held, fault)
        elif held.state in _WAITS:
            self._wake_when_ready(deployment)
        elif held.state is RolloutState.HALTED and is_resumed(deployment, self._sight(deployment)):
            await reconciler.resume(deployment.name, deployment.sequence)

    def _wake_when_ready(self, deployment: Deployment) -> None:
        """What only time decides, such as a window, is told once; the rest comes by itself."""
        is_ready = self._decision(deployment).go
        if is_ready and not self._was_ready.get(deployment.digest):
            self.reconciler.wake()
        self._was_ready[deployment.digest] = is_ready

    async def _condemn(self, held: HeldDeployment, fault: Fault) -> None:
        """The release goes first: after a crash it is known by its quarantine that the deployment failed."""
        deployment = held.deployment
        before = held.before.get(fault.component)
        is_news = before is not None and fault.digest not in {"", before.digest, *before.candidates}
        why = f"{fault.version}: {fault.reason}" if fault.version else fault.reason
        if is_news and deployment.on_failure is not OnFailure.KEEP:
            await self.quarantine(fault.component, fault.digest, fault.reason)
            why = f"{fault.version} is quarantined: {fault.reason}"
        await self.reconciler.condemn(deployment.name, deployment.sequence, fault.component, why)

    def _decision(self, deployment: Deployment) -> Decision:
        return decide(
            deployment, self._sight(deployment), local=self.local(), waited_s=self._blind_s(deployment)
        )

    def _blind_s(self, deployment: Deployment) -> float:
        """How long it has waited without seeing the others.

        A host that belongs to no fleet has waited since it took the deployment, whatever became of it meanwhile.
        """
        now = self.clock.monotonic()
        if self.view is not None and self.view.connected:
            self._asked_at.pop(deployment.digest, None)
            return 0.0
        waited_s = now - self._asked_at.setdefault(deployment.digest, now)
        if self.view is None:
            held = self.reconciler.book.named(deployment.name, deployment.sequence)
            return max(waited_s, self.clock.now() - held.accepted_at)
        return waited_s

    def advice(self, deployment: Deployment) -> str:
        """What an operator can do about a wait that does not end by itself; "" when nothing need be done."""
        return advice_alone(deployment) if self.view is None else ""

    async def _put_off(self, deployment: Deployment) -> str:
        """Why a component puts the change off, for as long as the deployment lets it."""
        most_s = deployment.rollout.defer_most_s
        if most_s <= 0:
            return ""
        refusal = await self.consent.refusal(deployment)
        if not refusal:
            return ""
        now = self.clock.monotonic()
        if now - self._put_off_at.setdefault(deployment.digest, now) >= most_s:
            log.info("Deployment %s begins although %s", deployment.name, refusal)
            return ""
        return refusal

    def _sight(self, deployment: Deployment) -> FleetSight:
        labels = {**self.host.labels, "class": self.host.device_class}
        if self.view is not None:
            self.view.trust(deployment.name, deployment.rollout.keys)
        if self.view is None:
            return FleetSight(self.host.name, labels, connected=False, alone=True)
        return FleetSight(
            self.host.name,
            labels,
            self.view.members(),
            self.view.away(),
            self.view.reports(deployment.name),
            self._command(self.view, deployment),
            self.view.connected,
            self.view.key,
            self._set_aside(self.view),
        )

    def _command(self, view: FleetView, deployment: Deployment) -> RolloutCommand | None:
        """The operator's order; one that was given ahead may name a wave that the deployment turned out not to have."""
        command, waves = view.command(deployment.name), len(deployment.rollout.waves)
        if command is None or command.sequence != deployment.sequence:
            return command
        fault = wave_fault(command.order, deployment.name, deployment.sequence, command.wave, waves)
        return None if fault else command

    def _set_aside(self, view: FleetView) -> Mapping[str, Collection[str]]:
        mine = {} if self.failures is None else self.failures.shown()
        own = {self.host.name: failures_in({"set_aside": mine})} if mine else {}
        return {**view.set_aside(), **own}

    async def _tell(self) -> None:
        """Show what has changed since it was shown last; what waits in front of what holds."""
        if self.view is None:
            return
        newest: dict[str, HeldDeployment] = {held.deployment.name: held for held in self._held()}
        for name in {*self._told, *self.view.shown()} - set(newest):
            self._told.pop(name, None)
            self.view.withdraw(name)
        for name, held in newest.items():
            report = self._report(held)
            if report != self._told.get(name):
                self._told[name] = report
                await self.view.report(report)

    def bridging(self, deployment: Deployment, device: str) -> Sequence[str]:
        """The other hosts that the deployment is for, and that bridge a device of this name."""
        if self.view is None:
            return ()
        members, found = self.view.members(), self.view.bridging(device)
        return sorted(
            host
            for host in found
            if (labels := members.get(host)) is not None
            and deployment.hosts.includes(host, labels.get("class", ""), labels)
        )

    def place(self, deployment: Deployment) -> Place:
        """Where the host stands in a rollout, as it sees its fleet now."""
        return place_of(deployment, self._sight(deployment))

    def _report(self, held: HeldDeployment) -> RolloutReport:
        deployment = held.deployment
        place = self.place(deployment)
        return RolloutReport(
            host=self.host.name,
            site=place.site,
            deployment=deployment.name,
            sequence=deployment.sequence,
            digest=deployment.digest,
            wave=place.wave,
            state=held.state,
            since=held.since or held.accepted_at,
            reason=self.reason_of(held),
            waves=len(deployment.rollout.waves),
        )

    async def _hear(self) -> None:
        async with self.bus.subscription(_of_deployments) as events:
            async for _ in events:
                self._moved.set()

    async def _see(self, view: FleetView) -> None:
        async for _ in view.changes():
            self._moved.set()
            self.reconciler.wake()
            await asyncio.sleep(_GATHER_S)


def _of_deployments(event: Event) -> bool:
    return isinstance(event, DeploymentEvent)
