"""The way of one record through its model's ports: what was done, what is next, what must be taken back.

Rule 1: every change of a step's state happens here; no other module makes steps.
Rule 2: nothing here does anything; a move says what is to be done, and the outcome comes back as an event.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

#: A record's history keeps so many steps.
MOST_STEPS: Final = 200
#: How often a step is begun: after a crash, or when the record changed meanwhile.
MOST_ATTEMPTS: Final = 5
#: How often an undo is tried before people have to look.
MOST_UNDO_ATTEMPTS: Final = 3
_REASON_LENGTH: Final = 500


class StepState(enum.StrEnum):
    """Where a step stands."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"  # it never began, since one before it failed
    UNDOING = "undoing"
    UNDONE = "undone"
    UNDO_FAILED = "undo-failed"


ALLOWED_MOVES: Final[Mapping[StepState, frozenset[StepState]]] = {
    StepState.PENDING: frozenset({StepState.RUNNING, StepState.CANCELLED}),
    StepState.RUNNING: frozenset({StepState.RUNNING, StepState.DONE, StepState.FAILED}),
    StepState.DONE: frozenset({StepState.UNDOING}),
    StepState.FAILED: frozenset({StepState.UNDOING}),  # when it may have done something all the same
    StepState.CANCELLED: frozenset(),
    StepState.UNDOING: frozenset({StepState.UNDOING, StepState.UNDONE, StepState.UNDO_FAILED}),
    StepState.UNDONE: frozenset(),
    StepState.UNDO_FAILED: frozenset({StepState.UNDOING}),  # when an operator asks for it
}


class FlowState(enum.StrEnum):
    """How a record's workflow as a whole stands."""

    RUNNING = "running"
    COMPLETED = "completed"  # nothing is left to do; another event may add to it
    UNDOING = "undoing"
    UNDONE = "undone"  # for good: a new try is a new record
    STUCK = "stuck"  # an undo failed for good; the others were done


#: A workflow that takes no more steps.
CLOSED: Final = frozenset({FlowState.UNDOING, FlowState.UNDONE, FlowState.STUCK})


@dataclass(frozen=True, slots=True)
class Trigger:
    """Why a port is to be called."""

    port: str
    key: str  # what tells it from every other: the same one twice is one step
    event: str  # the event's name
    args: Any = None
    depth: int = 0  # of the event


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a port, and what became of it."""

    number: int
    trigger: Trigger
    state: StepState
    attempts: int = 0
    undo_attempts: int = 0
    started_at: float = 0.0
    finished_at: float = 0.0  # of the call
    undone_at: float = 0.0  # of its undo
    answer: Any = None  # what the undo is told
    code: str = ""
    reason: str = ""
    doubtful: bool = False  # it failed, but may have done something all the same

    @property
    def port(self) -> str:
        """The port's name."""
        return self.trigger.port


@dataclass(frozen=True, slots=True)
class Flow:
    """The port history of a record."""

    model: str
    id: str
    created_at: float
    state: FlowState = FlowState.RUNNING
    steps: tuple[Step, ...] = ()
    dropped: int = 0  # steps that the bound let go: finished, with nothing to undo
    reason: str = ""

    def token(self, step: Step) -> str:
        """What services tell a repeated call by: the same for every attempt."""
        return f"{self.model}/{self.id}/{step.number}/{step.port}"

    @property
    def closed(self) -> bool:
        """Whether it takes no more steps."""
        return self.state in CLOSED

    @property
    def settled(self) -> bool:
        """Whether nothing is to be done."""
        return self.state not in {FlowState.RUNNING, FlowState.UNDOING}


class Deed(enum.Enum):
    """What is to be done next."""

    CALL = "call"
    GIVE_UP = "give up"  # begun too often
    UNDO = "undo"
    LEAVE = "leave"  # an undo that was begun too often
    SETTLE = "settle"


@dataclass(frozen=True, slots=True)
class Move:
    """The next deed, and the step that it concerns."""

    deed: Deed
    step: Step | None = None
    settles: FlowState | None = None


CanUndo = Callable[[str], bool]


def next_move(flow: Flow, can_undo: CanUndo) -> Move | None:
    """What to do now; None when the workflow rests."""
    if flow.settled:
        return None
    if flow.state is FlowState.RUNNING:
        return _forward(flow)
    return _backward(flow, can_undo)


def _forward(flow: Flow) -> Move:
    for step in flow.steps:  # one that a crash interrupted comes first
        if step.state is StepState.RUNNING:
            return Move(Deed.CALL if step.attempts < MOST_ATTEMPTS else Deed.GIVE_UP, step)
    for step in flow.steps:
        if step.state is StepState.PENDING:
            return Move(Deed.CALL, step)
    return Move(Deed.SETTLE, settles=FlowState.COMPLETED)


