"""Calls that components make: each gets an instance at once or is refused, so that none waits for another."""

from __future__ import annotations

import asyncio

import pytest

from edgehost.adapters.sandbox.sandbox_factory import open_sandbox_factory
from edgehost.domain.errors import BusyError, CallDepthError, DeadlineExceededError
from edgehost.ports.sandbox import CallContext, SandboxPlan
from edgehost.usecases import instance_pool
from edgehost.usecases.instance_pool import DEEPEST_CHAIN, InstancePool
from tests.adapters.sandbox.guests import ASKER, plan_of
from tests.usecases.pool_scene import Gate, echo, pool_over, settled, silent


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
        async with asyncio.timeout(30):
            with pytest.raises(DeadlineExceededError):
                await pool.call("f", b"", deadline_s=3600, context=CallContext(("caller",), now + 0.05))


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
