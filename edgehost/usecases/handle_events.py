"""Call the exports that models declare for events: in order for each component, several components side by side.

What is called is what the release that is live at that moment declares: an event that waits while a release is
replaced goes to the new one, as its handlers say, and never to both.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from edgehost.domain.causation import caused_by
from edgehost.domain.errors import EdgehostError, NotFoundError, UnavailableError
from edgehost.domain.event_pattern import PatternIndex, holds, matches
from edgehost.domain.events import Event, HandlerFailed
from edgehost.domain.json_text import tell_json
from edgehost.domain.model_spec import HandlerSpec
from edgehost.ports.clock import Clock
from edgehost.ports.event_bus import EventBus
from edgehost.ports.once_marks import OnceMarks
from edgehost.usecases.keyed_work import DEFAULT_WAITING, KeyedConsumer, KeyedWork
from edgehost.usecases.live_models import LiveModel, LiveModels, ModelTable
from edgehost.usecases.record_keeping import ComponentCaller

log = logging.getLogger("edgehost.handlers")

#: Lines of logs are for people; a handler that logs would call itself for ever.
UNHEARD: Final = frozenset({"edgehost.guest.logged"})
#: A component that is busy now is asked again after these seconds.
_AGAIN_S: Final = (0.05, 0.2, 0.8, 2.0)


@dataclass(frozen=True, slots=True)
class _Told:
    """A fact for a component; ``again`` for those from before it went live."""

    event: Event
    again: bool = False


class EventHandlers(KeyedConsumer[str, _Told]):
    """An EventConsumer: what the live models want to be told, they are told."""

    name = "handlers"

    def __init__(
        self,
        models: LiveModels,
        components: ComponentCaller,
        bus: EventBus,
        clock: Clock,
        marks: OnceMarks,
        *,
        waiting: int = DEFAULT_WAITING,
    ) -> None:
        self._models, self._components = models, components
        self._bus, self._clock, self._marks = bus, clock, marks
        self._work = KeyedWork[str, _Told](self.name, self._handle, bus=bus, clock=clock, waiting=waiting)
        self._table = ModelTable()
        self._index: PatternIndex[tuple[str, HandlerSpec]] = PatternIndex()

    def take(self, event: Event) -> None:
        """Queue the fact for each component that wants it."""
        for component in self._wanting(event):
            self._work.put(component, _Told(event))

    def wants(self, event: Event) -> bool:
        """Whether a component wants the fact."""
        return bool(self._wanting(event))

    def _wanting(self, event: Event) -> Iterable[str]:
        self.look()
        if not self._index or event.type in UNHEARD:
            return ()
        found = [pair for name in event.names for pair in self._index.matching(name)]
        return dict.fromkeys(
            component
            for component, handler in found
            if not handler.where or holds(handler.where, event.details())
        )

    def look(self) -> None:
        """Know the handlers of the releases that are live now; those that came new get their replay."""
        table = self._models.table
        if table is self._table:
            return
        before, self._table = self._table, table
        self._index = PatternIndex()
        known = {model.digest for model in before.by_endpoint.values()}
        for model in table.by_endpoint.values():
            for handler in model.spec.handlers:
                self._index.add(handler.on, (model.component, handler))
            if model.digest not in known:
                self._replay(model)

    async def run(self) -> None:
        """Handle events until cancelled."""
        await self._work.run()

    def _replay(self, model: LiveModel) -> None:
        """What several handlers of the release want from before comes once, in order."""
        found: dict[int, Event] = {}
        for handler in model.spec.handlers:
            if handler.replay:
                found.update(
                    (id(event), event)
                    for event in self._bus.last(handler.on, handler.replay, handler.where)
                    if event.type not in UNHEARD
                )
        for event in sorted(found.values(), key=lambda event: event.at):
            self._work.put(model.component, _Told(event, again=True))

    async def _handle(self, component: str, told: _Told) -> None:
        table, event = self._models.table, told.event
        model = _model_of(table, component)
        for handler in _wanted(model, event):
            if told.again and not handler.replay:
                continue
            if model is None or (handler.once and not await self._first(model, handler)):
                continue
            try:
                await self._tell(component, handler, event)
            except NotFoundError as error:
                if self._models.table is not table:
                    await self._handle(component, told)  # replaced meanwhile: as the new release says
                    return
                self._failed(component, handler, event, error)
            except EdgehostError as error:
                self._failed(component, handler, event, error)

    async def _first(self, model: LiveModel, handler: HandlerSpec) -> bool:
        number = model.spec.handlers.index(handler)
        try:
            return await self._marks.mark(f"handler/{model.digest}/{number}")
        except EdgehostError as error:
            log.warning("'%s' of '%s' is not called: %s", handler.export, model.component, error)
            return False

    async def _tell(self, component: str, handler: HandlerSpec, event: Event) -> None:
        payload = tell_json({"event": event_document(event)})
        for pause_s in (*_AGAIN_S, None):
            try:
                with caused_by(event.cause):
                    await self._components.call(component, handler.export, payload)
            except UnavailableError:
                if pause_s is None:
                    raise
                await asyncio.sleep(pause_s)
            else:
                return

    def _failed(self, component: str, handler: HandlerSpec, event: Event, error: EdgehostError) -> None:
        log.warning("'%s' of '%s' did not take '%s': %s", handler.export, component, event.names[0], error)
        with caused_by(event.cause):
            self._bus.publish(
                HandlerFailed(
                    at=self._clock.now(),
                    component=component,
                    export=handler.export,
                    name=event.names[0],
                    code=error.code,
                    reason=error.message,
                )
            )


def event_document(event: Event) -> dict[str, Any]:
    """The event as guests see it."""
    return {
        "name": event.names[0],
        "type": event.type,
        "subject": event.subject,
        "at": event.at,
        "depth": event.cause.depth,
        "data": event.details(),
    }


def _model_of(table: ModelTable, component: str) -> LiveModel | None:
    return next((model for model in table.by_endpoint.values() if model.component == component), None)


def _wanted(model: LiveModel | None, event: Event) -> Iterator[HandlerSpec]:
    for handler in () if model is None else model.spec.handlers:
        if any(matches(handler.on, name) for name in event.names) and holds(handler.where, event.details()):
            yield handler
