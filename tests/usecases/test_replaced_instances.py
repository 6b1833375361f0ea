"""Instances that trap, die, overrun or idle: which are replaced, which go, and how often is tried."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from edgehost.adapters.sandbox.sandbox_factory import open_sandbox_factory
from edgehost.domain.errors import (
    BusyError,
    DeadlineExceededError,
    EdgehostError,
    GuestFailedError,
    GuestProtocolError,
    GuestTrapError,
    SandboxDiedError,
    UnavailableError,
)
from edgehost.ports.sandbox import CallContext
from edgehost.usecases import instance_pool, replacement_pace
from edgehost.usecases.instance_pool import started_pool
from tests.adapters.sandbox.guests import PLUGIN, plan_of
from tests.usecases.pool_scene import Gate, echo, no_host_call, pool_over, settled, silent


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
