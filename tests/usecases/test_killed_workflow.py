"""Workflows of a host that is killed, in a step, in an undo and between two models: completed or taken back."""

from __future__ import annotations

import pytest

from edgehost.domain.workflow import FlowState
from tests.usecases.flow_scene import STEPS, UNDOS, FlowScene, chain, refused, shipment


@pytest.mark.parametrize("when", ["hang before", "hang after"])
@pytest.mark.parametrize("step", STEPS)
async def test_a_host_killed_in_a_step_runs_it_again_with_the_same_token(step: str, when: str) -> None:
    scene = FlowScene()
    scene.world.faults[step] = [when]
    async with scene.running():
        await scene.create()
        await scene.world.hanging.wait()
    async with scene.running():
        flow = await scene.rest()
    assert flow.state is FlowState.COMPLETED
    assert sorted(scene.world.effects.values()) == sorted(STEPS)
    repeated = [document["token"] for document in scene.world.documents if document["port"] == step]
    assert len(repeated) == 2
    assert len(set(repeated)) == 1
    assert scene.world.calls.count(step) == 2
    assert len(scene.world.calls) == len(STEPS) + 1


@pytest.mark.parametrize("when", ["hang before", "hang after"])
@pytest.mark.parametrize("undo", UNDOS[:-1])
async def test_a_host_killed_in_an_undo_takes_back_the_rest(undo: str, when: str) -> None:
    scene = FlowScene()
    scene.world.faults = {"verify": [refused()], undo: [when]}
    async with scene.running():
        await scene.create()
        await scene.world.hanging.wait()
    async with scene.running():
        flow = await scene.rest()
    assert flow.state is FlowState.UNDONE
    assert scene.world.effects == {}


async def test_a_step_that_kills_the_host_every_time_is_given_up() -> None:
    scene = FlowScene()
    scene.world.faults["fly"] = ["hang before"] * 10
    for _ in range(5):
        async with scene.running():
            if not scene.world.calls:
                await scene.create()
            await scene.world.hanging.wait()
            scene.world.hanging.clear()
    async with scene.running():
        flow = await scene.rest()
    assert flow.state is FlowState.UNDONE
    assert scene.world.calls.count("fly") == 5
    assert scene.world.effects == {}


async def test_a_record_stored_just_before_a_kill_begins_its_workflow_afterwards_and_old_ones_do_not() -> (
    None
):
    scene = FlowScene(documents=[])
    async with scene.running():
        scene.serve({"name": "delivery", "version": "0.9.0", "kind": "model", "model": {}})
        await scene.create("old")
    scene.documents = [chain()]
    async with scene.running():
        await scene.create("d0")
        await scene.rest("d0")
        scene.bus._consumers = ()  # the kill comes between the store and the event
        await scene.create("d1")
    async with scene.running():
        assert (await scene.rest("d1")).state is FlowState.COMPLETED
        assert scene.world.calls == [*STEPS, *STEPS]
        assert await scene.workflows.history.get("delivery", "old") is None


async def test_a_crash_between_two_models_neither_loses_nor_repeats_the_step() -> None:
    more = {"receive": {"direction": "outbound", "adapter": "world", "consumes": "shipment.landed"}}
    scene = FlowScene(documents=[chain(steps=(), more=more), shipment(consumes="edgehost.record.created")])
    scene.world.faults["receive"] = ["hang after"]
    async with scene.running():
        await scene.create("d1")
        await scene.create("s1", "shipment", delivery_id="d1")
        await scene.world.hanging.wait()
    async with scene.running():
        assert (await scene.rest("d1")).state is FlowState.COMPLETED
        assert (await scene.rest("s1", "shipment")).state is FlowState.COMPLETED
    assert len([token for token, port in scene.world.effects.items() if port == "receive"]) == 1
