"""An instance pool over sandboxes that the test steers."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from edgehost.domain.component_spec import Limits
from edgehost.domain.errors import DeadlineExceededError, EdgehostError, GuestProtocolError, SandboxDiedError
from edgehost.ports.sandbox import CallContext, GuestLog, HostCall, Sandbox, SandboxPlan
from edgehost.usecases.instance_pool import InstancePool, started_pool

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
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0)
