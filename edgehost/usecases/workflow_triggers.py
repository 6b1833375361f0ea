"""Which ports of the live models an event calls, and for which of their records."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final

from edgehost.domain.correlation import correlated, given_by
from edgehost.domain.event_pattern import PatternIndex, matches
from edgehost.domain.events import ComponentNotified, Event, RecordCreated, RecordEvent
from edgehost.domain.port_events import PortEvent, ServiceNotified
from edgehost.domain.port_spec import Direction
from edgehost.domain.workflow import Trigger
from edgehost.domain.workflow_events import FlowMoved
from edgehost.usecases.live_models import LiveModel, LiveModels, ModelTable
from edgehost.usecases.port_history import bounded

CREATED: Final = RecordCreated.type
#: Facts that can be about a record of a model; a step's own moves lead to nothing.
_ABOUT_RECORDS: Final = (RecordEvent, PortEvent, ComponentNotified, ServiceNotified, FlowMoved)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A trigger for a record; without an id it must be found by the record that the event is about."""

    model: str
    id: str
    trigger: Trigger
    through: tuple[str, str] = ("", "")  # (model, id) of the record whose data may name the id
    free: bool = False  # an inbound port, which may be called about no record


class WorkflowTriggers:
    """An index over the ports of the live models, made anew when they change."""

    def __init__(self, models: LiveModels) -> None:
        self._models = models
        self._table = ModelTable()
        self._index: PatternIndex[tuple[str, str]] = PatternIndex()
        self._numbers = itertools.count()
        self.born: tuple[str, ...] = ()  # models whose new records begin a workflow

    def look(self) -> tuple[LiveModel, ...]:
        """Know the ports of the models that are live now; returns the models that are new or another release."""
        table = self._models.table
        if table is self._table:
            return ()
        before, self._table = self._table, table
        self._index = PatternIndex()
        for model in table.by_name.values():
            for name, port in model.spec.ports.items():
                if port.consumes and port.enabled:
                    self._index.add(port.consumes, (model.spec.name, name))
        self.born = tuple(
            dict.fromkeys(model.spec.name for model in table.by_name.values() if self.ports_for_new(model))
        )
        known = {model.digest for model in before.by_name.values()}
        return tuple(model for model in table.by_name.values() if model.digest not in known)

    def arrivals(self, event: Event, key: str = "") -> tuple[Arrival, ...]:
        """The triggers that the event is; ``key`` tells it from others when its publisher may repeat it."""
        if not len(self._index) or not isinstance(event, _ABOUT_RECORDS):
            return ()
        found = [(name, target) for name in event.names for target in self._index.matching(name)]
        targets = {target: name for name, target in reversed(found)}
        if not targets:
            return ()
        key = key or _key_of(event) or f"{event.names[0]}/{event.at:.6f}/{next(self._numbers)}"
        arrivals = []
        for (model, port), name in reversed(targets.items()):
            trigger = Trigger(port, f"{key}/{port}", name, bounded(given_by(event, model)), event.cause.depth)
            record_id = correlated(event, model)
            about = ("", "") if record_id else _about(event)
            free = not isinstance(event, RecordEvent | FlowMoved) and self._inbound(model, port)
            if record_id or about[1] or free:
                arrivals.append(Arrival(model, record_id, trigger, about, free=free and not record_id))
        return tuple(arrivals)

    def _inbound(self, model: str, port: str) -> bool:
        return self._table.by_name[model].spec.ports[port].direction is Direction.INBOUND

    def ports_for_new(self, model: LiveModel) -> tuple[str, ...]:
        """The ports that a new record of the model calls."""
        return tuple(
            name
            for name, port in model.spec.ports.items()
            if port.consumes and port.enabled and matches(port.consumes, CREATED)
        )


def created_trigger(port: str) -> Trigger:
    """What a new record is for a port that consumes it."""
    return Trigger(port, f"{CREATED}/{port}", CREATED)


def _key_of(event: Event) -> str:
    """Facts that can be told again after a crash are the same fact."""
    match event:
        case RecordCreated():
            return CREATED
        case RecordEvent():
            return f"{event.type}/{event.model}/{event.id}/{event.revision}"
        case _:
            return ""


def _about(event: Event) -> tuple[str, str]:
    if isinstance(event, RecordEvent | PortEvent | FlowMoved):
        return (event.model, event.id)
    return ("", "")
