"""Workflows, step by step: what follows what, what is taken back, and who else takes part."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from edgehost.domain.errors import ConflictError, NotFoundError, PortTimeoutError, UnavailableError
from edgehost.domain.port_events import PortSucceeded
from edgehost.domain.workflow import FlowState, StepState
from edgehost.domain.workflow_events import FlowMoved
from edgehost.usecases.delete_record import delete_record
from edgehost.usecases.invoke_port import invoke_port
from edgehost.usecases.update_record import update_record
from tests.usecases.flow_scene import STEPS, UNDOS, FlowScene, chain, refused


async def test_ports_follow_each_other_by_the_events_that_they_produce_and_consume() -> None:
    async with FlowScene().running() as scene:
        await scene.create(weight=3)
        flow = await scene.rest()
        assert flow.state is FlowState.COMPLETED
        assert scene.world.calls == list(STEPS)
        assert [document["args"] for document in scene.world.documents] == [
            None,
            *({"did": step} for step in STEPS[:-1]),
        ]
        assert scene.world.documents[0]["record"]["data"] == {"weight": 3}
        assert scene.steps() == [(step, state) for step in STEPS for state in ("running", "done")]
        told = [event.event for event in scene.heard if isinstance(event, PortSucceeded)]
        assert told == [f"delivery.{step}-done" for step in STEPS]


@pytest.mark.parametrize("step", STEPS)
async def test_a_refused_step_has_those_before_it_taken_back_in_reverse_order(step: str) -> None:
    scene = FlowScene()
    scene.world.faults[step] = [refused()]
    async with scene.running():
        await scene.create()
        flow = await scene.rest()
    at = STEPS.index(step)
    assert flow.state is FlowState.UNDONE
    assert scene.world.calls == [*STEPS[: at + 1], *reversed(UNDOS[:at])]
    assert scene.world.effects == {}
    assert "not today" in flow.reason
    states = [event.state for event in scene.heard if isinstance(event, FlowMoved)]
    assert states == ["undoing", "undone"]


@pytest.mark.parametrize("step", STEPS)
async def test_a_step_that_may_have_happened_is_taken_back_as_well(step: str) -> None:
    scene = FlowScene()
    scene.world.faults[step] = [PortTimeoutError("no answer")]
    async with scene.running():
        await scene.create()
        flow = await scene.rest()
    assert flow.state is FlowState.UNDONE
    assert scene.world.calls == [*STEPS[: STEPS.index(step) + 1], *reversed(UNDOS[: STEPS.index(step) + 1])]


async def test_an_undo_that_fails_is_tried_a_few_times_and_told_and_the_others_are_done() -> None:
    scene = FlowScene()
    scene.world.faults = {"verify": [refused()], "un-pick": [UnavailableError("later")] * 100}
    async with scene.running():
        await scene.create()
        flow = await scene.rest()
        assert flow.state is FlowState.STUCK
        assert scene.world.calls[4:] == ["un-fly", "un-pick", "un-pick", "un-pick", "un-pay"]
        assert list(scene.world.effects.values()) == ["pick"]
        assert ("pick", "undo-failed") in scene.steps()
        assert scene.heard[-1] == FlowMoved(
            at=scene.heard[-1].at, model="delivery", id="d1", state="stuck", reason=flow.reason
        )
        scene.world.faults = {}
        await scene.workflows.undo("delivery", "d1", "An operator asked for it.")
        flow = await scene.rest()
        assert flow.state is FlowState.UNDONE
        assert scene.world.effects == {}
        assert scene.world.calls[-1] == "un-pick"
        with pytest.raises(ConflictError):
            await scene.workflows.undo("delivery", "d1", "again")
        with pytest.raises(NotFoundError):
            await scene.workflows.undo("delivery", "d2", "nothing there")


async def test_an_operator_takes_a_completed_workflow_back() -> None:
    async with FlowScene().running() as scene:
        await scene.create()
        await scene.rest()
        await scene.workflows.undo("delivery", "d1", "The parcel came back.")
        assert (await scene.rest()).state is FlowState.UNDONE
        assert scene.world.calls == [*STEPS, *reversed(UNDOS)]
        assert scene.world.documents[-1]["args"] == {"args": None, "answer": {"did": "pay"}}


async def test_a_record_that_changes_during_a_step_has_the_step_repeated_on_what_it_is_then() -> None:
    """Revisions guard what a callback makes of the answer; the world tells the repetition by its token."""
    document = chain(steps=("pay",))
    document["model"]["ports"]["pay"]["callback"] = "paid"
    scene = FlowScene(documents=[document])
    async with scene.running():
        meddling = ["x", "y"]

        async def paid(question: Any, _context: Any) -> Any:
            if meddling:
                record = await scene.records.get("delivery", "d1")
                assert record is not None
                await scene.records.put(
                    type(record)(
                        "delivery", "d1", {"by": meddling.pop()}, scene.keeping.next_revision(1), 1, 1
                    )
                )
            return {"data": question["record"]["data"] | {"paid": True}}

        scene.guests.functions[("delivery", "paid")] = paid
        await scene.create()
        flow = await scene.rest()
        record = await scene.records.get("delivery", "d1")
    assert flow.state is FlowState.COMPLETED
    assert record is not None
    assert record.data == {"by": "x", "paid": True}
    assert scene.world.calls == ["pay"] * 3
    assert len(scene.world.effects) == 1


async def test_what_an_answer_says_becomes_part_of_the_record() -> None:
    document = chain(steps=("pay", "pick"))
    document["model"]["ports"]["pay"]["keys"] = ["receipt"]
    scene = FlowScene(documents=[document])
    scene.world.answers["pay"] = {"receipt": "r-17", "other": 1}
    async with scene.running():
        await scene.create(weight=1)
        await scene.rest()
        record = await scene.records.get("delivery", "d1")
    assert record is not None
    assert record.data == {"weight": 1, "receipt": "r-17"}
    assert scene.world.documents[1]["record"]["data"]["receipt"] == "r-17"


async def test_a_call_of_a_port_by_somebody_else_is_a_step_that_can_be_taken_back_and_leads_on() -> None:
    document = chain()
    del document["model"]["ports"]["pay"]["consumes"]
    async with FlowScene(documents=[document]).running() as scene:
        await scene.create()
        scene.world.faults["verify"] = [refused()]
        record = await scene.records.get("delivery", "d1")
        scene.world.documents.clear()
        rooms = scene.workflows._rooms
        world_call = scene.world.call

        async def call(function: str, payload: bytes, **more: Any) -> bytes:
            return await world_call(
                function, payload.replace(b'"args"', b'"token":"by-hand","args"', 1), **more
            )

        scene.world.call = call  # type: ignore[method-assign,assignment]  # a client has no token
        await invoke_port(rooms, scene.model(), "pay", record, None)
        scene.world.call = world_call  # type: ignore[method-assign]
        flow = await scene.rest()
        assert scene.world.calls == [*STEPS, "un-fly", "un-pick", "un-pay"]
        assert flow.state is FlowState.UNDONE


async def test_a_deleted_record_has_its_workflow_taken_back_and_forgotten() -> None:
    scene = FlowScene()
    scene.world.faults["fly"] = ["hang before"]
    async with scene.running():
        await scene.create()
        await scene.world.hanging.wait()
        await delete_record(scene.keeping, scene.model(), "d1")
    async with scene.running():
        while scene.workflows.history.knows("delivery", "d1"):
            await asyncio.sleep(0.001)
        assert scene.world.effects == {}
        await scene.create("d1")
        assert (await scene.rest("d1")).state is FlowState.COMPLETED


async def test_a_workflow_waits_for_a_model_that_is_not_live() -> None:
    scene = FlowScene()
    scene.world.faults["fly"] = ["hang before"]
    async with scene.running():
        await scene.create()
        await scene.world.hanging.wait()
    scene.documents = []
    async with scene.running():
        await scene.workflows.idle()
        assert scene.world.calls == ["pay", "pick", "fly"]
        scene.serve(chain())
        assert (await scene.rest()).state is FlowState.COMPLETED


async def test_a_port_that_a_new_release_dropped_fails_its_step_and_its_undo_is_reported() -> None:
    scene = FlowScene()
    scene.world.faults["fly"] = ["hang before"]
    async with scene.running():
        await scene.create()
        await scene.world.hanging.wait()
    scene.documents = [chain(steps=("pay",)) | {"version": "2.0.0"}]
    async with scene.running():
        flow = await scene.rest()
    assert flow.state is FlowState.STUCK
    assert [(step.port, step.state) for step in flow.steps] == [
        ("pay", StepState.UNDONE),
        ("pick", StepState.UNDO_FAILED),
        ("fly", StepState.UNDO_FAILED),
    ]


async def test_many_records_go_side_by_side_and_writers_wait_when_they_are_too_many() -> None:
    scene = FlowScene(waiting=20)
    async with scene.running():
        async with asyncio.TaskGroup() as tasks:
            for number in range(200):
                tasks.create_task(scene.create(f"d{number}"))
        for number in range(200):
            assert (await scene.rest(f"d{number}")).state is FlowState.COMPLETED
        assert len(scene.world.effects) == 200 * len(STEPS)
        assert not [event for event in scene.heard if event.type == "edgehost.events.dropped"]


async def test_an_update_can_call_a_port_and_is_one_step_for_each_revision() -> None:
    more = {"sync": {"direction": "outbound", "adapter": "world", "consumes": "edgehost.record.updated"}}
    async with FlowScene(documents=[chain(steps=(), more=more)]).running() as scene:
        await scene.create("d1", n=0)
        for number in range(3):
            await update_record(scene.keeping, scene.model(), "d1", {"n": number + 1})
        flow = await scene.rest("d1")
        assert [step.port for step in flow.steps] == ["sync"] * 3
        assert len({step.trigger.key for step in flow.steps}) == 3
