"""Carry out one step of a record's workflow, or take one back: stored before, stored after, then told.

What a step leads to is stored together with its outcome, so that a crash loses neither and repeats neither.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from edgehost.domain import workflow
from edgehost.domain.causation import Cause, CauseLimits, Descent, caused_by
from edgehost.domain.correlation import named_in
from edgehost.domain.errors import (
    BusyError,
    CircuitOpenError,
    ConflictError,
    EdgehostError,
    GuestFailedError,
    NotFoundError,
    PortUnboundError,
    RefusedError,
)
from edgehost.domain.events import EventsCut
from edgehost.domain.port_events import PortSucceeded
from edgehost.domain.port_spec import Direction
from edgehost.domain.record import Record
from edgehost.domain.workflow import Deed, Flow, FlowState, Move, Step, StepState, Trigger
from edgehost.domain.workflow_events import FlowMoved, StepMoved
from edgehost.usecases.answer_port import answer_port
from edgehost.usecases.invoke_port import invoke_port, undo_port
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.port_call import PortOutcome
from edgehost.usecases.port_history import Key, PortHistory, bounded
from edgehost.usecases.port_rooms import PortRooms
from edgehost.usecases.workflow_triggers import Arrival, WorkflowTriggers

log = logging.getLogger("edgehost.workflow")

#: Between tries of an undo.
_UNDO_PAUSES_S: Final = (0.2, 1.0)
#: Failures that leave the world as it was, as long as nothing was asked of it before.
_HARMLESS: Final = (
    RefusedError,
    GuestFailedError,
    NotFoundError,
    CircuitOpenError,
    PortUnboundError,
    BusyError,
)


class StepRunner:
    """Does the deeds that a flow's next move names."""

    def __init__(
        self,
        rooms: PortRooms,
        history: PortHistory,
        triggers: WorkflowTriggers,
        limits: CauseLimits,
        wake: Callable[[Key], None],
    ) -> None:
        self._rooms, self._keeping, self._models = rooms, rooms.keeping, rooms.models
        self._bus, self._clock = rooms.keeping.bus, rooms.keeping.clock
        self._history, self._triggers, self._limits, self._wake = history, triggers, limits, wake
        self.telling = False  # the fact that is published now was acted upon already

    async def add(self, model: str, record_id: str, trigger: Trigger) -> None:
        """Add a step to a record's flow, and see to it."""
        flow = await self._history.change(
            model, record_id, lambda flow: workflow.triggered(flow, trigger, self.can_undo(model))
        )
        if not flow.settled:
            self._wake((model, record_id))

    def can_undo(self, model: str) -> workflow.CanUndo:
        """Whether a step of a port can be taken back."""
        live = self._models.table.by_name.get(model)

        def can_undo(port: str) -> bool:
            spec = None if live is None else live.spec.ports.get(port)
            return spec is None or bool(spec.undo)  # a port that is gone must be reported, not passed over

        return can_undo

    async def call_free(self, arrival: Arrival) -> None:
        """Call an inbound port about no record: it may create one, and is no step of any workflow."""
        model = self._models.table.by_name.get(arrival.model)
        if model is None:
            return
        trigger = arrival.trigger
        with caused_by(Cause(trigger.depth, Descent())):
            await answer_port(self._rooms, model, trigger.port, None, trigger.args)

    async def named_through(self, arrival: Arrival) -> str:
        """The id in the data of the record that the event is about: that of another model."""
        record = await self._keeping.store.get(*arrival.through) if arrival.through[1] else None
        return "" if record is None else named_in(record.data, arrival.model)

    async def do(self, model: LiveModel, flow: Flow, move: Move) -> None:
        """Do it, and store and tell what came of it."""
        step = move.step
        if step is None:
            await self._settle(flow, move)
            return
        with caused_by(Cause(step.trigger.depth, Descent())):
            match move.deed:
                case Deed.CALL:
                    await self._call(model, flow, step)
                case Deed.GIVE_UP:
                    reason = f"It was begun {step.attempts} times and never ended."
                    await self._fail(flow, step, code="interrupted", reason=reason, doubtful=True)
                case Deed.UNDO:
                    await self._undo(model, flow, step)
                case Deed.LEAVE:
                    reason = f"Its undo was begun {step.undo_attempts} times and never ended."
                    await self._leave(flow, step, "interrupted", reason)
                case _:
                    raise AssertionError(move)

    async def _call(self, model: LiveModel, flow: Flow, step: Step) -> None:
        flow = await self._change(flow, lambda f: workflow.begun(f, step.number, self._clock.now()))
        self._tell_step(flow, step.number)
        try:
            outcome = await self._called(model, flow, step)
        except ConflictError as error:
            if step.attempts + 1 >= workflow.MOST_ATTEMPTS:
                await self._fail_with(flow, step, error)
            # else it stays begun: the record changed meanwhile, and the next attempt sees it as it is now
        except EdgehostError as error:
            await self._fail_with(flow, step, error)
        else:
            await self._succeed(model, flow, step, outcome)

    async def _called(self, model: LiveModel, flow: Flow, step: Step) -> PortOutcome:
        spec = model.spec.ports.get(step.port)
        token = flow.token(step)
        args = step.trigger.args
        if spec is not None and spec.direction is Direction.INBOUND:
            return await answer_port(self._rooms, model, step.port, flow.id, args, token=token)
        record = await self._keeping.require(model, flow.id)
        return await invoke_port(self._rooms, model, step.port, record, args, token=token)

    async def _succeed(self, model: LiveModel, flow: Flow, step: Step, outcome: PortOutcome) -> None:
        answer = bounded(outcome.answer)
        depth = step.trigger.depth + 1
        event = PortSucceeded(
            at=self._clock.now(),
            cause=Cause(depth),
            model=flow.model,
            port=step.port,
            id=flow.id,
            event=model.spec.ports[step.port].produces,
            answer=answer,
            tries=outcome.tries,
            fallback=outcome.fallback,
        )
        own, others = await self._led_to(event, flow, step)
        if depth > self._limits.depth and (own or others):
            await self._cut(flow, step, event)
            return
        for arrival in others:
            await self.add(arrival.model, arrival.id, arrival.trigger)

        def after(flow: Flow) -> Flow:
            flow = workflow.done(flow, step.number, answer, event.at)
            for arrival in own:
                flow = workflow.triggered(flow, arrival.trigger, self.can_undo(flow.model))
            return flow

        flow = await self._change(flow, after)
        self._tell_step(flow, step.number)
        self.telling = True
        try:
            self._bus.publish(event)
        finally:
            self.telling = False

    async def _led_to(
        self, event: PortSucceeded, flow: Flow, step: Step
    ) -> tuple[Sequence[Arrival], Sequence[Arrival]]:
        """What the step's success triggers: for the same record, and for others."""
        own, others = [], []
        for arrival in self._triggers.arrivals(event, key=flow.token(step)):
            record_id = arrival.id or await self.named_through(arrival)
            if (arrival.model, record_id) == (flow.model, flow.id):
                own.append(replace(arrival, id=record_id))
            elif record_id and await self._keeping.store.get(arrival.model, record_id) is not None:
                others.append(replace(arrival, id=record_id))
        return own, others

    async def _cut(self, flow: Flow, step: Step, event: PortSucceeded) -> None:
        """A circle: the step was done, and everything is taken back rather than left half done."""
        reason = f"More than {self._limits.depth} events led to each other: a circle."

        def after(flow: Flow) -> Flow:
            return workflow.failed_whole(workflow.done(flow, step.number, event.answer, event.at), reason)

        flow = await self._change(flow, after)
        self._bus.publish(
            EventsCut(
                at=event.at,
                name=event.names[0],
                about=event.subject,
                reason="depth",
                depth=event.cause.depth,
                count=len(flow.steps),
            )
        )
        self.tell_flow(flow)

    async def _fail_with(self, flow: Flow, step: Step, error: EdgehostError) -> None:
        again = step.attempts > 0  # of what the earlier attempts did nobody heard
        doubtful = again or error.acted or not isinstance(error, _HARMLESS)
        await self._fail(flow, step, code=error.code, reason=error.message, doubtful=doubtful)

    async def _fail(self, flow: Flow, step: Step, *, code: str, reason: str, doubtful: bool) -> None:
        now = self._clock.now()
        flow = await self._change(
            flow,
            lambda f: workflow.failed(f, step.number, code=code, reason=reason, doubtful=doubtful, now=now),
        )
        log.warning("%s/%s: %s failed and is taken back: %s", flow.model, flow.id, step.port, reason)
        self._tell_step(flow, step.number)
        self.tell_flow(flow)

    async def _undo(self, model: LiveModel, flow: Flow, step: Step) -> None:
        flow = await self._change(flow, lambda f: workflow.undo_begun(f, step.number))
        self._tell_step(flow, step.number)
        record: Record | None = await self._keeping.store.get(flow.model, flow.id)
        tries = step.undo_attempts + 1
        try:
            await undo_port(
                self._rooms,
                model,
                step.port,
                record,
                step.trigger.args,
                answer=step.answer,
                token=flow.token(step),
            )
        except EdgehostError as error:
            if tries >= workflow.MOST_UNDO_ATTEMPTS:
                await self._leave(flow, step, error.code, error.message)
            else:
                await self._rooms.pause(_UNDO_PAUSES_S[min(tries, len(_UNDO_PAUSES_S)) - 1])
            return
        flow = await self._change(flow, lambda f: workflow.undone(f, step.number, self._clock.now()))
        self._tell_step(flow, step.number)

    async def _leave(self, flow: Flow, step: Step, code: str, reason: str) -> None:
        now = self._clock.now()
        flow = await self._change(
            flow, lambda f: workflow.undo_failed(f, step.number, code=code, reason=reason, now=now)
        )
        log.error("%s/%s: %s could not be taken back: %s", flow.model, flow.id, step.port, reason)
        self._tell_step(flow, step.number)

    async def _settle(self, flow: Flow, move: Move) -> None:
        state = move.settles or FlowState.COMPLETED

        def after(now: Flow) -> Flow:
            # Something may have been added meanwhile.
            unchanged = now.state is flow.state and len(now.steps) == len(flow.steps)
            return workflow.settled(now, state) if unchanged else now

        flow = await self._change(flow, after)
        if flow.settled:
            self.tell_flow(flow)
            if await self._keeping.store.get(flow.model, flow.id) is None:
                await self._history.forget(flow.model, flow.id)

    async def _change(self, flow: Flow, change: Callable[[Flow], Flow]) -> Flow:
        return await self._history.change(flow.model, flow.id, change)

    def _tell_step(self, flow: Flow, number: int) -> None:
        step = next(each for each in flow.steps if each.number == number)
        undoing = step.state in {StepState.UNDOING, StepState.UNDONE, StepState.UNDO_FAILED}
        self._bus.publish(
            StepMoved(
                at=self._clock.now(),
                model=flow.model,
                id=flow.id,
                port=step.port,
                token=flow.token(step),
                state=str(step.state),
                attempt=step.undo_attempts if undoing else step.attempts,
                reason=step.reason,
            )
        )

    def tell_flow(self, flow: Flow) -> None:
        """Tell how a flow as a whole stands."""
        self._bus.publish(
            FlowMoved(
                at=self._clock.now(),
                model=flow.model,
                id=flow.id,
                state=str(flow.state),
                reason=flow.reason,
            )
        )
