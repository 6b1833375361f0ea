"""Run workflows: ports called by events, step by step for each record, stored before and after ([store-1]).

Rule 1: a step is stored as begun before it is called, and its outcome together with what it leads to before
anybody is told. So a host that is killed at any moment runs an unfinished step again, with the same token.
Rule 2: a step that fails for good has everything before it taken back, in reverse order; what cannot be taken
back is tried a bounded number of times and then told.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Final

from edgehost.domain import workflow
from edgehost.domain.causation import CauseLimits
from edgehost.domain.errors import ConflictError, EdgehostError, NotFoundError, UnavailableError
from edgehost.domain.events import Event, RecordDeleted
from edgehost.domain.port_events import PortSucceeded
from edgehost.domain.workflow import Flow, FlowState, Trigger
from edgehost.usecases.keyed_work import DEFAULT_WAITING, KeyedWork
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.port_history import Key, PortHistory, bounded
from edgehost.usecases.port_rooms import PortRooms
from edgehost.usecases.workflow_steps import StepRunner
from edgehost.usecases.workflow_triggers import Arrival, WorkflowTriggers, created_trigger

log = logging.getLogger("edgehost.workflow")

#: When something could not be stored, it is tried again.
_AGAIN_S: Final = 5.0


class Workflows:
    """An EventConsumer: what happens calls the ports that consume it."""

    name = "workflows"

    def __init__(
        self,
        rooms: PortRooms,
        history: PortHistory,
        *,
        limits: CauseLimits | None = None,
        waiting: int = DEFAULT_WAITING,
    ) -> None:
        self._rooms, self._keeping, self.models = rooms, rooms.keeping, rooms.models
        self._bus, self._clock = rooms.keeping.bus, rooms.keeping.clock
        self.history = history
        self.triggers = WorkflowTriggers(rooms.models)
        self._steps = StepRunner(rooms, history, self.triggers, limits or CauseLimits(), self._wake)
        self._arriving = KeyedWork[Key, Arrival | Key](
            "workflow arrivals", self._arrive, bus=self._bus, clock=self._clock, waiting=waiting
        )
        self._driving = KeyedWork[Key, None](
            "workflow steps", self._drive, bus=self._bus, clock=self._clock, waiting=waiting, loses=False
        )
        self._news = asyncio.Event()
        self._awake: set[Key] = set()

    @property
    def full(self) -> bool:
        """Whether writers should wait."""
        return self._arriving.full or self._driving.full

    @property
    def overfull(self) -> bool:
        """Whether it can take no more at all."""
        return self._arriving.overfull

    async def room(self) -> None:
        """Return once it has caught up."""
        while self.full:
            await self._arriving.room()
            await self._driving.room()

    async def idle(self) -> None:
        """Return once nothing is under way."""
        while len(self._arriving) or len(self._driving):
            await self._arriving.idle()
            await self._driving.idle()

    def take(self, event: Event) -> None:
        """Queue what the fact leads to."""
        self.look()
        if self._steps.telling:
            return  # of a step: what it leads to is stored already
        if isinstance(event, RecordDeleted):
            key = (event.model, event.id)
            if self.history.knows(*key):
                self._arriving.put(key, key)
        if isinstance(event, PortSucceeded) and event.id:
            self._note_step_of_others(event)
        for arrival in self.triggers.arrivals(event):
            self._arriving.put((arrival.model, arrival.id or arrival.through[1]), arrival)

    def wants(self, event: Event) -> bool:
        """Whether the fact would call a port."""
        self.look()
        return not self._steps.telling and bool(self.triggers.arrivals(event))

    def look(self) -> None:
        """Know the models that are live now; what waits for one of them goes on."""
        for model in self.triggers.look():
            self._news.set()
            for flow in self.history.unsettled():
                if flow.model == model.spec.name:
                    self._wake((flow.model, flow.id))

    async def run(self) -> None:
        """Go on with what a stop or a crash interrupted, then run until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._arriving.run(), name="edgehost.workflow.arrivals")
            tasks.create_task(self._driving.run(), name="edgehost.workflow.steps")
            tasks.create_task(self._catch_up(), name="edgehost.workflow.resume")

    async def undo(self, model: str, record_id: str, reason: str) -> Flow:
        """Take back what was done for a record; undos that failed are tried again.

        Raises:
            NotFoundError: the record has no history.
            ConflictError: everything is taken back already.
        """
        flow = await self.history.get(model, record_id)
        if flow is None:
            raise NotFoundError(
                f"'{model}' has no port history of '{record_id[:128]}'.",
                hint="'edgehost workflow show' lists the models that have workflows.",
            )
        if flow.state is FlowState.UNDONE:
            raise ConflictError(f"{model}/{record_id} is taken back already.")
        flow = await self.history.change(model, record_id, lambda flow: workflow.undo_asked(flow, reason))
        self._steps.tell_flow(flow)
        self._wake((model, record_id))
        return flow

    async def _catch_up(self) -> None:
        self.look()
        for flow in self.history.unsettled():
            self._wake((flow.model, flow.id))
        seen: set[str] = set()
        while True:
            self._news.clear()
            for name in [name for name in self.triggers.born if name not in seen]:
                seen.add(name)
                model = self.models.table.by_name.get(name)
                if model is not None:
                    await self._begin_missed(model)
            await self._news.wait()

    async def _begin_missed(self, model: LiveModel) -> None:
        """Records that were stored just before a crash, so that nobody was told of them."""
        name = model.spec.name
        try:
            since = await self.history.since(name)
            async for record in self._keeping.store.scan(name):
                if record.created_at <= since or self.history.knows(name, record.id):
                    continue
                for port in self.triggers.ports_for_new(model):
                    self._arriving.put((name, record.id), Arrival(name, record.id, created_trigger(port)))
        except EdgehostError as error:
            log.warning("New records of '%s' from before the start were not looked for: %s", name, error)

    def _note_step_of_others(self, event: PortSucceeded) -> None:
        """A client or a guest called a port that can be undone: it counts as a step of the record."""
        model = self.models.table.by_name.get(event.model)
        if model is None:
            return
        port = model.spec.ports.get(event.port)
        if port is None or not port.undo or not (port.consumes or port.produces):
            return
        trigger = Trigger(
            event.port, f"called/{event.at:.6f}/{event.port}", event.type, None, event.cause.depth
        )
        done = Arrival(event.model, event.id, replace(trigger, args={"answer": bounded(event.answer)}))
        self._arriving.put((event.model, event.id), done)

    async def _arrive(self, key: Key, arrival: Arrival | Key) -> None:
        try:
            if not isinstance(arrival, Arrival):
                await self._record_gone(arrival)
                return
            record_id = arrival.id or await self._steps.named_through(arrival)
            if not record_id and arrival.free:
                await self._steps.call_free(arrival)
                return
            if not record_id or await self._keeping.store.get(arrival.model, record_id) is None:
                return
            if arrival.trigger.key.startswith("called/"):
                now, answer = self._clock.now(), arrival.trigger.args["answer"]
                trigger = replace(arrival.trigger, args=None)
                await self.history.change(
                    arrival.model,
                    record_id,
                    lambda flow: workflow.recorded(flow, trigger, answer, now),
                )
            else:
                await self._steps.add(arrival.model, record_id, arrival.trigger)
        except UnavailableError as error:
            log.error("%s/%s: an event could not be stored now: %s", *key, error)  # noqa: TRY400 - the disk is full
            asyncio.get_running_loop().call_later(_AGAIN_S, self._arriving.put, key, arrival)
        except EdgehostError as error:
            log.error("%s/%s: an event was passed over: %s", *key, error)  # noqa: TRY400 - nothing of ours

    async def _record_gone(self, key: Key) -> None:
        flow = await self.history.get(*key)
        if flow is None:
            return
        if flow.settled:
            await self.history.forget(*key)
            return
        await self.history.change(*key, lambda flow: workflow.failed_whole(flow, "Its record was deleted."))
        self._wake(key)

    def _wake(self, key: Key) -> None:
        if key not in self._awake:
            self._awake.add(key)
            self._driving.put(key, None)

    async def _drive(self, key: Key, _nothing: None) -> None:
        """Do what is due for one record until it rests."""
        self._awake.discard(key)
        try:
            while (flow := await self.history.get(*key)) is not None:
                model = self.models.table.by_name.get(flow.model)
                move = workflow.next_move(flow, self._steps.can_undo(flow.model))
                if (
                    move is None or model is None
                ):  # a model that is not live now comes back, or an operator decides
                    return
                await self._steps.do(model, flow, move)
        except EdgehostError as error:
            log.error("%s/%s cannot go on now: %s", *key, error)  # noqa: TRY400 - the disk is full, or the like
            asyncio.get_running_loop().call_later(_AGAIN_S, self._wake, key)
