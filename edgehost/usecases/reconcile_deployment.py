"""Bring this host where its deployments want it, and keep it there, from what it has by itself.

Every look plans anew from facts (``domain.deployment_plan``) and starts what is left to do, each component in a task
of its own: one that is stuck holds no other up. What must outlive a crash is in the book before it is done.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from edgehost.domain.backoff import Backoff
from edgehost.domain.deployment import Deployment, OnFailure
from edgehost.domain.deployment_life import HeldDeployment
from edgehost.domain.deployment_plan import ComponentPlan, Standing
from edgehost.domain.errors import EdgehostError
from edgehost.domain.events import Event, ReleaseMoved
from edgehost.domain.rollout_report import RolloutState
from edgehost.ports.clock import Clock
from edgehost.ports.event_bus import EventBus
from edgehost.usecases.deployment_book import DeploymentBook
from edgehost.usecases.deployment_plans import DeploymentPlans, goes_back
from edgehost.usecases.reconcile_component import ComponentHands
from edgehost.usecases.reconcile_work import Errand, ReconcileWork
from edgehost.usecases.rollout_turn import AtOnce, RolloutTurn, Turn
from edgehost.usecases.take_deployments import superseded
from edgehost.usecases.tell_deployment import fact_of

log = logging.getLogger("edgehost.deployments")

#: Somebody whose turn it may be is asked again after so long, should nobody wake us.
_ASK_AGAIN_S: Final = 30.0
#: A turn that does not answer holds its own deployment up, and the others for no longer than this.
_TURN_S: Final = 60.0

#: What a look does for one deployment; the seconds until the next is due.
Step = Callable[[HeldDeployment, asyncio.TaskGroup], Awaitable[list[float]]]


@dataclass(slots=True)
class DeploymentReconciler:
    """One for a host."""

    book: DeploymentBook
    plans: DeploymentPlans
    hands: ComponentHands
    bus: EventBus
    clock: Clock
    turn: RolloutTurn = field(default_factory=AtOnce)
    backoff: Backoff = Backoff(base_s=2.0, cap_s=300.0)
    reasons: dict[str, str] = field(default_factory=dict)  # name: why what is queued has not begun
    standing: dict[str, tuple[ComponentPlan, ...]] = field(default_factory=dict)  # by name, at the last look
    work: ReconcileWork = field(init=False)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _one_step: asyncio.Lock = field(default_factory=asyncio.Lock)  # so that no change is lost to another
    _asking: dict[str, asyncio.Task[Turn]] = field(default_factory=dict)  # by the deployment's digest
    _begun_at: dict[tuple[str, RolloutState], float] = field(
        default_factory=dict
    )  # digest and state, monotonic

    def __post_init__(self) -> None:
        self.work = ReconcileWork(self.hands, self.clock, self.wake, self.backoff)

    def wake(self) -> None:
        """Look again soon: something may be otherwise."""
        self._news.set()

    async def run(self) -> None:
        """Reconcile until cancelled; what an earlier run had under way ended with it."""
        self._asking.clear()
        self.work.begin_anew()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._hear(), name="edgehost.deployments.hear")
            while True:
                self._news.clear()
                wait_s = await self.look(tasks)
                try:
                    async with asyncio.timeout(wait_s):
                        await self._news.wait()
                except TimeoutError:
                    continue

    async def look(self, tasks: asyncio.TaskGroup) -> float | None:
        """One look: start what is left to do; returns the seconds until the next is due, None when nothing is."""
        self._tidy()
        waits: list[float] = []
        for held in self.book.queued():
            waits += await self._guarded(held, self._consider, tasks)
        for held in self.book.current():
            waits += await self._guarded(held, self._drive, tasks)
        return min(waits, default=None)

    async def settled(self, tasks: asyncio.TaskGroup) -> None:
        """Look until nothing is left to do now; for tests and for those who wait."""
        while True:
            self._news.clear()
            wait_s = await self.look(tasks)
            if self.work.busy or self._asking:
                await self._news.wait()
            elif not self._news.is_set() and (wait_s is None or wait_s > 0):
                return

    async def halt(self, name: str, sequence: int, reason: str) -> None:
        """Do not begin with it.

        Raises:
            NotFoundError: it is not held. ConflictError: it has begun. StorageFullError: nothing was changed.
        """
        async with self._one_step:
            await self._move(self.book.named(name, sequence), RolloutState.HALTED, reason)

    async def resume(self, name: str, sequence: int) -> None:
        """Let what was halted wait for its turn again.

        Raises:
            NotFoundError: it is not held. ConflictError: it is not halted. StorageFullError: nothing was changed.
        """
        async with self._one_step:
            await self._move(self.book.named(name, sequence), RolloutState.WAITING, "")

    async def take_back(self, name: str, sequence: int, reason: str) -> None:
        """Count it as failed and bring every component back to what it was, whatever it says of failures.

        Raises:
            NotFoundError: it is not held. StorageFullError: nothing was changed.
        """
        async with self._one_step:
            held = self.book.named(name, sequence)
            if held.state is RolloutState.FAILED:
                return
            if not held.begun:
                await self._move(replace(held, taking_back=True), RolloutState.FAILED, reason)
                return
            await self.book.change(replace(held, taking_back=True, reason=reason))
        self.wake()

    async def condemn(self, name: str, sequence: int, component: str, reason: str) -> None:
        """Count a component that misbehaves as failed; the deployment says what follows from it.

        Raises:
            NotFoundError: it is not held. StorageFullError: nothing was changed.
        """
        async with self._one_step:
            held = self.book.named(name, sequence)
            if held.begun and held.state is not RolloutState.FAILED and component not in held.failed:
                await self._fail(held, {component: reason})
        self.wake()

    # What waits

    async def _consider(self, held: HeldDeployment, tasks: asyncio.TaskGroup) -> list[float]:
        deployment = held.deployment
        if held.state in {RolloutState.HALTED, RolloutState.FAILED}:
            self.reasons[deployment.name] = held.reason
            return []
        whole = deployment.on_failure is OnFailure.ALL_OR_NONE
        if whole and held.state is RolloutState.WAITING:
            return await self._prepare(held, tasks)
        turn = self._asked(deployment, tasks)
        if turn is None:
            return []
        if turn.halt:
            await self._move(held, RolloutState.HALTED, turn.reason)
            return []
        if not turn.go:
            self.reasons[deployment.name] = turn.reason
            return [_ASK_AGAIN_S]
        self.reasons.pop(deployment.name, None)
        await self._begin(held)
        return [0.0]

    def _asked(self, deployment: Deployment, tasks: asyncio.TaskGroup) -> Turn | None:
        """The answer to whose turn it is; None while it is being asked, which holds no other deployment up."""
        asking = self._asking.get(deployment.digest)
        if asking is None:
            asking = tasks.create_task(self._ask(deployment), name=f"edgehost.turn.{deployment.name}")
            self._asking[deployment.digest] = asking
        if not asking.done():
            return None
        del self._asking[deployment.digest]
        return asking.result()

    async def _ask(self, deployment: Deployment) -> Turn:
        try:
            async with asyncio.timeout(_TURN_S):
                return await self.turn.may_begin(deployment)
        except TimeoutError:
            return Turn(go=False, reason=f"Whose turn it is was not known within {_TURN_S:g} s.")
        except Exception as fault:  # a fault of ours with one deployment must not end the work on the others
            log.exception("Whose turn it is for deployment %s cannot be said.", deployment.name)
            return Turn(go=False, reason=f"A fault of the host, see its log: {fault!r}")
        finally:
            self.wake()

    async def _prepare(self, held: HeldDeployment, tasks: asyncio.TaskGroup) -> list[float]:
        """All is fetched and tried before anything is changed."""
        digest = held.deployment.digest
        plans = self.standing[held.deployment.name] = await self.plans.of(held)
        waits: list[float] = []
        unready: list[ComponentPlan] = []
        for plan in plans:
            why = self.work.verdict(digest, plan.component)
            if plan.standing is Standing.FAILED:
                why = plan.reason
            if why:
                await self._move(held, RolloutState.FAILED, f"{plan.component}: {why}")
                return []
            if plan.standing is Standing.BLOCKED and not plan.steps:
                unready.append(plan)
            elif plan.steps and not self.work.is_prepared(digest, plan.component):
                unready.append(plan)
                waits += self.work.start(Errand(digest, plan, prepare=True), tasks)
        if unready:
            why = self.work.reason(unready[0])
            self.reasons[held.deployment.name] = f"{unready[0].component} is not prepared: {why}"
            return waits
        await self._move(held, RolloutState.PREPARED, "")
        return [0.0]

    async def _begin(self, held: HeldDeployment) -> None:
        before = {}
        given_up: list[str] = []
        for wanted in held.deployment.components:
            before[wanted.name] = await self.plans.before(wanted)
            given_up += self.plans.facts.given_up(wanted.name)
        before |= await self.plans.before_devices(held)
        now = self.clock.now()
        begun = held.moved_to(RolloutState.APPLYING, at=now, before=before, given_up=tuple(given_up))
        earlier = await self.book.begin(begun)
        if earlier is not None:
            self.bus.publish(superseded(earlier, held.deployment.sequence, at=now))
        for component in before:
            self.work.forget(component)
        self._tell(begun)

    # What holds

    async def _drive(self, held: HeldDeployment, tasks: asyncio.TaskGroup) -> list[float]:
        digest, name = held.deployment.digest, held.deployment.name
        plans = tuple(self._judged(held, plan) for plan in await self.plans.of(held))
        self.standing[name] = plans
        if held.state is RolloutState.FAILED:
            return []
        whole = held.deployment.on_failure is OnFailure.ALL_OR_NONE
        if failed := self._newly_failed(held, plans):
            await self._fail(held, failed)
            return [0.0]
        waits: list[float] = []
        for plan in plans:
            self.work.drop(plan.component, unless=partial(self._is_wanted, digest, plan))
            if plan.standing is Standing.REACHED:
                self.work.is_reached(plan.component)
            if plan.standing is Standing.CHANGING:
                back = goes_back(held, plan.component)
                waits += self.work.start(Errand(digest, plan, back=back), tasks)
                if whole:
                    break  # one after the other, so that as little as possible must be taken back
        left = [plan for plan in plans if plan.standing in {Standing.CHANGING, Standing.BLOCKED}]
        if left:
            late = not all(goes_back(held, plan.component) for plan in left)
            return waits + (self._deadline(held) if late else [])
        return waits + await self._arrived(held, plans)

    async def _fail(self, held: HeldDeployment, failed: Mapping[str, str]) -> None:
        whole = held.deployment.on_failure is OnFailure.ALL_OR_NONE
        failures = {**held.failed, **failed}
        await self.book.change(replace(held, failed=failures, taking_back=held.taking_back or whole))
        for component, why in failed.items():
            log.warning("Deployment %s: %s failed: %s", held.deployment.name, component, why)
            self.work.forget(component)
            self.work.drop(component, unless=lambda _errand: False)

    def _judged(self, held: HeldDeployment, plan: ComponentPlan) -> ComponentPlan:
        """The plan, unless the way back is barred: then it stays as it is."""
        why = self.work.verdict(held.deployment.digest, plan.component, back=True)
        if why and plan.standing is Standing.CHANGING and goes_back(held, plan.component):
            return replace(plan, standing=Standing.FAILED, reason=f"It could not go back: {why}", steps=())
        return plan

    def _is_wanted(self, digest: str, plan: ComponentPlan, errand: Errand) -> bool:
        """Whether what is fetched is what this plan, or another deployment that is held, is about."""
        if errand.deployment == digest:
            return errand.plan.target == plan.target
        return errand.deployment in {each.deployment.digest for each in self._held()}

    def _held(self) -> tuple[HeldDeployment, ...]:
        return (*self.book.current(), *self.book.queued())

    def _newly_failed(self, held: HeldDeployment, plans: tuple[ComponentPlan, ...]) -> dict[str, str]:
        if held.state not in {RolloutState.APPLYING, RolloutState.SOAKING} or held.taking_back:
            return {}
        failed = {}
        late = self._deadline(held) == [0.0]
        for plan in plans:
            if plan.component in held.failed or plan.standing in {Standing.TAKEN, Standing.REACHED}:
                continue
            why = self.work.verdict(held.deployment.digest, plan.component)
            if plan.standing is Standing.FAILED:
                why = plan.reason
            elif late:
                limit = f"It was not there after {held.deployment.deadline_s:g} s"
                why = why or f"{limit}: {self.work.reason(plan)}"
            if why:
                failed[plan.component] = why
        return failed

    async def _arrived(self, held: HeldDeployment, plans: tuple[ComponentPlan, ...]) -> list[float]:
        """Nothing is left to do."""
        if held.failed or held.taking_back:
            why = [f"{component}: {why}" for component, why in held.failed.items()]
            await self._move(held, RolloutState.FAILED, "; ".join(why) or held.reason)
            return []
        taken = "; ".join(plan.reason for plan in plans if plan.standing is Standing.TAKEN)
        if held.state is RolloutState.APPLYING:
            soaks = held.deployment.rollout.soak_s > 0
            await self._move(held, RolloutState.SOAKING if soaks else RolloutState.SUCCESSFUL, taken)
            return [0.0] if soaks else []
        if held.state is RolloutState.SOAKING:
            left = held.deployment.rollout.soak_s - self._elapsed(held)
            if left > 0:
                return [left]
            await self._move(held, RolloutState.SUCCESSFUL, taken)
        return []

    def _deadline(self, held: HeldDeployment) -> list[float]:
        """Seconds until what is not there counts as failed; by the clock that does not jump, anew after a restart."""
        if not held.deployment.deadline_s or held.state is not RolloutState.APPLYING or held.taking_back:
            return []
        return [max(0.0, held.deployment.deadline_s - self._elapsed(held))]

    def _elapsed(self, held: HeldDeployment) -> float:
        now = self.clock.monotonic()
        return now - self._begun_at.setdefault((held.deployment.digest, held.state), now)

    # States

    async def _move(self, held: HeldDeployment, state: RolloutState, reason: str) -> None:
        moved = held.moved_to(state, at=self.clock.now(), reason=reason)
        await self.book.change(moved)
        if moved.state is not RolloutState.WAITING:
            self.reasons.pop(held.deployment.name, None)
        self._tell(moved)
        self.wake()

    def _tell(self, held: HeldDeployment) -> None:
        deployment = held.deployment
        log.info("Deployment %s %d is %s. %s", deployment.name, deployment.sequence, held.state, held.reason)
        self.bus.publish(fact_of(held, at=self.clock.now()))

    async def _guarded(self, seen: HeldDeployment, step: Step, tasks: asyncio.TaskGroup) -> list[float]:
        """One deployment's share of a look; what it cannot keep now is tried again."""
        key = f"Deployment {seen.deployment.name} {seen.deployment.sequence}"
        if (left := self.work.wait_s(key)) > 0:
            return [left]
        try:
            async with self._one_step:
                now = [held for held in self._held() if held.deployment.digest == seen.deployment.digest]
                waits = await step(now[0], tasks) if now else []
        except EdgehostError as error:
            self.work.try_later(key, str(error))
            return [self.work.wait_s(key)]
        except Exception as fault:  # as in _ask
            log.exception("%s cannot be looked after.", key)
            self.work.try_later(key, f"A fault of the host, see its log: {fault!r}")
            return [self.work.wait_s(key)]
        self.work.forget(key)
        return waits

    def _tidy(self) -> None:
        """Let go of what is known of deployments that are no longer held."""
        held = {each.deployment.digest for each in self._held()}
        names = {each.deployment.name for each in self._held()}
        self.work.forget_deployments(held)
        for digest in self._asking.keys() - held:
            self._asking.pop(digest).cancel()
        self._begun_at = {key: at for key, at in self._begun_at.items() if key[0] in held}
        self.reasons = {name: why for name, why in self.reasons.items() if name in names}
        self.standing = {name: plans for name, plans in self.standing.items() if name in names}

    async def _hear(self) -> None:
        async with self.bus.subscription(_moves) as events:
            async for _ in events:
                self.wake()


def _moves(event: Event) -> bool:
    return isinstance(event, ReleaseMoved)
