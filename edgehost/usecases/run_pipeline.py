"""Pipelines: components in a row, the answer of each the input of the next; called, or started by events."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from edgehost.domain.causation import caused_by
from edgehost.domain.errors import EdgehostError, NotFoundError, RefusedError
from edgehost.domain.event_pattern import PatternIndex, holds
from edgehost.domain.events import Event
from edgehost.domain.json_text import read_json, tell_json
from edgehost.domain.suggestion import did_you_mean
from edgehost.domain.workflow_events import PipelineEnded
from edgehost.ports.clock import Clock
from edgehost.ports.event_bus import EventBus
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.handle_events import UNHEARD, event_document
from edgehost.usecases.keyed_work import DEFAULT_WAITING, KeyedConsumer, KeyedWork
from edgehost.usecases.record_keeping import ComponentCaller

log = logging.getLogger("edgehost.pipelines")

#: What came out of a pipeline that an event started is told up to this size.
_TOLD_BYTES: Final = 32 * 1024


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What a pipeline is made of."""

    name: str
    steps: tuple[tuple[str, str], ...]  # (component, export)
    on: str = ""
    where: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Ready for JSON."""
        steps = [f"{component}.{export}" for component, export in self.steps]
        return {"name": self.name, "steps": steps, "on": self.on, "where": dict(self.where)}


class Pipelines(KeyedConsumer[str, Event]):
    """An EventConsumer; and what answers a call of a pipeline."""

    name = "pipelines"

    def __init__(
        self,
        pipelines: Sequence[Pipeline],
        components: ComponentCaller,
        bus: EventBus,
        clock: Clock,
        *,
        waiting: int = DEFAULT_WAITING,
    ) -> None:
        self._pipelines = {each.name: each for each in pipelines}
        self._components, self._bus, self._clock = components, bus, clock
        self._index: PatternIndex[Pipeline] = PatternIndex()
        for each in pipelines:
            if each.on:
                self._index.add(each.on, each)
        self._work = KeyedWork[str, Event](self.name, self._started, bus=bus, clock=clock, waiting=waiting)

    def wants(self, event: Event) -> bool:
        """Whether the fact starts a pipeline."""
        return bool(self._wanting(event))

    def take(self, event: Event) -> None:
        """Queue the fact for each pipeline that it starts."""
        for pipeline in self._wanting(event):
            self._work.put(pipeline.name, event)

    async def run(self) -> None:
        """Start pipelines until cancelled."""
        await self._work.run()

    def all(self) -> tuple[Pipeline, ...]:
        """Every pipeline, by name."""
        return tuple(each for _, each in sorted(self._pipelines.items()))

    async def call(self, name: str, payload: bytes, *, context: CallContext = CallContext()) -> bytes:
        """What comes out at the end of the pipeline.

        Raises:
            NotFoundError: there is no such pipeline, or a step's component or export is not here.
            EdgehostError: of the step that failed; its message says which.
        """
        pipeline = self._pipelines.get(name)
        if pipeline is None:
            raise NotFoundError(
                f"There is no pipeline '{name[:80]}'.",
                hint=did_you_mean(name[:80], self._pipelines) or "Describe it under [pipelines.NAME].",
            )
        for number, (component, export) in enumerate(pipeline.steps, 1):
            try:
                payload = await self._components.call(component, export, payload, context=context)
            except EdgehostError as error:
                error.message = f"Step {number} of '{name}', {component}.{export}: {error.message}"
                raise
        return payload

    def _wanting(self, event: Event) -> tuple[Pipeline, ...]:
        if not len(self._index) or event.type in UNHEARD:
            return ()
        found = [pipeline for name in event.names for pipeline in self._index.matching(name)]
        wanted = {
            pipeline.name: pipeline
            for pipeline in found
            if not pipeline.where or holds(pipeline.where, event.details())
        }
        return tuple(wanted.values())

    async def _started(self, name: str, event: Event) -> None:
        code = reason = ""
        data: Any = None
        with caused_by(event.cause):
            try:
                data = _told(await self.call(name, tell_json({"event": event_document(event)})))
            except EdgehostError as error:
                code, reason = error.code, error.message
                log.warning("%s", error)
            self._bus.publish(
                PipelineEnded(at=self._clock.now(), pipeline=name, data=data, code=code, reason=reason)
            )


def _told(output: bytes) -> Any:  # noqa: ANN401 - JSON
    if not output or len(output) > _TOLD_BYTES:
        return None
    try:
        return read_json(output)
    except RefusedError:
        return None  # what components hand on to each other need not be JSON
