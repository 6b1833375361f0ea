"""The instance pool over sandboxes that the test steers, and over real ones where processes matter."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from edgehost.adapters.sandbox.sandbox_factory import open_sandbox_factory
from edgehost.domain.component_spec import Limits
from edgehost.domain.errors import (
    BusyError,
    CallDepthError,
    DeadlineExceededError,
    EdgehostError,
    GuestFailedError,
    GuestProtocolError,
    GuestTrapError,
    InvalidComponentError,
    SandboxDiedError,
    UnavailableError,
)
from edgehost.ports.sandbox import CallContext, GuestLog, HostCall, Sandbox, SandboxPlan
from edgehost.usecases import instance_pool, replacement_pace
from edgehost.usecases.instance_pool import DEEPEST_CHAIN, InstancePool, started_pool
from edgehost.usecases.running_components import DrainingError
from edgehost.usecases.sparing_warnings import SparingWarnings
from tests.adapters.sandbox.guests import ASKER, PLUGIN, plan_of

Answer = Callable[[str, bytes, CallContext], Awaitable[bytes]]
PIDS = itertools.count(1000)


class SteeredSandbox:
    """The Sandbox port without a process: the test's own function answers."""

    def __init__(self, factory: SteeredFactory) -> None:
        self._factory = factory
        self.pid = next(PIDS)
        self.alive = True

    async def exports(self) -> tuple[str, ...]:
        return ("echo",)

    async def call(
        self, function: str, payload: bytes, *, deadline_s: float, context: CallContext = CallContext()
    ) -> bytes:
        self._factory.used.append(self.pid)
        try:
            async with asyncio.timeout(deadline_s):
                return await self._factory.answer(function, payload, context)
        except TimeoutError:
            self.alive = False
            raise DeadlineExceededError("late") from None
        except (SandboxDiedError, GuestProtocolError, asyncio.CancelledError):
            self.alive = False
            raise

    async def close(self) -> None:
        self.alive = False
        self._factory.closed.append(self.pid)


class SteeredFactory:
    """Starts SteeredSandboxes; ``faults`` are raised by the next starts, in order."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.faults: list[EdgehostError] = []
        self.started: list[SteeredSandbox] = []
        self.used: list[int] = []
        self.closed: list[int] = []
        self.asked_to_start = 0

    async def start(self, plan: SandboxPlan, *, host_call: HostCall, log: GuestLog) -> Sandbox:
        self.asked_to_start += 1
        await asyncio.sleep(0)
        if self.faults:
            raise self.faults.pop(0)
        self.started.append(SteeredSandbox(self))
        return self.started[-1]

    def confinement(self) -> Mapping[str, str]:
        return {}


async def no_host_call(_component: str, _function: str, _payload: bytes, _context: CallContext) -> bytes:
    return b""


def silent(_component: str, _level: str, _message: str) -> None:
    pass


def plan(**limits: Any) -> SandboxPlan:
    return SandboxPlan("guest", b"", limits=Limits(**limits))


@asynccontextmanager
async def pool_over(answer: Answer, **limits: Any) -> AsyncIterator[tuple[InstancePool, SteeredFactory]]:
    factory = SteeredFactory(answer)
    async with started_pool(factory, plan(**limits), host_call=no_host_call, log=silent) as pool:
        yield pool, factory


async def echo(_function: str, payload: bytes, _context: CallContext) -> bytes:
    await asyncio.sleep(0)
    return payload


class Gate:
    """Answers wait until the test opens it."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.order: list[bytes] = []

    async def __call__(self, _function: str, payload: bytes, _context: CallContext) -> bytes:
        self.order.append(payload)
        await self.open.wait()
        return payload


async def settled(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def test_calls_are_answered_and_counted() -> None:
    async with pool_over(echo) as (pool, factory):
        assert await pool.exports() == ("echo",)
        for number in range(5):
            assert await pool.call("echo", bytes((number,))) == bytes((number,))
        assert len(factory.started) == 1
        assert pool.statistics.calls == 5
        assert pool.statistics.faults == 0
        assert pool.statistics.in_flight == 0
        assert pool.statistics.latency_s(0.5) <= pool.statistics.latency_s(0.99)
        assert [row["state"] for row in pool.instances()] == ["idle"]
    assert factory.closed == [factory.started[0].pid]


async def test_a_pool_grows_to_its_most_and_queues_the_rest_in_order() -> None:
    gate = Gate()
    async with pool_over(gate, instances_min=1, instances_max=2, queue=3) as (pool, factory):
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(pool.call("f", bytes((n,)))) for n in range(5)]
            await settled(lambda: len(gate.order) == 2 and pool.statistics.waiting == 3)
            with pytest.raises(BusyError, match="3 calls waiting"):
                await pool.call("f", b"one too many")
            gate.open.set()
        assert [call.result() for call in calls] == [bytes((n,)) for n in range(5)]
        assert gate.order == [bytes((n,)) for n in range(5)]
        assert len(factory.started) == 2
        assert pool.statistics.busy == 1


