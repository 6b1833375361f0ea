"""What several versions at once cost: a call through a split beside one without, and a change of records' form."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

from edgehost.adapters.sandbox.sandbox_factory import open_sandbox_factory
from edgehost.adapters.services.local_event_bus import LocalEventBus
from edgehost.adapters.services.system_clock import SystemClock
from edgehost.adapters.storage.memory_records import MemoryRecords
from edgehost.domain.component_spec import ComponentSpec, Kind, Limits
from edgehost.domain.model_spec import ModelSpec
from edgehost.domain.record import Record, RevisionClock
from edgehost.domain.release_life import Release
from edgehost.domain.traffic import Share
from edgehost.ports.sandbox import CallContext, SandboxPlan
from edgehost.usecases.instance_pool import InstancePool
from edgehost.usecases.kept_records import KeptRecords
from edgehost.usecases.live_models import LiveModels
from edgehost.usecases.migrate_records import RecordMigrations
from edgehost.usecases.record_keeping import RecordKeeping
from edgehost.usecases.running_components import RunningComponents, RunningRelease
from edgehost.usecases.split_calls import Candidate, SplitCalls

Row = dict[str, Any]

_GUEST = b"""(module
  (import "extism:host/env" "input_offset" (func $input_offset (result i64)))
  (import "extism:host/env" "input_length" (func $input_length (result i64)))
  (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
  (memory (export "memory") 1)
  (func (export "echo") (result i32) (call $output_set (call $input_offset) (call $input_length)) (i32.const 0)))"""
_PAYLOAD = json.dumps({"id": "r", "data": {"owner": "ada", "celsius": 21.5}}).encode()


class NoPool:
    """Answers at once, so that only the routing is measured."""

    draining = False

    async def call(
        self,
        function: str,
        payload: bytes,
        *,
        context: CallContext = CallContext(),
        deadline_s: float | None = None,
    ) -> bytes:
        del function, context, deadline_s
        return payload

    async def drain(self, timeout_s: float) -> bool:
        del timeout_s
        return True

    async def close(self) -> None:
        """Nothing runs."""

    def instances(self) -> tuple[Mapping[str, Any], ...]:
        return ()


def run(quick: bool = False) -> list[Row]:  # noqa: FBT001, FBT002 - the benches are called alike
    """Rows of name, value and unit."""
    return asyncio.run(_run(quick=quick))


async def _run(*, quick: bool) -> list[Row]:
    calls = 3_000 if quick else 20_000
    rows = await _routing(calls)
    rows += await _whole_calls(calls // 4)
    rows += await _migration(1_000 if quick else 10_000)
    return rows


def _row(name: str, value: float, unit: str, **more: float | str) -> Row:
    return {"name": name, "value": round(value, 3), "unit": unit, **more}


_PLANS: dict[str, Share | None] = {
    "plain route": None,
    "split, no key": Share(0.1),
    "split by header": Share(0.1, sticky="header:x-caller"),
    "split by member of the data": Share(0.1, sticky="member:owner"),
}


async def _routing(calls: int) -> list[Row]:
    rows: list[Row] = []
    for name, share in _PLANS.items():
        components = _components(NoPool, share)
        spent = [await _seconds(components, calls // 3) for _ in range(3)]
        each_us = statistics.median(spent) / (calls // 3) * 1e6
        more = {} if not rows else {"more_than_plain_us": round(each_us - rows[0]["value"], 2)}
        rows.append(_row(f"routing alone: {name}", each_us, "us/call", **more))
    return rows


async def _whole_calls(calls: int) -> list[Row]:
    rows: list[Row] = []
    async with open_sandbox_factory() as factory:
        wasm = _compiled()
        pools: list[InstancePool] = []
        for _ in range(2):
            plan = SandboxPlan("echo", wasm, limits=Limits(instances_min=1, instances_max=1))
            pools.append(
                await InstancePool(factory, plan, host_call=_no_host_call, log=lambda *_line: None).start()
            )
        spent: dict[str, list[float]] = {name: [] for name in _PLANS}
        for _ in range(7):  # in turn, so that a busy machine is busy for all of them
            for name, share in _PLANS.items():
                waiting = iter(pools)
                components = _components(lambda waiting=waiting: next(waiting), share)  # type: ignore[misc]
                spent[name].append(await _seconds(components, calls // 7))
        for name, times in spent.items():
            each_us = statistics.median(times) / (calls // 7) * 1e6
            more = {} if not rows else {"ratio_to_plain": round(each_us / rows[0]["value"], 3)}
            rows.append(_row(f"call into a sandbox: {name}", each_us, "us/call", **more))
        for pool in pools:
            await pool.close()
    return rows


def _compiled() -> bytes:
    import wasmtime  # noqa: PLC0415 - only to assemble the guest

    return bytes(wasmtime.wat2wasm(_GUEST.decode()))


async def _no_host_call(_component: str, _function: str, _payload: bytes, _context: CallContext) -> bytes:
    return b"{}"


def _components(pool: Callable[[], Any], share: Share | None) -> RunningComponents:
    def running(version: str) -> RunningRelease:
        spec = ComponentSpec("echo", version, Kind.MODEL, model=ModelSpec("echo", "echo"))
        return RunningRelease(Release("echo", version, version, 0, 1, "bench"), spec, pool())

    components = RunningComponents()
    main = running("1.0.0")
    split = None
    if share is not None:
        split = SplitCalls("echo", (Candidate(running("1.1.0"), share),), lambda work, _name: work.close())
    components.route("echo", main, split)
    return components


async def _seconds(components: RunningComponents, calls: int) -> float:
    contexts = [CallContext(sticky=f"caller-{number}", record_id="r") for number in range(64)]
    began = time.perf_counter()
    for number in range(calls):
        await components.call("echo", "echo", _PAYLOAD, context=contexts[number % 64])
    return time.perf_counter() - began


class Migrate(NoPool):
    """A release whose new form has one member more."""

    async def call(
        self,
        function: str,
        payload: bytes,
        *,
        context: CallContext = CallContext(),
        deadline_s: float | None = None,
    ) -> bytes:
        del function, context, deadline_s
        return b'{"data":{"more":1,' + json.dumps(json.loads(payload)["data"]).encode()[1:] + b"}"


async def _migration(count: int) -> list[Row]:
    """The host's own part: records in memory, and a guest that takes no time."""
    store, bus, clock = MemoryRecords(), LocalEventBus(), SystemClock()
    keeping = RecordKeeping(store, bus, clock, RevisionClock("bench"), RunningComponents())
    for number in range(count):
        now = clock.now()
        data = {"owner": f"owner-{number}", "celsius": number / 7}
        await store.put(Record("echo", f"r{number}", data, keeping.next_revision(now), now, now))
    migrations = RecordMigrations(keeping, KeptRecords(store), LiveModels())
    spec = ComponentSpec("echo", "2.0.0", Kind.MODEL, model=ModelSpec("echo", "echo", migrate="migrate"))
    paused: list[float] = []
    closed = keeping.gates.closed

    def timed(model: str, *, timeout_s: float) -> Any:  # noqa: ANN401 - as it came
        paused.append(time.perf_counter())
        return closed(model, timeout_s=timeout_s)

    keeping.gates.closed = timed  # type: ignore[method-assign]
    began = time.perf_counter()
    async with migrations.moved(
        Release("echo", "2.0.0", "d" * 64, 0, 2, "bench"), spec, Migrate(), before=None, last="1.0.0"
    ):
        ended = time.perf_counter()
    return [
        _row(f"change of form, {count} records", (ended - began) / count * 1e6, "us/record"),
        _row(f"of that writers wait, {count} records", (ended - paused[0]) * 1000, "ms"),
    ]
