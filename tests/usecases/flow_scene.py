"""Workflows over real stores and a real bus; the world behind the ports is Python, and can fail or hang."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from edgehost.adapters.services.local_event_bus import LocalEventBus
from edgehost.adapters.services.system_clock import SystemClock
from edgehost.adapters.storage.memory_records import MemoryRecords
from edgehost.domain.causation import CauseLimits
from edgehost.domain.component_spec import ComponentSpec, read_component_spec
from edgehost.domain.errors import EdgehostError, GuestFailedError
from edgehost.domain.events import Event
from edgehost.domain.record import Record, RevisionClock
from edgehost.domain.workflow import Flow
from edgehost.domain.workflow_events import StepMoved
from edgehost.ports.record_store import RecordStore
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.bind_port import Bindings
from edgehost.usecases.create_record import create_record
from edgehost.usecases.live_models import LiveModel, LiveModels
from edgehost.usecases.port_breakers import PortBreakers
from edgehost.usecases.port_history import PortHistory
from edgehost.usecases.port_rooms import PortRooms
from edgehost.usecases.record_keeping import RecordKeeping
from edgehost.usecases.run_workflow import Workflows

STEPS = ("pay", "pick", "fly", "verify")
UNDOS = [f"un-{step}" for step in STEPS]


def chain(
    model: str = "delivery", steps: Iterable[str] = STEPS, more: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A model whose ports follow each other, each with an undo."""
    ports: dict[str, Any] = {}
    consumes = "edgehost.record.created"
    for step in steps:
        ports[step] = {
            "direction": "outbound",
            "adapter": "world",
            "consumes": consumes,
            "produces": f"{model}.{step}-done",
            "undo": f"un-{step}",
            "retries": 0,
        }
        ports[f"un-{step}"] = {"direction": "outbound", "adapter": "world", "retries": 0}
        consumes = f"{model}.{step}-done"
    return {"name": model, "version": "1.0.0", "kind": "model", "model": {"ports": ports | dict(more or {})}}


def shipment(**port: Any) -> dict[str, Any]:
    """A second model, with one port."""
    return {
        "name": "shipment",
        "version": "1.0.0",
        "kind": "model",
        "model": {
            "domain": "logistics",
            "ports": {
                "land": {"direction": "outbound", "adapter": "world", "produces": "shipment.landed"} | port
            },
        },
    }


WORLD = read_component_spec({"name": "world", "version": "1.0.0", "kind": "adapter"})


@dataclass
class World:
    """What services did, by token; a call is answered, refused, lost or never answered."""

    spec: ComponentSpec = WORLD
    place: str = ""
    effects: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    documents: list[Mapping[str, Any]] = field(default_factory=list)
    faults: dict[str, list[str | EdgehostError]] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)
    hanging: asyncio.Event = field(default_factory=asyncio.Event)
    meanwhile: Callable[[str], Any] = lambda _: None

    async def call(self, _function: str, payload: bytes, *, context: CallContext = CallContext()) -> bytes:
        document = json.loads(payload)
        port, token = document["port"], document["token"]
        self.calls.append(port)
        self.documents.append(document)
        faults = self.faults.get(port, [])
        fault = faults.pop(0) if faults else ""
        if isinstance(fault, EdgehostError):
            raise fault
        if fault == "hang before":
            await self.hang()
        if port.startswith("un-"):
            self.effects.pop(token, None)
        else:
            self.effects.setdefault(token, port)
        self.meanwhile(port)
        if fault == "hang after":
            await self.hang()
        return json.dumps({"ok": self.answers.get(port, {"did": port})}).encode()

    async def hang(self) -> None:
        self.hanging.set()
        await asyncio.Event().wait()

    def find(self, component: str) -> World | None:
        return self if component == "world" else None

    def names(self) -> tuple[str, ...]:
        return ("world",)

    def blame(self, component: str) -> None:
        raise AssertionError(component)


class Guests:
    """The models' own exports, as Python functions."""

    def __init__(self) -> None:
        self.functions: dict[tuple[str, str], Callable[[Any, CallContext], Awaitable[Any]]] = {}

    def blame(self, component: str) -> None:
        raise AssertionError(component)

    async def call(
        self, component: str, function: str, payload: bytes, *, context: CallContext = CallContext()
    ) -> bytes:
        answer = await self.functions[component, function](json.loads(payload), context)
        return b"" if answer is None else json.dumps(answer).encode()


class NoBindings:
    async def load(self) -> Mapping[str, str]:
        return {}

    async def keep(self, bindings: Mapping[str, str]) -> None:
        raise AssertionError(bindings)


@dataclass
class FlowScene:
    """What survives a kill: the stores and the world."""

    records: RecordStore = field(default_factory=MemoryRecords)
    flows: RecordStore = field(default_factory=MemoryRecords)
    world: World = field(default_factory=World)
    documents: list[dict[str, Any]] = field(default_factory=lambda: [chain()])
    limits: CauseLimits = field(default_factory=CauseLimits)
    waiting: int = 1024
    bus: LocalEventBus = field(init=False)
    workflows: Workflows = field(init=False)
    heard: list[Event] = field(default_factory=list)
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    def serve(self, document: dict[str, Any]) -> None:
        spec = read_component_spec(document)
        self.models.serve(spec, digest=f"{spec.name}-{spec.version}")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[FlowScene]:
        """A host that runs; leaving the block is a kill: what is on its way is lost."""
        self.bus = LocalEventBus(limits=self.limits)
        self.models = LiveModels()
        self.guests = Guests()
        self.keeping = RecordKeeping(
            store=self.records,
            bus=self.bus,
            clock=SystemClock(),
            revisions=RevisionClock("here"),
            components=self.guests,
        )
        clock = self.keeping.clock
        history = PortHistory(self.flows, clock, "here")
        await history.load({"marks", "since", "fdelivery", "fshipment"})
        rooms = PortRooms(
            keeping=self.keeping,
            models=self.models,
            directory=self.world,
            bindings=Bindings(NoBindings(), self.bus, clock, {}),
            breakers=PortBreakers(lambda *_: None),
            pause=lambda _s: asyncio.sleep(0),
        )
        self.workflows = Workflows(rooms, history, limits=self.limits, waiting=self.waiting)
        for document in self.documents:
            self.serve(document)
        self.models.listeners.append(self.workflows.look)
        self.bus.attach(self.workflows)
        self.bus.attach(self, acting=False)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self.workflows.run())
            await asyncio.sleep(0)
            try:
                yield self
            finally:
                running.cancel()

    name = "tests"
    full = overfull = False

    async def room(self) -> None:
        return

    def wants(self, event: Event) -> bool:
        return True

    def take(self, event: Event) -> None:
        self.heard.append(event)

    def model(self, name: str = "delivery") -> LiveModel:
        return self.models.table.named(name)

    async def create(self, record_id: str = "d1", model: str = "delivery", **data: Any) -> Record:
        made = await create_record(self.keeping, self.model(model), data, record_id=record_id)
        return made.record

    async def rest(self, record_id: str = "d1", model: str = "delivery") -> Flow:
        """Wait until the record's workflow has nothing more to do."""
        async with asyncio.timeout(30):
            await asyncio.sleep(0)
            while True:
                await self.workflows.idle()
                flow = await self.workflows.history.get(model, record_id)
                if flow is not None and flow.settled:
                    return flow
                await asyncio.sleep(0.001)

    def steps(self) -> list[tuple[str, str]]:
        return [(event.port, event.state) for event in self.heard if isinstance(event, StepMoved)]


def refused() -> GuestFailedError:
    return GuestFailedError("not today")
