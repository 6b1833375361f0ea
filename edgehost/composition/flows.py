"""What happens because something happened: handlers and workflows, with the histories that outlive the host."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from edgehost.adapters.storage.tinydb_records import open_records
from edgehost.composition.rooms import Rooms
from edgehost.composition.sinks import make_sinks
from edgehost.config_events import PipelineSettings
from edgehost.domain.causation import CauseLimits
from edgehost.usecases.forward_events import EventForwarder
from edgehost.usecases.handle_events import EventHandlers
from edgehost.usecases.port_history import PortHistory
from edgehost.usecases.run_pipeline import Pipeline, Pipelines
from edgehost.usecases.run_workflow import Workflows
from remotes.owned_tasks import Spawn


@dataclass(frozen=True, slots=True)
class Flows:
    """All that acts on events."""

    handlers: EventHandlers
    workflows: Workflows
    pipelines: Pipelines
    sinks: tuple[EventForwarder, ...]


async def open_flows(rooms: Rooms, stack: AsyncExitStack) -> Flows:
    """Open the histories and get ready to act on events; the stack closes the store.

    Raises:
        UnavailableError: another host uses the data folder.
        DamagedError: a later version of edgehost wrote it.
    """
    settings = rooms.config.events
    store = await stack.enter_async_context(
        open_records(rooms.config.host.data / "flows", disk=rooms.withheld)
    )
    history = PortHistory(store, rooms.clock, rooms.config.host.name, most_flows=settings.flows)
    await history.load(store.models())
    return Flows(
        handlers=EventHandlers(
            rooms.models, rooms.running, rooms.bus, rooms.clock, history, waiting=settings.waiting
        ),
        workflows=Workflows(
            rooms.ports,
            history,
            limits=CauseLimits(settings.depth, settings.storm),
            waiting=settings.waiting,
        ),
        pipelines=Pipelines(
            [_pipeline(each) for each in rooms.config.pipelines.values()],
            rooms.running,
            rooms.bus,
            rooms.clock,
            waiting=settings.waiting,
        ),
        sinks=make_sinks(rooms),
    )


def start_flows(flows: Flows, rooms: Rooms, spawn: Spawn) -> None:
    """Act on events from now on, and go on with what a stop or a crash interrupted."""
    for consumer in (flows.handlers, flows.workflows):
        rooms.models.listeners.append(consumer.look)
        rooms.bus.attach(consumer)
        spawn(consumer.run(), f"edgehost.{consumer.name}")
    rooms.bus.attach(flows.pipelines)
    spawn(flows.pipelines.run(), "edgehost.pipelines")
    for sink in flows.sinks:
        rooms.bus.attach(sink, acting=False)
        spawn(sink.run(), f"edgehost.{sink.name}")


def _pipeline(settings: PipelineSettings) -> Pipeline:
    steps = tuple((component, export) for component, _, export in (s.partition(".") for s in settings.steps))
    return Pipeline(settings.name, steps, settings.on, settings.where)
