from __future__ import annotations

import asyncio

import pytest

from edgehost.domain.errors import UnavailableError
from edgehost.usecases.model_gates import ModelGates


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_gate_closes_once_those_inside_have_ended_and_their_guests_writes_with_them() -> None:
    gates = ModelGates()
    said: list[str] = []
    go_on = asyncio.Event()

    async def call() -> None:
        async with gates.working("orders", nested=False):
            await go_on.wait()
            async with gates.working("orders", nested=True):  # what the guest asks for during the call
                said.append("nested")
        said.append("call")

    async def switch() -> None:
        async with gates.closed("orders", timeout_s=5):
            said.append("closed")
            await turns()
            said.append("opened")

    async def newcomer() -> None:
        async with gates.working("orders", nested=False):
            said.append("newcomer")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(call())
        await turns()
        tasks.create_task(switch())
        await turns()
        tasks.create_task(newcomer())
        await turns()
        assert said == []
        go_on.set()
    assert said == ["nested", "call", "closed", "opened", "newcomer"]
    assert len(gates) == 0


async def test_a_closed_gate_keeps_out_reads_and_nested_writes_of_others_but_not_its_holders() -> None:
    gates = ModelGates()
    passed: list[str] = []

    async def read() -> None:
        await gates.passed("orders")
        passed.append("read")

    async def nested() -> None:
        async with gates.working("orders", nested=True):
            passed.append("nested")

    async with asyncio.TaskGroup() as tasks:
        ready, end = asyncio.Event(), asyncio.Event()

        async def holder() -> None:
            async with gates.closed("orders", timeout_s=5):
                await gates.passed("orders")
                ready.set()
                await end.wait()

        tasks.create_task(holder())
        await ready.wait()
        tasks.create_task(read())
        tasks.create_task(nested())
        await turns()
        await gates.passed("others")
        assert passed == []
        end.set()
    assert sorted(passed) == ["nested", "read"]


async def test_a_call_that_does_not_end_keeps_the_gate_open_for_all() -> None:
    gates = ModelGates()
    async with gates.working("orders", nested=False):
        with pytest.raises(UnavailableError, match="did not end within 0 s"):
            async with gates.closed("orders", timeout_s=0.01):
                pytest.fail("It is not closed.")
        async with gates.working("orders", nested=False):
            pass
    assert len(gates) == 0


async def test_two_switches_of_one_model_come_one_after_the_other() -> None:
    gates = ModelGates()
    inside = 0

    async def switch() -> None:
        nonlocal inside
        async with gates.closed("orders", timeout_s=5):
            inside += 1
            assert inside == 1
            await turns()
            inside -= 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(switch())
    assert len(gates) == 0


async def test_an_error_inside_opens_the_gate() -> None:
    gates = ModelGates()
    with pytest.raises(ValueError, match="inside"):
        async with gates.closed("orders", timeout_s=5):
            raise ValueError("inside")
    await gates.passed("orders")
    assert len(gates) == 0