async def test_a_late_call_never_passes_one_that_waits() -> None:
    order: list[bytes] = []

    async def note(_function: str, payload: bytes, _context: CallContext) -> bytes:
        order.append(payload)
        await asyncio.sleep(0)
        return payload

    async with pool_over(note, instances_max=1, queue=100) as (pool, _), asyncio.TaskGroup() as group:
        for number in range(50):
            group.create_task(pool.call("f", bytes((number,))))
            if number % 7 == 0:
                await asyncio.sleep(0)
    assert order == [bytes((number,)) for number in range(50)]


async def test_waiting_ends_at_the_deadline() -> None:
    gate = Gate()
    async with pool_over(gate, instances_max=1) as (pool, _), asyncio.TaskGroup() as group:
        group.create_task(pool.call("f", b"", deadline_s=30))
        await settled(lambda: len(gate.order) == 1)
        with pytest.raises(BusyError, match="in time"):
            await pool.call("f", b"", deadline_s=0.05)
        assert pool.statistics.waiting == 0
        gate.open.set()


async def test_a_cancelled_waiter_leaves_the_queue_and_the_instance() -> None:
    gate = Gate()
    async with pool_over(gate, instances_max=1) as (pool, factory), asyncio.TaskGroup() as group:
        group.create_task(pool.call("f", b"first"))
        await settled(lambda: len(gate.order) == 1)
        waiting = group.create_task(pool.call("f", b"second"))
        await settled(lambda: pool.statistics.waiting == 1)
        waiting.cancel()
        await settled(lambda: pool.statistics.waiting == 0)
        gate.open.set()
        assert await pool.call("f", b"third") == b"third"
        assert len(factory.started) == 1


@pytest.mark.parametrize(
    ("error", "counted"),
    [
        (GuestTrapError("trap"), "traps"),
        (SandboxDiedError("died"), "deaths"),
        (GuestProtocolError("nonsense"), "protocol_errors"),
    ],
)
async def test_a_faulty_instance_is_replaced(error: EdgehostError, counted: str) -> None:
    async def answer(function: str, payload: bytes, _context: CallContext) -> bytes:
        if function == "bad":
            raise error
        return payload

    async with pool_over(answer) as (pool, factory):
        with pytest.raises(type(error)):
            await pool.call("bad", b"")
        assert await pool.call("good", b"x") == b"x"
        assert factory.used[0] != factory.used[1]
        assert factory.closed == [factory.used[0]]
        assert getattr(pool.statistics, counted) == 1
        assert pool.statistics.faults == 1


async def test_a_refusal_by_the_guest_is_no_fault_and_keeps_the_instance() -> None:
    async def answer(_function: str, _payload: bytes, _context: CallContext) -> bytes:
        raise GuestFailedError("no")

    async with pool_over(answer) as (pool, factory):
        for _ in range(3):
            with pytest.raises(GuestFailedError):
                await pool.call("f", b"")
        assert len(factory.started) == 1
        assert pool.statistics.refusals == 3
        assert pool.statistics.faults == 0


async def test_an_overrun_is_counted_and_replaced() -> None:
    gate = Gate()
    async with pool_over(gate) as (pool, factory):
        with pytest.raises(DeadlineExceededError):
            await pool.call("f", b"", deadline_s=0.02)
        assert pool.statistics.deadlines == 1
        gate.open.set()
        assert await pool.call("f", b"x") == b"x"
        assert len(factory.started) == 2


async def test_an_instance_that_died_while_idle_is_not_used() -> None:
    async with pool_over(echo) as (pool, factory):
        factory.started[0].alive = False
        assert pool.instances()[0]["state"] == "ending"
        assert await pool.call("f", b"x") == b"x"
        assert factory.used == [factory.started[1].pid]
        assert pool.statistics.deaths == 1


async def test_an_idle_death_is_noticed_without_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance_pool, "_LOOK_S", 0.01)
    async with pool_over(echo) as (pool, factory):
        factory.started[0].alive = False
        await settled(lambda: len(factory.started) == 2 and len(pool.instances()) == 1)
        assert pool.statistics.deaths == 1


