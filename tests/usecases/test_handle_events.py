"""Handlers: who is called for what, in which order, by which release; and what ends a circle."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from edgehost.adapters.services.local_event_bus import LocalEventBus
from edgehost.adapters.services.system_clock import SystemClock
from edgehost.adapters.storage.memory_records import MemoryRecords
from edgehost.domain.component_spec import read_component_spec
from edgehost.domain.errors import BusyError, EdgehostError, GuestTrapError, NotFoundError
from edgehost.domain.events import (
    ComponentNotified,
    ConsumerLagged,
    Event,
    EventsCut,
    EventsDropped,
    GuestLogged,
    HandlerFailed,
)
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.handle_events import EventHandlers
from edgehost.usecases.live_models import LiveModels
from edgehost.usecases.port_history import PortHistory

Act = Callable[[str, dict[str, Any]], Awaitable[None]]


async def nothing(_component: str, _event: dict[str, Any]) -> None:
    return


class Handling:
    """Components whose exports are one Python function."""

    name = "listener"
    full = overfull = False

    def __init__(
        self, act: Act = nothing, *, waiting: int = 1024, marks: MemoryRecords | None = None
    ) -> None:
        self.bus, self.models, self.act = LocalEventBus(), LiveModels(), act
        clock = SystemClock()
        self.calls: list[tuple[str, str, str]] = []
        self.heard: list[Event] = []
        self.marks = marks or MemoryRecords()
        self.history = PortHistory(self.marks, clock, "here")
        self.handlers = EventHandlers(self.models, self, self.bus, clock, self.history, waiting=waiting)

    def serve(self, component: str, *handlers: dict[str, Any], version: str = "1.0.0") -> None:
        document = {
            "name": component,
            "version": version,
            "kind": "model",
            "model": {"handlers": list(handlers)},
        }
        self.models.serve(read_component_spec(document), digest=f"{component}-{version}")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Handling]:
        await self.history.load(("marks", "since"))
        self.models.listeners.append(self.handlers.look)
        self.bus.attach(self.handlers)
        self.bus.attach(self, acting=False)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self.handlers.run())
            try:
                yield self
            finally:
                task.cancel()

    async def call(
        self, component: str, function: str, payload: bytes, *, context: CallContext = CallContext()
    ) -> bytes:
        event = json.loads(payload)["event"]
        self.calls.append((component, function, event["name"]))
        await self.act(component, event)
        return b""

    def blame(self, component: str) -> None:
        raise AssertionError(component)

    def notify(self, name: str, component: str = "outside", data: Any = None) -> None:
        self.bus.publish(ComponentNotified(at=1, component=component, name=name, data=data))

    def take(self, event: Event) -> None:
        self.heard.append(event)

    def wants(self, event: Event) -> bool:
        return True

    async def room(self) -> None:
        return


async def test_handlers_are_called_for_what_matches_in_the_order_of_the_events() -> None:
    async with Handling().running() as host:
        host.serve(
            "doors",
            {"on": "gate.*", "export": "a"},
            {"on": "gate.opened", "export": "b", "where": {"data.by": "eve"}},
        )
        host.serve("lamps", {"on": "**", "export": "c", "where": {"component": "night"}})
        host.notify("gate.opened", data={"by": "bob"})
        host.notify("gate.opened", data={"by": "eve"})
        host.notify("gate.left.ajar")
        host.notify("dusk", component="night")
        await host.handlers.idle()
        assert [call for call in host.calls if call[0] == "doors"] == [
            ("doors", "a", "gate.opened"),
            ("doors", "a", "gate.opened"),
            ("doors", "b", "gate.opened"),
        ]
        assert [call for call in host.calls if call[0] == "lamps"] == [("lamps", "c", "dusk")]


async def test_a_slow_component_keeps_its_order_and_nobody_else_waiting() -> None:
    gate = asyncio.Event()

    async def act(component: str, event: dict[str, Any]) -> None:
        if component == "slow":
            await gate.wait()

    async with Handling(act).running() as host:
        host.serve("slow", {"on": "n.*", "export": "a"})
        host.serve("fast", {"on": "n.*", "export": "a"})
        for number in range(5):
            host.notify(f"n.{number}")
        while len([call for call in host.calls if call[0] == "fast"]) < 5:
            await asyncio.sleep(0)
        assert len([call for call in host.calls if call[0] == "slow"]) == 1
        gate.set()
        await host.handlers.idle()
        assert [name for component, _, name in host.calls if component == "slow"] == [
            f"n.{n}" for n in range(5)
        ]


async def test_two_components_that_trigger_each_other_are_cut_and_told() -> None:
    async def act(component: str, event: dict[str, Any]) -> None:
        host.notify("ping" if component == "b" else "pong", component)

    host = Handling(act)
    async with host.running():
        host.serve("a", {"on": "ping", "export": "act"})
        host.serve("b", {"on": "pong", "export": "act"})
        host.notify("ping")
        await host.handlers.idle()
        cuts = [event for event in host.heard if isinstance(event, EventsCut)]
        assert [(cut.reason, cut.depth) for cut in cuts] == [("depth", 33)]
        assert len(host.calls) == 33
        host.notify("ping")  # the next cause has a circle of its own
        await host.handlers.idle()
        assert len(host.calls) == 66


async def test_a_storm_between_components_is_cut_and_told() -> None:
    async def act(component: str, event: dict[str, Any]) -> None:
        for _ in range(3):
            host.notify("ping", component)

    host = Handling(act)
    async with host.running():
        host.serve("a", {"on": "ping", "export": "act"})
        host.notify("ping")
        await host.handlers.idle()
        cuts = [event for event in host.heard if isinstance(event, EventsCut)]
        assert [cut.reason for cut in cuts] == ["storm"]
        assert len(host.calls) <= 1001


async def test_once_is_once_for_a_release_also_after_a_restart() -> None:
    marks = MemoryRecords()
    handler = {"on": "gate.opened", "export": "first", "once": True}
    async with Handling(marks=marks).running() as host:
        host.serve("doors", handler)
        for _ in range(3):
            host.notify("gate.opened")
        await host.handlers.idle()
        assert len(host.calls) == 1
    async with Handling(marks=marks).running() as host:
        host.serve("doors", handler)
        host.notify("gate.opened")
        await host.handlers.idle()
        assert host.calls == []
        host.serve("doors", handler, version="1.1.0")
        host.notify("gate.opened")
        await host.handlers.idle()
        assert len(host.calls) == 1


async def test_a_replay_brings_the_last_events_first_and_only_to_handlers_that_want_it() -> None:
    async with Handling().running() as host:
        for number in range(5):
            host.notify(f"n.{number}")
        host.serve("late", {"on": "n.*", "export": "a", "replay": 2}, {"on": "n.*", "export": "b"})
        host.notify("n.5")
        await host.handlers.idle()
        assert host.calls == [
            ("late", "a", "n.3"),
            ("late", "a", "n.4"),
            ("late", "a", "n.5"),
            ("late", "b", "n.5"),
        ]


async def test_events_that_wait_go_to_the_release_that_is_live_then_as_its_handlers_say() -> None:
    gate, begun = asyncio.Event(), asyncio.Event()

    async def act(component: str, event: dict[str, Any]) -> None:
        begun.set()
        await gate.wait()

    async with Handling(act).running() as host:
        host.serve("doors", {"on": "gate.*", "export": "old"})
        host.notify("gate.1")
        host.notify("gate.2")
        host.notify("gate.x")
        await begun.wait()
        host.serve("doors", {"on": "gate.2", "export": "new"}, version="2.0.0")
        gate.set()
        await host.handlers.idle()
        assert host.calls == [("doors", "old", "gate.1"), ("doors", "new", "gate.2")]


async def test_a_call_that_meets_the_swap_is_made_anew_as_the_new_release_says() -> None:
    async def act(component: str, event: dict[str, Any]) -> None:
        if len(host.calls) == 1:
            host.serve("doors", {"on": "gate.*", "export": "new"}, version="2.0.0")
            raise NotFoundError("The export 'old' is gone.")

    host = Handling(act)
    async with host.running():
        host.serve("doors", {"on": "gate.*", "export": "old"})
        host.notify("gate.1")
        await host.handlers.idle()
        assert host.calls == [("doors", "old", "gate.1"), ("doors", "new", "gate.1")]
        assert not [event for event in host.heard if isinstance(event, HandlerFailed)]


async def test_a_busy_component_is_asked_again_and_a_fault_is_told_once() -> None:
    errors: list[EdgehostError] = [BusyError("later"), BusyError("later"), GuestTrapError("unreachable")]

    async def act(component: str, event: dict[str, Any]) -> None:
        if errors:
            raise errors.pop(0)

    async with Handling(act).running() as host:
        host.serve("doors", {"on": "gate.*", "export": "a"})
        host.notify("gate.1")
        host.notify("gate.2")
        await host.handlers.idle()
        assert [name for _, _, name in host.calls] == ["gate.1", "gate.1", "gate.1", "gate.2"]
        failed = [event for event in host.heard if isinstance(event, HandlerFailed)]
        assert [(event.component, event.name, event.code) for event in failed] == [
            ("doors", "gate.1", "guest-trap")
        ]


async def test_lines_of_logs_call_no_handler() -> None:
    async with Handling().running() as host:
        host.serve("doors", {"on": "**", "export": "a"})
        host.bus.publish(GuestLogged(at=1, component="doors", level="info", message="x"))
        await host.handlers.idle()
        assert host.calls == []


async def test_when_handlers_lag_it_is_told_writers_wait_and_what_does_not_wait_is_counted() -> None:
    gate = asyncio.Event()

    async def act(component: str, event: dict[str, Any]) -> None:
        await gate.wait()

    async with Handling(act, waiting=10).running() as host:
        host.serve("slow", {"on": "n.*", "export": "a"})
        for number in range(50):
            host.notify(f"n.{number}")
        lagged = [event for event in host.heard if isinstance(event, ConsumerLagged)]
        assert [(event.consumer, event.waiting) for event in lagged] == [("handlers", 10)]
        waiting = asyncio.create_task(host.bus.room())
        await asyncio.sleep(0)
        assert not waiting.done()
        gate.set()
        await waiting
        await host.handlers.idle()
        assert len(host.calls) == 40
        dropped = [event for event in host.heard if isinstance(event, EventsDropped)]
        assert [(event.consumer, event.count) for event in dropped] == [("handlers", 10)]
