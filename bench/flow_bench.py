"""What events and workflows cost: dispatch by number of subscriptions, a step stored before and after."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from edgehost.adapters.services.local_event_bus import LocalEventBus
from edgehost.adapters.services.system_clock import SystemClock
from edgehost.adapters.storage.memory_records import MemoryRecords
from edgehost.adapters.storage.tinydb_records import open_records
from edgehost.domain.component_spec import read_component_spec
from edgehost.domain.events import ComponentNotified
from edgehost.domain.record import RevisionClock
from edgehost.ports.record_store import RecordStore
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.create_record import create_record
from edgehost.usecases.handle_events import EventHandlers
from edgehost.usecases.live_models import LiveModels
from edgehost.usecases.port_history import PortHistory
from edgehost.usecases.record_keeping import RecordKeeping
from tests.usecases.flow_scene import FlowScene, chain


def run(*, quick: bool = False) -> list[dict[str, Any]]:
    events = 2_000 if quick else 20_000
    rows = [asyncio.run(dispatch(count, events)) for count in (1, 100, 10_000)]
    rows.append(asyncio.run(dispatch_to_all(1_000, 200 if quick else 1_000)))
    rows.append(asyncio.run(handled(1_000 if quick else 5_000)))
    rows += asyncio.run(steps(20 if quick else 100))
    return rows


async def dispatch(subscriptions: int, events: int) -> dict[str, Any]:
    """Each subscription has a pattern of its own; every event is wanted by one of them."""
    bus = LocalEventBus()
    async with listening(bus, [f"fleet.drone-{number}.*" for number in range(subscriptions)]):
        facts = [
            ComponentNotified(at=1.0, component="c", name=f"fleet.drone-{number % subscriptions}.landed")
            for number in range(events)
        ]
        began = time.perf_counter()
        for fact in facts:
            bus.publish(fact)
        took = time.perf_counter() - began
    return {
        "name": f"events published, {subscriptions} subscriptions with patterns",
        "value": events / took,
        "unit": "1/s",
        "us_each": round(took / events * 1e6, 1),
    }


async def dispatch_to_all(subscriptions: int, events: int) -> dict[str, Any]:
    """Every subscription wants every event."""
    bus = LocalEventBus()
    async with listening(bus, ["fleet.**"] * subscriptions):
        fact = ComponentNotified(at=1.0, component="c", name="fleet.landed")
        began = time.perf_counter()
        for _ in range(events):
            bus.publish(fact)
        took = time.perf_counter() - began
    return {
        "name": f"deliveries, {subscriptions} subscriptions that want every event",
        "value": events * subscriptions / took,
        "unit": "1/s",
    }


@asynccontextmanager
async def listening(bus: LocalEventBus, patterns: list[str]) -> AsyncIterator[None]:
    opened = [bus.subscription(on=pattern, backlog=16) for pattern in patterns]
    for each in opened:
        await each.__aenter__()
    try:
        yield
    finally:
        for each in opened:
            await each.__aexit__(None, None, None)


class Silent:
    """A component whose handler does nothing: the sandbox's own cost is in sandbox_bench."""

    async def call(
        self,
        _component: str,
        _function: str,
        _payload: bytes,
        *,
        context: CallContext = CallContext(),  # noqa: ARG002 - as in the port
    ) -> bytes:
        return b""

    def blame(self, component: str) -> None:
        raise AssertionError(component)


async def handled(events: int) -> dict[str, Any]:
    """From publish to the end of the handler's call, without the guest."""
    bus, models, clock = LocalEventBus(), LiveModels(), SystemClock()
    history = PortHistory(MemoryRecords(), clock, "bench")
    handlers = EventHandlers(models, Silent(), bus, clock, history, waiting=events * 10)
    for number in range(10):
        document = {
            "name": f"c{number}",
            "version": "1.0.0",
            "kind": "model",
            "model": {"handlers": [{"on": "fleet.*", "export": "x", "where": {"component": "c"}}]},
        }
        models.serve(read_component_spec(document), digest=str(number))
    bus.attach(handlers)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(handlers.run())
        began = time.perf_counter()
        for _ in range(events):
            bus.publish(ComponentNotified(at=1.0, component="c", name="fleet.landed"))
        await handlers.idle()
        took = time.perf_counter() - began
        running.cancel()
    return {"name": "handler calls, 10 components", "value": events * 10 / took, "unit": "1/s"}


async def steps(records: int) -> list[dict[str, Any]]:
    """What a workflow adds to a port's call: two durable writes and the planning."""
    with tempfile.TemporaryDirectory(prefix="edgehost-bench-") as folder:
        async with open_records(Path(folder)) as flows:
            rows = [
                await step_row("workflow step, history on disk", flows, records, at_once=1),
                await step_row(
                    "workflow step, history on disk, 8 records at once", flows, records, at_once=8
                ),
            ]
    rows.append(await step_row("workflow step, history in memory", MemoryRecords(), records, at_once=1))
    rows.append(await create_row(records))
    return rows


async def step_row(name: str, flows: RecordStore, records: int, *, at_once: int) -> dict[str, Any]:
    names = ("one", "two", "three", "four")
    scene = FlowScene(flows=flows, documents=[chain(steps=names)])
    prefix = name.replace(" ", "-").replace(",", "")
    async with scene.running():
        began = time.perf_counter()
        for first in range(0, records, at_once):
            ids = [f"{prefix}-{first + number}" for number in range(at_once)]
            for each in ids:
                await scene.create(each)
            for each in ids:
                await scene.rest(each)
        took = time.perf_counter() - began
    return {"name": name, "value": took / records / len(names) * 1e3, "unit": "ms"}


async def create_row(records: int) -> dict[str, Any]:
    """The same records without a workflow, for comparison."""
    models = LiveModels()
    document = {"name": "plain", "version": "1.0.0", "kind": "model", "model": {}}
    models.serve(read_component_spec(document), digest="0")
    keeping = RecordKeeping(MemoryRecords(), LocalEventBus(), SystemClock(), RevisionClock("bench"), Silent())
    began = time.perf_counter()
    for _ in range(records):
        await create_record(keeping, models.table.named("plain"), {})
    took = time.perf_counter() - began
    return {
        "name": "a record created without a workflow, in memory",
        "value": took / records * 1e3,
        "unit": "ms",
    }
