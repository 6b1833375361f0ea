"""The instances of one release: who gets which, what replaces a broken one, and when to say no.

Rule 1: calls from outside wait their turn, first come first served, in a bounded queue.
Rule 2: a call made by a component never waits for an instance. It takes an idle one or a short-lived extra
one, or is refused; so components that call each other in a circle cannot wait for each other.
Rule 3: an instance that trapped, overran, broke the protocol or died is never used again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Self

from edgehost.domain.errors import (
    BusyError,
    CallDepthError,
    EdgehostError,
    GuestTrapError,
    SandboxDiedError,
    UnavailableError,
)
from edgehost.ports.sandbox import CallContext, GuestLog, HostCall, Sandbox, SandboxFactory, SandboxPlan
from edgehost.usecases.idle_instances import IdleInstances
from edgehost.usecases.pool_statistics import PoolStatistics
from edgehost.usecases.replacement_pace import ReplacementPace
from edgehost.usecases.running_components import DrainingError
from edgehost.usecases.sparing_warnings import SparingWarnings
from edgehost.usecases.waiting_calls import WaitingCalls

_log = logging.getLogger("edgehost.components")

DEEPEST_CHAIN: Final = 8  # components on the way to a call; deeper is a circle or a mistake
_OVERFLOW: Final = 8  # extra instances for nested calls; each is one more process for as long as its call
_IDLE_S: Final = 30.0  # an instance above the minimum that had nothing to do for so long is ended
_LOOK_S: Final = 5.0  # how often idle instances are looked after


class InstancePool:
    """Calls in, answers out; start it before the first call and close it after the last."""

    def __init__(
        self, factory: SandboxFactory, plan: SandboxPlan, *, host_call: HostCall, log: GuestLog
    ) -> None:
        self._factory, self.plan = factory, plan
        self._host_call, self._log = host_call, log
        self._least, self._most = plan.limits.instances_min, plan.limits.instances_max
        self._idle = IdleInstances()
        self._waiting = WaitingCalls()
        self._finished: list[Sandbox] = []  # to be closed by the keeper
        self._instances: set[Sandbox] = set()
        self._starting = 0
        self._pace = ReplacementPace()
        self._wake = asyncio.Event()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._draining = self._closed = False
        self._keeper: asyncio.Task[None] | None = None
        self.statistics = PoolStatistics()
        self._deaths = SparingWarnings(_log, lambda: asyncio.get_running_loop().time())

    @property
    def draining(self) -> bool:
        """Whether it takes no more calls from outside."""
        return self._draining

    def instances(self) -> Sequence[Mapping[str, Any]]:
        """What is known of each instance, extra ones included, ready for JSON."""
        return [
            {"pid": sandbox.pid, "state": self._state_of(sandbox)}
            for sandbox in sorted(self._instances, key=lambda sandbox: sandbox.pid)
        ]

    async def start(self) -> Self:
        """Start the smallest number of instances.

        Raises:
            InvalidComponentError, UnavailableError, GuestError: the first that does not start; none is left.
        """
        try:
            for _ in range(self._least):
                self._put_back(await self._start_one())
        except BaseException:
            await self.close()
            raise
        # The pool owns this task: close() ends it and waits for it.
        self._keeper = asyncio.create_task(self._keep(), name=f"edgehost.pool.{self.plan.component}")
        return self

    async def exports(self) -> tuple[str, ...]:
        """Compile every export and name them; see Sandbox.exports."""
        sandbox = await self._instance(CallContext(), asyncio.get_running_loop().time() + 10)
        try:
            return await sandbox.exports()
        finally:
            self._give_back(sandbox)

    async def call(
        self,
        function: str,
        payload: bytes,
        *,
        context: CallContext = CallContext(),
        deadline_s: float | None = None,
    ) -> bytes:
        """The answer of one of the instances; see Sandbox.call for the guest's errors.

        Raises:
            BusyError: the queue is full, or no instance became free in time.
            CallDepthError: too many components are on the way to this call.
            DrainingError: the pool takes no more calls.
        """
        began = asyncio.get_running_loop().time()
        own_s = self.plan.limits.deadline_ms / 1000 if deadline_s is None else deadline_s
        until = min(began + own_s, context.deadline)
        self._require_welcome(context)
        self.statistics.calls += 1
        self.statistics.in_flight += 1
        self._quiet.clear()
        try:
            sandbox = await self._instance(context, until)
            usable = False
            try:
                now = asyncio.get_running_loop().time()
                answer = await sandbox.call(
                    function, payload, deadline_s=max(0.0, until - now), context=context
                )
                usable = True
            except GuestTrapError:  # its memory may hold half of an update
                raise
            except EdgehostError:
                usable = True  # as far as it is alive
                raise
            finally:
                self._give_back(sandbox, usable=usable)
            self._pace.note_success()
            if not context.check:
                self.statistics.latencies_s.append(asyncio.get_running_loop().time() - began)
        except EdgehostError as error:
            self._count(error)
            if self._closed and isinstance(error, SandboxDiedError):
                raise UnavailableError(f"{self.plan.component} was stopped during the call.") from None
            raise
        else:
            return answer
        finally:
            self.statistics.in_flight -= 1
            if self.statistics.in_flight == 0:
                self._quiet.set()

    async def drain(self, timeout_s: float) -> bool:
        """Take no new calls and wait for those that are here; False when some are still here after the time.

        Calls that the running ones make back into this pool still get through.
        """
        self._draining = True
        try:
            async with asyncio.timeout(timeout_s):
                await self._quiet.wait()
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """End every instance; running calls fail, waiting ones are turned away."""
        self._draining = self._closed = True
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait((keeper,))
        self._waiting.turn_away(lambda: UnavailableError(f"{self.plan.component} was stopped."))
        self._idle.clear()
        self._finished.clear()
        while self._instances:
            await self._instances.pop().close()

    def _state_of(self, sandbox: Sandbox) -> str:
        if sandbox in self._finished or not sandbox.alive:
            return "ending"
        return "idle" if sandbox in self._idle else "busy"

    @property
    def _live(self) -> int:
        return len(self._instances) - len(self._finished)

    def _require_welcome(self, context: CallContext) -> None:
        if self._closed or (self._draining and not context.chain):
            raise DrainingError(
                f"{self.plan.component} takes no more calls.", hint="Call again: its successor answers."
            )
        if len(context.chain) >= DEEPEST_CHAIN:
            self.statistics.busy += 1
            raise CallDepthError(
                f"{self.plan.component} is called through {len(context.chain)} components "
                f"({' -> '.join(context.chain)}); {DEEPEST_CHAIN} is the limit.",
                hint="Do they call each other in a circle?",
            )

    async def _instance(self, context: CallContext, until: float) -> Sandbox:
        sandbox = self._idle_one()
        if sandbox is not None:
            return sandbox
        if context.chain:
            return await self._extra_one(until)
        to_come = max(0, self._most - self._live)  # these wait for an instance that is on its way
        if len(self._waiting) >= self.plan.limits.queue + to_come:
            raise BusyError(
                f"{self.plan.component} has {len(self._waiting)} calls waiting already.",
                hint="Call again later, or raise limits.queue or limits.instances_max.",
            )
        self.statistics.waiting += 1
        self._wake.set()  # the keeper may start one more
        try:
            return await self._waiting.wait(until, self._give_back)
        except TimeoutError:
            raise BusyError(
                f"{self.plan.component}: no instance became free in time.",
                hint="Call again later, or raise limits.instances_max.",
            ) from None
        finally:
            self.statistics.waiting -= 1

    async def _extra_one(self, until: float) -> Sandbox:
        if self._live + self._starting >= self._most + _OVERFLOW:
            raise BusyError(
                f"{self.plan.component}: every instance is busy, and a component's own call does not wait.",
                hint="Raise limits.instances_max.",
            )
        try:
            async with asyncio.timeout_at(until):
                return await self._start_one()
        except TimeoutError:
            raise BusyError(f"{self.plan.component}: no instance could be started in time.") from None

    def _idle_one(self) -> Sandbox | None:
        if self._waiting:
            return None  # they were here first
        while (sandbox := self._idle.take()) is not None:
            if sandbox.alive:
                return sandbox
            self._bury(sandbox)
        return None

    def _give_back(self, sandbox: Sandbox, *, usable: bool = True) -> None:
        if sandbox not in self._instances:
            return  # the pool was closed meanwhile
        if usable and sandbox.alive and self._live <= self._most:
            self._put_back(sandbox)
        else:
            self._finish(sandbox)

    def _put_back(self, sandbox: Sandbox) -> None:
        if not self._waiting.hand_over(sandbox):
            self._idle.put(sandbox, asyncio.get_running_loop().time())

    def _finish(self, sandbox: Sandbox) -> None:
        self._finished.append(sandbox)
        self._wake.set()

    async def _start_one(self) -> Sandbox:
        self._starting += 1
        try:
            sandbox = await self._factory.start(self.plan, host_call=self._host_call, log=self._log)
        except EdgehostError:
            self.statistics.failed_starts += 1
            raise
        finally:
            self._starting -= 1
        if self._closed:
            await sandbox.close()
            raise UnavailableError(f"{self.plan.component} was stopped.")
        self._instances.add(sandbox)
        self.statistics.started += 1
        return sandbox

    def _count(self, error: EdgehostError) -> None:
        self.statistics.count(error)
        self._pace.note(error)
        if isinstance(error, SandboxDiedError) and not self._closed:
            self._deaths.warn(str(error))

    async def _keep(self) -> None:
        """Close what is finished, replace it, add instances while calls wait, end those that idle."""
        while True:
            self._wake.clear()
            await self._close_finished()
            while self._live + self._starting < self._target():
                if self._pace.delay_s:
                    await asyncio.sleep(self._pace.delay_s)
                try:
                    self._put_back(await self._start_one())
                except EdgehostError as error:
                    self.statistics.deaths += isinstance(error, SandboxDiedError)
                    self._pace.note_failed_start()
                await self._close_finished()
            self._end_long_idle()
            try:
                async with asyncio.timeout(_LOOK_S):
                    await self._wake.wait()
            except TimeoutError:
                for sandbox in self._idle.take_dead():
                    self._bury(sandbox)

    def _target(self) -> int:
        busy = self._live - len(self._idle)
        return max(self._least, min(self._most, busy + len(self._waiting)))

    async def _close_finished(self) -> None:
        while self._finished:
            sandbox = self._finished[-1]
            await sandbox.close()
            self._finished.remove(sandbox)
            self._instances.discard(sandbox)

    def _end_long_idle(self) -> None:
        moment = asyncio.get_running_loop().time() - _IDLE_S
        while self._live > self._least and (longest := self._idle.take_idle_before(moment)) is not None:
            self._finish(longest)

    def _bury(self, sandbox: Sandbox) -> None:
        self.statistics.deaths += 1
        self._deaths.warn(f"{self.plan.component}: an idle sandbox ({sandbox.pid}) died; it is replaced.")
        self._finish(sandbox)


@asynccontextmanager
async def started_pool(
    factory: SandboxFactory, plan: SandboxPlan, *, host_call: HostCall, log: GuestLog
) -> AsyncIterator[InstancePool]:
    """A pool that runs for as long as the block."""
    pool = InstancePool(factory, plan, host_call=host_call, log=log)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close()
