"""The work on components that is under way, when what failed is tried again, and what is not tried again."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from edgehost.domain.backoff import Backoff
from edgehost.domain.deployment_plan import ComponentPlan, Standing
from edgehost.domain.errors import EdgehostError, GuestError, RefusedError, UntrustedReleaseError
from edgehost.ports.clock import Clock
from edgehost.usecases.reconcile_component import ComponentHands

log = logging.getLogger("edgehost.deployments")


@dataclass(frozen=True, slots=True)
class Errand:
    """What is done for one component."""

    deployment: str  # its digest
    plan: ComponentPlan
    prepare: bool = False  # fetch and try it, and change nothing
    back: bool = False  # bring it back to what it was

    @property
    def key(self) -> tuple[str, str, bool]:
        """What a verdict is about."""
        return (self.deployment, self.plan.component, self.back)


@dataclass(slots=True)
class _Tries:
    attempts: int = 0
    again_at: float = 0.0  # by the monotonic clock
    reason: str = ""


@dataclass(slots=True)
class ReconcileWork:
    """One errand at a time for each component, each in a task of its own."""

    hands: ComponentHands
    clock: Clock
    wake: Callable[[], None]
    backoff: Backoff
    _busy: dict[str, tuple[Errand, asyncio.Task[None]]] = field(default_factory=dict)  # by component
    _tries: dict[str, _Tries] = field(default_factory=dict)  # of what failed last, by component or deployment
    _verdicts: dict[tuple[str, str, bool], str] = field(
        default_factory=dict
    )  # what will not succeed, and why
    _done: dict[str, ComponentPlan] = field(default_factory=dict)  # what was carried out last, by component
    _prepared: set[tuple[str, str]] = field(default_factory=set)  # deployment's digest and component

    @property
    def busy(self) -> bool:
        """Whether anything is under way."""
        return bool(self._busy)

    def begin_anew(self) -> None:
        """Nothing is under way: the tasks of an earlier run have ended, some before they had begun."""
        self._busy.clear()

    def start(self, errand: Errand, tasks: asyncio.TaskGroup) -> list[float]:
        """Begin, unless the component is busy; seconds until the next try is due where one is waited for."""
        component = errand.plan.component
        if component in self._busy:
            return []
        if (left := self.wait_s(component)) > 0:
            return [left]
        task = tasks.create_task(self._run(errand), name=f"edgehost.deployments.{component}")
        self._busy[component] = (errand, task)
        return []

    def drop(self, component: str, *, unless: Callable[[Errand], bool]) -> None:
        """End a fetch of what is no longer wanted; a switch is short, and ends by itself."""
        if component in self._busy and component in self.hands.fetching:
            errand, task = self._busy[component]
            if not unless(errand):
                task.cancel()

    def is_reached(self, component: str) -> None:
        """Note that nothing is left to do for it: the same plan may come again, and is news then."""
        self._done.pop(component, None)

    def is_prepared(self, deployment: str, component: str) -> bool:
        """Whether it was fetched and tried since the host runs."""
        return (deployment, component) in self._prepared

    def verdict(self, deployment: str, component: str, *, back: bool = False) -> str:
        """Why it will not succeed; "" while it may."""
        return self._verdicts.get((deployment, component, back), "")

    def reason(self, plan: ComponentPlan) -> str:
        """Why the component stands where it does, with what its last try came to."""
        tries = self._tries.get(plan.component)
        if plan.standing is Standing.CHANGING and tries is not None:
            return tries.reason
        return plan.reason

    def forget(self, key: str) -> None:
        """Try it at once the next time."""
        self._tries.pop(key, None)

    def forget_deployments(self, held: set[str]) -> None:
        """Drop what is known of deployments other than those with these digests."""
        self._prepared = {each for each in self._prepared if each[0] in held}
        self._verdicts = {key: why for key, why in self._verdicts.items() if key[0] in held}

    def wait_s(self, key: str) -> float:
        """Seconds until the next try is due."""
        tries = self._tries.get(key)
        return 0.0 if tries is None else max(0.0, tries.again_at - self.clock.monotonic())

    def try_later(self, key: str, reason: str) -> None:
        """Note that it failed, and when the next try is due."""
        tries = self._tries.setdefault(key, _Tries())
        if tries.reason != reason:
            log.warning("%s is not where it should be: %s", key, reason)
        # Never less than half: a fleet is spread, and what is down gets its time.
        delay_s = self.backoff.delay_s(tries.attempts, random.uniform(0.5, 1.0))  # noqa: S311 - no secret
        tries.attempts, tries.reason = tries.attempts + 1, reason
        tries.again_at = self.clock.monotonic() + delay_s

    def _succeeded(self, errand: Errand) -> None:
        component = errand.plan.component
        if errand.prepare:
            self._prepared.add((errand.deployment, component))
        elif self._done.get(component) == errand.plan:  # at once, it would be done again and again
            self.try_later(component, f"It was done, and is still to do: {errand.plan.reason}")
            return
        else:
            self._done[component] = errand.plan
        self._tries.pop(component, None)

    async def _run(self, errand: Errand) -> None:
        plan = errand.plan
        try:
            await (self.hands.prepare(plan) if errand.prepare else self.hands.carry_out(plan))
        except EdgehostError as error:
            # Another mirror may serve what one has tampered with.
            if isinstance(error, RefusedError | GuestError) and not isinstance(error, UntrustedReleaseError):
                self._verdicts[errand.key] = error.message
            self.try_later(plan.component, str(error))
        except Exception as fault:  # a fault of ours with one component must not end the work on the others
            log.exception("The work on %s broke off.", plan.component)
            self.try_later(plan.component, f"A fault of the host, see its log: {fault!r}")
        else:
            self._succeeded(errand)
        finally:
            self._busy.pop(plan.component, None)
            self.wake()
