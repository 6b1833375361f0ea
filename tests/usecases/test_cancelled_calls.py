"""A call that its caller gives up frees its instance at once: it is ended and replaced, whatever the guest does."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from edgehost.adapters.sandbox.sandbox_factory import open_sandbox_factory
from edgehost.ports.sandbox import CallContext, HostCall
from edgehost.usecases.instance_pool import InstancePool, started_pool
from tests.adapters.sandbox.guests import ASKER, PLUGIN, plan_of

#: Far below the deadlines of the calls that are given up; far above what a replacement takes.
AT_ONCE_S = 2.0


async def no_host(_component: str, _function: str, _payload: bytes, _context: CallContext) -> bytes:
    return b"{}"


@asynccontextmanager
async def real_pool(
    module: str = PLUGIN, *, host_call: HostCall = no_host, **limits: Any
) -> AsyncIterator[InstancePool]:
    made = plan_of(module, grants={"functions": ("find",)}, limits={"deadline_ms": 60_000, **limits})
    async with (
        open_sandbox_factory() as factory,
        started_pool(factory, made, host_call=host_call, log=lambda *_: None) as pool,
    ):
        yield pool


def pids(pool: InstancePool) -> set[int]:
    return {row["pid"] for row in pool.instances()}


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def busy(pool: InstancePool, count: int = 1) -> None:
    while sum(row["state"] == "busy" for row in pool.instances()) < count:
        await asyncio.sleep(0)


async def given_up(call: asyncio.Task[bytes]) -> None:
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_the_next_call_is_answered_by_another_instance_at_once() -> None:
    async with real_pool(instances_max=1) as pool, asyncio.timeout(AT_ONCE_S):
        before = pids(pool)
        call = asyncio.create_task(pool.call("spin", b""), name="spinning")
        await busy(pool)
        await given_up(call)
        assert await pool.call("echo", b"next") == b"next"
        assert pids(pool).isdisjoint(before)
        assert not any(map(runs, before))


async def test_a_call_that_waits_behind_a_cancelled_one_gets_the_new_instance() -> None:
    async with real_pool(instances_max=1) as pool, asyncio.timeout(AT_ONCE_S):
        call = asyncio.create_task(pool.call("spin", b""), name="spinning")
        await busy(pool)
        async with asyncio.TaskGroup() as group:
            behind = group.create_task(pool.call("echo", b"behind"))
            while not pool.statistics.waiting:
                await asyncio.sleep(0)
            await given_up(call)
        assert behind.result() == b"behind"
        assert (pool.statistics.in_flight, pool.statistics.waiting) == (0, 0)


async def test_a_callers_timeout_is_a_cancellation_as_well() -> None:
    async with real_pool(instances_max=1) as pool, asyncio.timeout(AT_ONCE_S):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await pool.call("spin", b"")
        assert await pool.call("echo", b"next") == b"next"


async def test_giving_up_again_and_again_is_not_held_against_the_instances() -> None:
    asked = asyncio.Event()

    async def never(_component: str, _function: str, payload: bytes, _context: CallContext) -> bytes:
        asked.set()
        if payload == b"wait":
            await asyncio.Event().wait()
        return payload

    async with real_pool(ASKER, host_call=never, instances_max=1) as pool, asyncio.timeout(5 * AT_ONCE_S):
        seen: set[int] = set()
        for _ in range(20):  # with a fault's back-off this would take most of a minute
            asked.clear()
            call = asyncio.create_task(pool.call("ask", b"wait"), name="asking")
            await asked.wait()
            seen |= pids(pool)
            await given_up(call)
        assert await pool.call("ask", b"next") == b"next"
        assert len(seen) == 20
        assert pool.statistics.faults == 0
        assert not any(runs(pid) for pid in seen - pids(pool))


async def test_a_cancelled_call_takes_its_own_host_calls_along() -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def never(_component: str, _function: str, _payload: bytes, _context: CallContext) -> bytes:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
        return b"{}"

    async with real_pool(ASKER, host_call=never, instances_max=1) as pool, asyncio.timeout(AT_ONCE_S):
        before = pids(pool)
        call = asyncio.create_task(pool.call("ask", b"?"), name="asking")
        await asked.wait()
        await given_up(call)
        assert left.is_set()
        while any(map(runs, before)):
            await asyncio.sleep(0.001)


async def test_a_nested_call_that_is_cancelled_ends_its_extra_instance() -> None:
    async with real_pool(instances_max=1) as pool, asyncio.timeout(2 * AT_ONCE_S):
        outer = asyncio.create_task(pool.call("spin", b""), name="outer")
        await busy(pool)
        nested = asyncio.create_task(pool.call("spin", b"", context=CallContext(("caller",))), name="nested")
        await busy(pool, 2)
        await given_up(nested)
        while len(pids(pool)) > 1:
            await asyncio.sleep(0.001)
        await given_up(outer)
        assert await pool.call("echo", b"next") == b"next"


async def test_all_of_many_cancelled_calls_end_and_the_pool_goes_on() -> None:
    async with real_pool(instances_max=4) as pool, asyncio.timeout(2 * AT_ONCE_S):
        calls = [asyncio.create_task(pool.call("spin", b""), name=f"call {n}") for n in range(12)]
        await busy(pool, 4)
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
        assert all(call.cancelled() for call in calls)
        assert await pool.call("echo", b"next") == b"next"
        assert (pool.statistics.in_flight, pool.statistics.waiting) == (0, 0)
