"""Calls one function of a .wasm file in a sandbox of its own, without a host."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field

from edgehost.adapters.sandbox.sandbox_factory import open_sandbox_factory
from edgehost.domain.errors import UnavailableError
from edgehost.ports.sandbox import CallContext, GuestLog, SandboxPlan


@dataclass(slots=True)
class TrialResult:
    """What came back, and what it took."""

    output: bytes
    start_ms: float
    call_ms: float
    confinement: dict[str, str] = field(default_factory=dict)


def call_file(plan: SandboxPlan, function: str, payload: bytes, *, log: GuestLog) -> TrialResult:
    """The function's answer.

    Raises:
        InvalidComponentError, GuestError and its kin: as for Sandbox.call.
    """
    return asyncio.run(_call_file(plan, function, payload, log))


async def _call_file(plan: SandboxPlan, function: str, payload: bytes, log: GuestLog) -> TrialResult:
    # What it would warn of comes back as ``confinement``, and is said once.
    logging.getLogger("edgehost.sandbox").setLevel(logging.ERROR)
    async with open_sandbox_factory() as factory:
        began = time.perf_counter()
        sandbox = await factory.start(plan, host_call=_no_host, log=log)
        try:
            started = time.perf_counter()
            output = await sandbox.call(function, payload, deadline_s=plan.limits.deadline_ms / 1000)
            ended = time.perf_counter()
        finally:
            await sandbox.close()
        return TrialResult(
            output, (started - began) * 1000, (ended - started) * 1000, dict(factory.confinement())
        )


async def _no_host(component: str, function: str, payload: bytes, context: CallContext) -> bytes:  # noqa: ARG001 - the port's signature
    raise UnavailableError(
        f"'{function}' needs a running host.",
        hint="Publish the component to a host's remote, then 'edgehost call' it by its name.",
    )
