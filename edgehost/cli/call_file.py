"""Calls one function of a .wasm file in a sandbox of its own, without a host."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field, replace

from edgehost.adapters.sandbox.sandbox_factory import open_sandbox_factory
from edgehost.domain.errors import InvalidComponentError, NotGrantedError, UnavailableError
from edgehost.domain.guest_contract import USER_MODULE
from edgehost.domain.wasm_outline import read_outline
from edgehost.ports.sandbox import CallContext, GuestLog, HostCall, SandboxFactory, SandboxPlan


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
        try:
            return await _tried(factory, plan, function, payload, log)
        except InvalidComponentError as refusal:
            plain = await _normalised(plan, refusal)
        return await _tried(factory, plain, function, payload, log)


async def _tried(
    factory: SandboxFactory, plan: SandboxPlan, function: str, payload: bytes, log: GuestLog
) -> TrialResult:
    began = time.perf_counter()
    sandbox = await factory.start(plan, host_call=_host_call(plan, log), log=log)
    try:
        started = time.perf_counter()
        output = await sandbox.call(function, payload, deadline_s=plan.limits.deadline_ms / 1000)
        ended = time.perf_counter()
    finally:
        await sandbox.close()
    return TrialResult(
        output, (started - began) * 1000, (ended - started) * 1000, dict(factory.confinement())
    )


async def _normalised(plan: SandboxPlan, refusal: InvalidComponentError) -> SandboxPlan:
    """The module as 'edgehost build' would write it: today's compilers encode some numbers too long for wasm3.

    wasm3 notices when it reaches the function, so it may have run in part. A module that reaches the network is
    not run again, and one that stays refused keeps its first refusal.
    """
    if plan.grants.http_hosts:
        raise refusal
    from edgehost.adapters.building.wasm_tools import WasmTools  # noqa: PLC0415 - only when it is needed

    try:
        return replace(plan, wasm=await WasmTools().normalised(plan.wasm))
    except UnavailableError as absent:
        raise InvalidComponentError(
            refusal.message, hint=f"It may run once 'edgehost build' has rewritten it. {absent}"
        ) from None
    except InvalidComponentError:
        raise refusal from None


def _host_call(plan: SandboxPlan, log: GuestLog) -> HostCall:
    if not any(needed.module == USER_MODULE for needed in read_outline(plan.wasm).imports):
        return _nothing_granted
    from edgehost.cli.trial_functions import trial_host_call  # noqa: PLC0415 - half a host, for modules that ask for it

    return trial_host_call(plan.grants, log)


async def _nothing_granted(component: str, function: str, payload: bytes, context: CallContext) -> bytes:  # noqa: ARG001 - the port's signature
    raise NotGrantedError(f"'{component}' imports no host function, yet calls '{function}'.")
