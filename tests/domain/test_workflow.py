"""A record's workflow against a world that fails, forgets and is cut off: completed or taken back, never half."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edgehost.domain import workflow
from edgehost.domain.errors import DamagedError
from edgehost.domain.workflow import Deed, Flow, FlowState, Step, StepState, Trigger
from edgehost.domain.workflow_document import flow_document, read_flow

PORTS = ("pay", "pick", "note", "fly", "verify")
UNDOABLE = frozenset({"pay", "pick", "fly"})
NEW = Flow("delivery", "d1", created_at=1.0)


def can_undo(port: str) -> bool:
    return port in UNDOABLE


def trigger(port: str, key: str = "") -> Trigger:
    return Trigger(port, key or f"k/{port}", "some.event", {"a": 1}, 3)


class Record(RuleBasedStateMachine):
    """What is stored is ``flow``; the world keeps effects by token. A crash forgets everything but these two."""

    def __init__(self) -> None:
        super().__init__()
        self.flow = NEW
        self.effects: dict[str, str] = {}  # token -> port, in the order in which they began
        self.keys = 0

    @rule(port=st.sampled_from(PORTS))
    def an_event_comes(self, port: str) -> None:
        self.keys += 1
        before = self.flow
        self.flow = workflow.triggered(self.flow, trigger(port, f"{self.keys}"), can_undo)
        if not before.closed:
            assert self.flow.state is FlowState.RUNNING

    @rule()
    def the_same_event_comes_again(self) -> None:
        if self.flow.steps:
            again = self.flow.steps[-1].trigger
            assert workflow.triggered(self.flow, again, can_undo) == self.flow

    @precondition(lambda self: not self.flow.settled)
    @rule(
        outcome=st.sampled_from(
            ["works", "refuses", "works, but nobody hears", "crash before", "crash after"]
        )
    )
    def the_next_move(self, outcome: str) -> None:
        move = workflow.next_move(self.flow, can_undo)
        assert move is not None
        if move.step is None:
            assert move.settles is not None
            self.flow = workflow.settled(self.flow, move.settles)
            return
        number = move.step.number
        match move.deed:
            case Deed.CALL:
                self.flow = workflow.begun(self.flow, number, 2.0)
                self.called(move.step, outcome)
            case Deed.GIVE_UP:
                self.flow = workflow.failed(self.flow, number, code="x", reason="no", doubtful=True, now=3.0)
            case Deed.UNDO:
                self.flow = workflow.undo_begun(self.flow, number)
                self.taken_back(number, self.flow.token(move.step), outcome)
            case _:
                self.flow = workflow.undo_failed(self.flow, number, code="x", reason="no", now=4.0)

    def called(self, step: Step, outcome: str) -> None:
        if outcome not in {"refuses", "crash before"}:
            self.effects.setdefault(self.flow.token(step), step.port)
        if outcome == "works":
            self.flow = workflow.done(self.flow, step.number, {"ok": True}, 3.0)
        elif outcome in {"refuses", "works, but nobody hears"}:
            # after an earlier attempt nobody can know that nothing was done
            doubtful = outcome != "refuses" or step.attempts > 0
            self.flow = workflow.failed(
                self.flow, step.number, code="x", reason="no", doubtful=doubtful, now=3.0
            )

    def taken_back(self, number: int, token: str, outcome: str) -> None:
        if outcome not in {"refuses", "crash before"}:
            self.effects.pop(token, "")
        if outcome == "works":
            self.flow = workflow.undone(self.flow, number, 4.0)

    @precondition(lambda self: self.flow.state in {FlowState.COMPLETED, FlowState.STUCK} and self.flow.steps)
    @rule()
    def an_operator_takes_it_back(self) -> None:
        self.flow = workflow.undo_asked(self.flow, "An operator wants it.")

    @invariant()
    def it_survives_the_disk(self) -> None:
        assert read_flow("delivery", "d1", json.loads(json.dumps(flow_document(self.flow)))) == self.flow

    @invariant()
    def it_is_never_left_half_done(self) -> None:
        of_token = {self.flow.token(step): step for step in self.flow.steps}
        if self.flow.state is FlowState.COMPLETED:
            assert all(step.state is StepState.DONE for step in self.flow.steps)
            assert set(self.effects) == set(of_token)
        elif self.flow.state is FlowState.UNDONE:
            assert not [port for port in self.effects.values() if port in UNDOABLE]
        elif self.flow.state is FlowState.STUCK:
            left = {token for token, port in self.effects.items() if port in UNDOABLE}
            failed = {t for t, step in of_token.items() if step.state is StepState.UNDO_FAILED}
            assert left <= failed
            assert failed

    @invariant()
    def it_is_bounded(self) -> None:
        assert len(self.flow.steps) <= workflow.MOST_STEPS
        assert all(step.attempts <= workflow.MOST_ATTEMPTS for step in self.flow.steps)
        assert all(step.undo_attempts <= workflow.MOST_UNDO_ATTEMPTS for step in self.flow.steps)


TestARecordsWorkflow = Record.TestCase
TestARecordsWorkflow.settings = settings(max_examples=80, stateful_step_count=50, deadline=None)


def run(flow: Flow, fails: str = "") -> tuple[Flow, list[str]]:
    """To its end; what was done, in order."""
    did: list[str] = []
    while (move := workflow.next_move(flow, can_undo)) is not None:
        if move.step is None:
            assert move.settles is not None
            flow = workflow.settled(flow, move.settles)
        elif move.deed is Deed.CALL:
            flow = workflow.begun(flow, move.step.number, 1.0)
            if move.step.port == fails:
                flow = workflow.failed(flow, move.step.number, code="x", reason="no", doubtful=False, now=1.0)
            else:
                did.append(move.step.port)
                flow = workflow.done(flow, move.step.number, None, 1.0)
        else:
            flow = workflow.undo_begun(flow, move.step.number)
            did.append(f"undo {move.step.port}")
            flow = workflow.undone(flow, move.step.number, 1.0)
    return flow, did


@given(st.lists(st.sampled_from(PORTS), unique=True, min_size=1), st.data())
def test_what_was_done_is_taken_back_in_reverse_order(ports: list[str], data: st.DataObject) -> None:
    fails = data.draw(st.sampled_from(ports))
    flow = NEW
    for port in ports:
        flow = workflow.triggered(flow, trigger(port), can_undo)
    flow, did = run(flow, fails)
    before = ports[: ports.index(fails)]
    assert did == [*before, *[f"undo {port}" for port in reversed(before) if port in UNDOABLE]]
    assert flow.state is FlowState.UNDONE
    assert fails in flow.reason


def test_a_long_history_forgets_what_cannot_be_undone_and_is_taken_back_when_it_cannot_forget() -> None:
    flow = NEW
    for number in range(workflow.MOST_STEPS + 10):
        flow = workflow.triggered(flow, trigger("note", f"{number}"), can_undo)
        flow, _ = run(flow)
    assert (len(flow.steps), flow.dropped) == (workflow.MOST_STEPS, 10)
    assert len({step.number for step in flow.steps}) == workflow.MOST_STEPS
    flow = NEW
    for number in range(workflow.MOST_STEPS + 1):
        flow, _ = run(workflow.triggered(flow, trigger("pay", f"{number}"), can_undo))
    assert flow.state is FlowState.UNDONE
    assert "as many as there may be" in flow.reason


def test_a_step_that_somebody_else_did_is_taken_back_with_the_others() -> None:
    flow = workflow.recorded(NEW, trigger("fly"), {"flight": 7}, 1.0)
    assert flow.steps[0].state is StepState.DONE
    flow = workflow.triggered(flow, trigger("pay"), can_undo)
    flow, did = run(flow, fails="pay")
    assert did == ["undo fly"]


def test_an_interrupted_step_is_taken_back_when_an_operator_wants_so() -> None:
    flow = workflow.begun(workflow.triggered(NEW, trigger("pay"), can_undo), 1, 1.0)
    flow = workflow.undo_asked(flow, "An operator wants it.")
    move = workflow.next_move(flow, can_undo)
    assert move is not None
    assert move.deed is Deed.GIVE_UP
    flow = workflow.failed(flow, 1, code="x", reason="cut off", doubtful=True, now=1.0)
    assert flow.reason == "An operator wants it."
    assert run(flow)[1] == ["undo pay"]


def test_a_move_that_is_not_in_the_table_is_a_mistake_of_the_host() -> None:
    flow = workflow.triggered(NEW, trigger("pay"), can_undo)
    with pytest.raises(ValueError, match="cannot become"):
        workflow.done(flow, 1, None, 1.0)


@pytest.mark.parametrize("broken", [{}, {"state": "odd"}, {"steps": [{}]}])
def test_a_damaged_history_is_named(broken: dict[str, object]) -> None:
    with pytest.raises(DamagedError, match="delivery/d1"):
        read_flow("delivery", "d1", flow_document(NEW) | broken if broken else {})
