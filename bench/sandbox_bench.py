"""Calls into a sandbox, its starts and its memory, beside wasmtime and wasm3 in the agent's own process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import wasm3
import wasmtime

from edgehost.adapters.sandbox.sandbox_factory import WasmSandboxFactory, open_sandbox_factory
from edgehost.adapters.sandbox.wasm_sandbox import WasmSandbox
from edgehost.domain.component_spec import Abi, Limits
from edgehost.domain.errors import SandboxDiedError
from edgehost.ports.sandbox import CallContext, SandboxPlan
from edgehost.usecases.instance_pool import started_pool

Row = dict[str, Any]

_GUEST = """(module
  (import "extism:host/env" "input_offset" (func $input_offset (result i64)))
  (import "extism:host/env" "input_length" (func $input_length (result i64)))
  (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
  (memory (export "memory") 1)
  (func (export "echo") (result i32) (call $output_set (call $input_offset) (call $input_length)) (i32.const 0))
  (func (export "spin") (result i32) (loop $again (br $again)) (i32.const 0)))"""
_ADD = '(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))'
_PAYLOAD = json.dumps({"device": "sensor-1", "celsius": 21.5}).encode()
_PAIRS = json.dumps({"name": "door", "step": 3}).encode()
_EXAMPLES = Path(__file__).parents[1] / "examples"
_BUDGETS = {"call p50": 60.0, "kill": 10.0, "private": 2.5}


def run(quick: bool = False) -> list[Row]:  # noqa: FBT001, FBT002 - the benches are called alike
    """One row for each figure; a row with a budget says so."""
    return asyncio.run(_run(calls=2_000 if quick else 20_000, starts=10 if quick else 50))


async def _run(calls: int, starts: int) -> list[Row]:
    began = time.perf_counter()
    async with open_sandbox_factory() as factory:
        opened_ms = (time.perf_counter() - began) * 1000
        rows = await _calls(factory, calls)
        rows += await _pairs(factory, calls)
        rows.append({"name": "sandbox: factory opened", "value": round(opened_ms, 1), "unit": "ms"})
        rows += await _starts(factory, starts)
        rows += await _kills(factory, max(5, starts // 2))
        rows += await _memory(factory)
    return rows + await _on_one_core(calls)


async def _on_one_core(calls: int) -> list[Row]:
    """The same call without waking another core, which on a virtual machine can cost more than the call."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})  # the zygote and its sandboxes inherit it
    try:
        async with open_sandbox_factory() as factory:
            echo = await _started(factory, _GUEST)
            took = await _awaited(lambda: echo.call("echo", _PAYLOAD, deadline_s=1), calls)
    finally:
        os.sched_setaffinity(0, cores)
    return [
        {
            "name": f"sandbox: Extism call {label}, one core",
            "value": _at(took, fraction),
            "unit": "us",
            **({"budget": _BUDGETS["call p50"]} if label == "p50" else {}),
        }
        for fraction, label in ((0.5, "p50"), (0.99, "p99"))
    ]


def _bare_round_trip(rounds: int = 3000) -> float:
    """A byte to another process and back over a socket pair: what no sandbox in a process can undercut."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        while data := theirs.recv(16):
            theirs.send(data)
        os._exit(0)
    theirs.close()
    with ours:
        took = _timed(lambda: (ours.send(b"x"), ours.recv(16)), rounds)
    os.waitpid(pid, 0)
    return _at(took, 0.5)


async def _calls(factory: WasmSandboxFactory, calls: int) -> list[Row]:
    echo = await _started(factory, _GUEST)
    add = await _started(factory, _ADD, Abi.PLAIN)
    ours_echo = await _awaited(lambda: echo.call("echo", _PAYLOAD, deadline_s=1), calls)
    ours_add = await _awaited(lambda: add.call("add", b"[2, 3]", deadline_s=1), calls)
    wasmtime_add = _timed(_wasmtime_add(), calls)
    wasm3_add = _timed(_wasm3_add(), calls)
    rows = []
    for fraction, label in ((0.5, "p50"), (0.99, "p99")):
        value = _at(ours_echo, fraction)
        row: Row = {"name": f"sandbox: Extism call {label}", "value": value, "unit": "us"}
        if label == "p50":
            row |= {"budget": _BUDGETS["call p50"], "bare_round_trip": _bare_round_trip()}
        rows.append(row)
        value, theirs, inside = (_at(times, fraction) for times in (ours_add, wasmtime_add, wasm3_add))
        rows.append(
            {
                "name": f"sandbox: add(i32, i32) {label}",
                "value": value,
                "unit": "us",
                "baseline": theirs,
                "ratio": round(value / theirs, 2),
                "wasmtime_in_process": theirs,
                "wasm3_in_process": inside,
            }
        )
    return rows


async def _pairs(factory: WasmSandboxFactory, calls: int) -> list[Row]:
    """A record of two members through AEGIS's convention, beside the JSON of the Extism calls above."""
    wasm = (_EXAMPLES / "aegis-counter" / "aegis-counter-1.0.0.wasm").read_bytes()
    plan = SandboxPlan("bench", wasm, abi=Abi.AEGIS)
    sandbox = await factory.start(plan, host_call=_no_host, log=lambda *_: None)
    took = []
    for _ in range(calls):
        began = time.perf_counter()
        await sandbox.call("validate", _PAIRS, deadline_s=1)
        took.append(time.perf_counter() - began)
    return [
        {"name": f"sandbox: AEGIS call, two pairs in, one out, {label}", "value": _at(took, at), "unit": "us"}
        for at, label in ((0.5, "p50"), (0.99, "p99"))
    ]


async def _starts(factory: WasmSandboxFactory, starts: int) -> list[Row]:
    took = []
    for _ in range(starts):
        began = time.perf_counter()
        sandbox = await _started(factory, _GUEST)
        took.append(time.perf_counter() - began)
        await sandbox.close()
    return [{"name": "sandbox: spawned and loaded p50", "value": _ms(took), "unit": "ms"}]


async def _kills(factory: WasmSandboxFactory, rounds: int) -> list[Row]:
    """From SIGKILL of the only instance, in the middle of a call, to the next answer of its pool."""
    took = []
    plan = SandboxPlan("bench", _binary(_GUEST), limits=Limits(instances_min=1, instances_max=1))
    async with started_pool(factory, plan, host_call=_no_host, log=lambda *_: None) as pool:
        for _ in range(rounds):
            await pool.call("echo", _PAYLOAD)
            spinning = asyncio.create_task(pool.call("spin", b"", deadline_s=20), name="bench.spinning")
            await asyncio.sleep(0.005)
            began = time.perf_counter()
            os.kill(int(pool.instances()[0]["pid"]), signal.SIGKILL)
            try:
                await spinning
            except SandboxDiedError:
                await pool.call("echo", _PAYLOAD, deadline_s=20)
            took.append(time.perf_counter() - began)
    return [
        {"name": "sandbox: kill to serving p50", "value": _ms(took), "unit": "ms", "budget": _BUDGETS["kill"]}
    ]


async def _memory(factory: WasmSandboxFactory) -> list[Row]:
    sandboxes = [await _started(factory, _GUEST) for _ in range(8)]
    for sandbox in sandboxes:
        for _ in range(100):
            await sandbox.call("echo", _PAYLOAD, deadline_s=1)
    maps = [_smaps(sandbox.pid) for sandbox in sandboxes]
    private = statistics.median(one["Private_Clean"] + one["Private_Dirty"] for one in maps)
    rows: list[Row] = [
        {
            "name": "sandbox: private memory each",
            "value": round(private / 1024, 2),
            "unit": "MiB",
            "budget": _BUDGETS["private"],
        },
        {
            "name": "sandbox: proportional memory each of 8",
            "value": round(statistics.median(one["Pss"] for one in maps) / 1024, 2),
            "unit": "MiB",
        },
        {
            "name": "sandbox: zygote, proportional",
            "value": round(_smaps(factory.zygote_pid)["Pss"] / 1024, 2),
            "unit": "MiB",
        },
    ]
    for sandbox in sandboxes:
        await sandbox.close()
    return rows


async def _started(factory: WasmSandboxFactory, text: str, abi: Abi = Abi.EXTISM) -> WasmSandbox:
    plan = SandboxPlan("bench", _binary(text), abi=abi)
    return await factory.start(plan, host_call=_no_host, log=lambda *_: None)


async def _no_host(_component: str, _function: str, _payload: bytes, _context: CallContext) -> bytes:
    return b"{}"


def _binary(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


def _wasmtime_add() -> Callable[[], Any]:
    store = wasmtime.Store()
    module = wasmtime.Module(store.engine, _binary(_ADD))
    function = wasmtime.Instance(store, module, []).exports(store)["add"]
    assert isinstance(function, wasmtime.Func)
    return lambda: function(store, 2, 3)


def _wasm3_add() -> Callable[[], Any]:
    runtime = wasm3.Environment().new_runtime(65_536)
    runtime.load(wasm3.Environment().parse_module(_binary(_ADD)))
    function = runtime.find_function("add")
    return lambda: function(2, 3)


async def _awaited(call: Callable[[], Awaitable[bytes]], calls: int) -> list[float]:
    took = []
    for _ in range(calls):
        began = time.perf_counter()
        await call()
        took.append(time.perf_counter() - began)
    return took


def _timed(call: Callable[[], Any], calls: int) -> list[float]:
    took = []
    for _ in range(calls):
        began = time.perf_counter()
        call()
        took.append(time.perf_counter() - began)
    return took


def _at(times: list[float], fraction: float) -> float:
    return round(sorted(times)[int(fraction * (len(times) - 1))] * 1e6, 2)


def _ms(times: list[float]) -> float:
    return round(statistics.median(times) * 1000, 2)


def _smaps(pid: int) -> dict[str, int]:
    """Kilobytes by name."""
    figures = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split(":")
        figures[name] = int(value.split()[0])
    return figures


if __name__ == "__main__":
    for figure in run(quick=True):
        print(figure)
