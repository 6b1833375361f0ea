"""The instance pool: calls, the queue before it, draining and closing."""

from __future__ import annotations

import asyncio

import pytest

from edgehost.domain.errors import BusyError, EdgehostError, InvalidComponentError, UnavailableError
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.instance_pool import InstancePool
from edgehost.usecases.running_components import DrainingError
from tests.usecases.pool_scene import (
    Gate,
    SteeredFactory,
    echo,
    no_host_call,
    plan,
    pool_over,
    settled,
    silent,
)


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


async def test_the_time_that_a_check_takes_says_nothing_of_the_time_that_callers_wait() -> None:
    async with pool_over(echo) as (pool, _):
        await pool.call("health", b"", context=CallContext(check=True))
        assert list(pool.statistics.latencies_s) == []
        await pool.call("f", b"")
        assert len(pool.statistics.latencies_s) == 1


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