async def test_instances_that_die_while_they_start_are_counted_as_deaths(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replacement_pace, "_FIRST_DELAY_S", 0.0)
    async with pool_over(echo) as (pool, factory):
        factory.faults = [SandboxDiedError("died"), UnavailableError("no process"), SandboxDiedError("died")]
        factory.started[0].alive = False
        assert await pool.call("f", b"x", deadline_s=10) == b"x"
        assert (pool.statistics.deaths, pool.statistics.failed_starts) == (3, 3)


async def test_the_time_that_a_check_takes_says_nothing_of_the_time_that_callers_wait() -> None:
    async with pool_over(echo) as (pool, _):
        await pool.call("health", b"", context=CallContext(check=True))
        assert list(pool.statistics.latencies_s) == []
        await pool.call("f", b"")
        assert len(pool.statistics.latencies_s) == 1


async def test_instances_above_the_least_end_when_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance_pool, "_LOOK_S", 0.01)
    monkeypatch.setattr(instance_pool, "_IDLE_S", 0.02)
    gate = Gate()
    async with pool_over(gate, instances_max=3) as (pool, _):
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(pool.call("f", b""))
            await settled(lambda: len(gate.order) == 3)
            gate.open.set()
        await settled(lambda: len(pool.instances()) == 1)


async def test_restarts_back_off_when_nothing_stays_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replacement_pace, "_FIRST_DELAY_S", 0.05)
    async with pool_over(echo) as (pool, factory):
        factory.faults = [UnavailableError("no process")] * 1000
        factory.started[0].alive = False
        with pytest.raises(BusyError):
            await pool.call("f", b"", deadline_s=0.5)
        assert 2 <= factory.asked_to_start <= 6
        assert pool.statistics.failed_starts == factory.asked_to_start - 1
        factory.faults.clear()
        assert await pool.call("f", b"x", deadline_s=10) == b"x"


async def test_a_pool_that_cannot_start_leaves_nothing_behind() -> None:
    factory = SteeredFactory(echo)
    pool = InstancePool(factory, plan(instances_min=2, instances_max=2), host_call=no_host_call, log=silent)
    factory.faults = [InvalidComponentError("bad")]
    with pytest.raises(InvalidComponentError):
        await pool.start()
    assert pool.instances() == []


async def test_draining_finishes_what_runs_and_what_waits_and_takes_nothing_new() -> None:
    gate = Gate()
    async with pool_over(gate, instances_max=1) as (pool, _):
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(pool.call("f", bytes((n,)))) for n in range(3)]
            await settled(lambda: pool.statistics.waiting == 2)
            assert not await pool.drain(0.01)
            assert pool.draining
            with pytest.raises(DrainingError):
                await pool.call("f", b"")
            nested = group.create_task(pool.call("f", b"nested", context=CallContext(("other",))))
            gate.open.set()
            assert await pool.drain(5)
        assert [call.result() for call in calls] == [b"\0", b"\1", b"\2"]
        assert nested.result() == b"nested"


async def test_closing_turns_waiting_calls_away() -> None:
    gate = Gate()
    factory = SteeredFactory(gate)
    pool = InstancePool(factory, plan(instances_max=1), host_call=no_host_call, log=silent)
    await pool.start()
    running = asyncio.create_task(pool.call("f", b"", deadline_s=0.3), name="running")
    await settled(lambda: len(gate.order) == 1)
    waiting = asyncio.create_task(pool.call("f", b""), name="waiting")
    await settled(lambda: pool.statistics.waiting == 1)
    await pool.close()
    with pytest.raises(UnavailableError, match="stopped"):
        await waiting
    with pytest.raises(EdgehostError):
        await running
    with pytest.raises(DrainingError):
        await pool.call("f", b"")
    await pool.close()


async def test_a_nested_call_does_not_wait_but_gets_an_instance_of_its_own() -> None:
    gate = Gate()
    async with pool_over(gate, instances_max=1) as (pool, factory):
        async with asyncio.TaskGroup() as group:
            group.create_task(pool.call("f", b"outer"))
            await settled(lambda: len(gate.order) == 1)
            group.create_task(pool.call("f", b"waits"))
            group.create_task(pool.call("f", b"nested", context=CallContext(("caller",))))
            await settled(lambda: len(gate.order) == 2)
            assert gate.order == [b"outer", b"nested"]
            gate.open.set()
        await settled(lambda: len(pool.instances()) == 1)
        assert len(factory.started) == 2