def _backward(flow: Flow, can_undo: CanUndo) -> Move:
    for step in reversed(flow.steps):
        if step.state is StepState.RUNNING:  # interrupted by a crash: it may have done something
            return Move(Deed.GIVE_UP, step)
        if step.state is StepState.UNDOING:
            return Move(Deed.UNDO if step.undo_attempts < MOST_UNDO_ATTEMPTS else Deed.LEAVE, step)
        did = step.state is StepState.DONE or (step.state is StepState.FAILED and step.doubtful)
        if did and can_undo(step.port):
            return Move(Deed.UNDO, step)
    stuck = any(step.state is StepState.UNDO_FAILED for step in flow.steps)
    return Move(Deed.SETTLE, settles=FlowState.STUCK if stuck else FlowState.UNDONE)


def triggered(flow: Flow, trigger: Trigger, can_undo: CanUndo) -> Flow:
    """The flow with one more step to do; the same when the trigger was taken before, or the flow takes no more.

    A flow that cannot hold one more step is failed: it is taken back rather than left half done.
    """
    if flow.closed or any(step.trigger.key == trigger.key for step in flow.steps):
        return flow
    number = max((step.number for step in flow.steps), default=flow.dropped) + 1
    steps = flow.steps
    dropped = flow.dropped
    if len(steps) >= MOST_STEPS:
        spare = next((s for s in steps if s.state is StepState.DONE and not can_undo(s.port)), None)
        if spare is None:
            return failed_whole(flow, f"It has {MOST_STEPS} steps, as many as there may be.")
        steps = tuple(step for step in steps if step is not spare)
        dropped += 1
    new = Step(number, trigger, StepState.PENDING)
    return replace(flow, state=FlowState.RUNNING, steps=(*steps, new), dropped=dropped)


def recorded(flow: Flow, trigger: Trigger, answer: object, now: float) -> Flow:
    """The flow with a step that was done by somebody else: a client, a guest."""
    grown = triggered(flow, trigger, lambda _: True)
    if grown is flow or grown.closed:
        return grown
    last = replace(
        grown.steps[-1], state=StepState.DONE, attempts=1, started_at=now, finished_at=now, answer=answer
    )
    return replace(grown, state=flow.state, steps=(*grown.steps[:-1], last))


def begun(flow: Flow, number: int, now: float) -> Flow:
    """The step's call begins, perhaps again."""
    step = _step(flow, number)
    return _moved(
        flow, step, StepState.RUNNING, attempts=step.attempts + 1, started_at=step.started_at or now
    )


def done(flow: Flow, number: int, answer: object, now: float) -> Flow:
    """The step's call succeeded."""
    return _moved(flow, _step(flow, number), StepState.DONE, answer=answer, finished_at=now)


def failed(flow: Flow, number: int, *, code: str, reason: str, doubtful: bool, now: float) -> Flow:
    """The step's call failed for good: what was done before is to be taken back."""
    step = _step(flow, number)
    earlier = flow.reason if flow.state is FlowState.UNDOING else ""
    after = _moved(
        flow,
        step,
        StepState.FAILED,
        code=code,
        reason=reason[:_REASON_LENGTH],
        doubtful=doubtful,
        finished_at=now,
    )
    return failed_whole(after, earlier or f"{step.port} failed: {reason}")


def failed_whole(flow: Flow, reason: str) -> Flow:
    """Everything is to be taken back; a step that is running comes to its end first."""
    steps = tuple(
        replace(step, state=StepState.CANCELLED) if step.state is StepState.PENDING else step
        for step in flow.steps
    )
    return replace(flow, state=FlowState.UNDOING, steps=steps, reason=reason[:_REASON_LENGTH])


def undo_begun(flow: Flow, number: int) -> Flow:
    """The step's undo begins, perhaps again."""
    step = _step(flow, number)
    return _moved(flow, step, StepState.UNDOING, undo_attempts=step.undo_attempts + 1)


def undone(flow: Flow, number: int, now: float) -> Flow:
    """The step's effect was taken back."""
    return _moved(flow, _step(flow, number), StepState.UNDONE, undone_at=now)


def undo_failed(flow: Flow, number: int, *, code: str, reason: str, now: float) -> Flow:
    """The step's undo failed for good; the others are taken back all the same."""
    step = _step(flow, number)
    return _moved(flow, step, StepState.UNDO_FAILED, code=code, reason=reason[:_REASON_LENGTH], undone_at=now)


def settled(flow: Flow, state: FlowState) -> Flow:
    """Nothing is left to do."""
    return replace(flow, state=state)


def undo_asked(flow: Flow, reason: str) -> Flow:
    """An operator wants it taken back; undos that failed are tried again."""
    steps = tuple(
        replace(step, state=StepState.UNDOING, undo_attempts=0)
        if step.state is StepState.UNDO_FAILED
        else step
        for step in flow.steps
    )
    return failed_whole(replace(flow, steps=steps), reason)


def _step(flow: Flow, number: int) -> Step:
    return next(step for step in flow.steps if step.number == number)


def _moved(flow: Flow, step: Step, state: StepState, **changes: Any) -> Flow:  # noqa: ANN401 - fields of Step
    if state not in ALLOWED_MOVES[step.state]:
        raise ValueError(f"a step that is {step.state} cannot become {state}")
    after = replace(step, state=state, **changes)
    return replace(flow, steps=tuple(after if each is step else each for each in flow.steps))