async def test_extra_instances_are_bounded() -> None:
    gate = Gate()
    async with pool_over(gate, instances_max=1) as (pool, _), asyncio.TaskGroup() as group:
        group.create_task(pool.call("f", b"outer"))
        await settled(lambda: len(gate.order) == 1)
        for _ in range(instance_pool._OVERFLOW):
            group.create_task(pool.call("f", b"nested", context=CallContext(("caller",))))
        await settled(lambda: len(gate.order) == 1 + instance_pool._OVERFLOW)
        with pytest.raises(BusyError, match="does not wait"):
            await pool.call("f", b"nested", context=CallContext(("caller",)))
        gate.open.set()


async def test_a_chain_that_is_too_deep_is_refused() -> None:
    async with pool_over(echo) as (pool, _):
        chain = tuple(f"c{n}" for n in range(DEEPEST_CHAIN))
        assert await pool.call("f", b"x", context=CallContext(chain[:-1])) == b"x"
        with pytest.raises(CallDepthError, match="c0 -> c1"):
            await pool.call("f", b"", context=CallContext(chain))


async def test_a_nested_call_ends_with_its_caller() -> None:
    gate = Gate()
    async with pool_over(gate) as (pool, _):
        now = asyncio.get_running_loop().time()
        with pytest.raises(DeadlineExceededError):
            await pool.call("f", b"", deadline_s=30, context=CallContext(("caller",), now + 0.05))
        assert asyncio.get_running_loop().time() - now < 5


async def test_components_that_call_each_other_in_a_circle_end_with_an_answer() -> None:
    """Each component calls the other with all its instances busy, many times at once: nobody waits for ever."""
    pools: dict[str, InstancePool] = {}

    async def host_call(component: str, _function: str, payload: bytes, context: CallContext) -> bytes:
        other = "b" if component == "a" else "a"
        return await pools[other].call("ask", payload, context=context)

    limits = {"instances_max": 1, "queue": 50, "deadline_ms": 20_000}
    async with open_sandbox_factory() as factory:
        for name in ("a", "b"):
            made = plan_of(ASKER, grants={"functions": ("find",)}, limits=limits)
            renamed = SandboxPlan(name, made.wasm, limits=made.limits, grants=made.grants)
            pools[name] = await InstancePool(factory, renamed, host_call=host_call, log=silent).start()
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(pools["ab"[n % 2]].call("ask", b"?")) for n in range(8)]
        for call in calls:
            assert b'"call-depth"' in call.result() or b'"busy"' in call.result()
        for pool in pools.values():
            assert pool.statistics.in_flight == 0
            await pool.close()


async def test_a_pool_survives_its_zygote() -> None:
    async with open_sandbox_factory() as factory:
        made = plan_of(PLUGIN, limits={"instances_min": 2, "instances_max": 2})
        async with started_pool(factory, made, host_call=no_host_call, log=silent) as pool:
            assert await pool.call("echo", b"before") == b"before"
            os.kill(factory.zygote_pid, signal.SIGKILL)
            await settled(lambda: all(row["state"] == "ending" for row in pool.instances()))
            assert await pool.call("echo", b"after", deadline_s=10) == b"after"
            assert pool.statistics.started >= 3


async def test_a_trapping_guest_is_replaced_by_a_fresh_one() -> None:
    async with open_sandbox_factory() as factory:
        made = plan_of(PLUGIN, limits={"instances_min": 1, "instances_max": 1})
        async with started_pool(factory, made, host_call=no_host_call, log=silent) as pool:
            assert int.from_bytes(await pool.call("count", b""), "little") == 1
            with pytest.raises(GuestTrapError):
                await pool.call("trap", b"")
            assert int.from_bytes(await pool.call("count", b""), "little") == 1


async def test_deaths_of_sandboxes_are_logged_at_once_and_then_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def dying(_function: str, _payload: bytes, _context: CallContext) -> bytes:
        raise SandboxDiedError("guest: the sandbox died: it was killed.")

    async with pool_over(dying) as (pool, _factory):
        for _ in range(3):
            with pytest.raises(SandboxDiedError):
                await pool.call("echo", b"")
    (line,) = caplog.records
    assert line.getMessage() == "guest: the sandbox died: it was killed."


def test_a_warning_after_a_while_says_how_many_were_not_told(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    warnings = SparingWarnings(logging.getLogger("edgehost.test"), lambda: now[0])
    for now[0] in (0.0, 1.0, 2.0, 30.0):
        warnings.warn("It died.")
    assert [line.getMessage() for line in caplog.records] == [
        "It died.",
        "It died. (2 more since the last such line)",
    ]
