"""Workflows that go from one model to another by the events that components tell."""

from __future__ import annotations

from typing import Any

import pytest

from edgehost.domain.causation import CauseLimits
from edgehost.domain.component_spec import read_component_spec
from edgehost.domain.errors import InvalidSpecificationError
from edgehost.domain.events import ComponentNotified, EventsCut, RecordCreated
from edgehost.domain.port_events import ServiceNotified
from tests.usecases.flow_scene import FlowScene, chain, shipment


async def test_a_workflow_goes_across_models_and_domains_by_the_id_that_the_other_record_holds() -> None:
    more = {"receive": {"direction": "outbound", "adapter": "world", "consumes": "shipment.landed"}}
    scene = FlowScene(
        documents=[chain(steps=("pay",), more=more), shipment(consumes="edgehost.record.created")]
    )
    async with scene.running():
        await scene.create("d1")
        await scene.rest("d1")
        await scene.create("s1", "shipment", delivery_id="d1")
        await scene.create("s2", "shipment", delivery_id="nobody")
        await scene.rest("s1", "shipment")
        await scene.rest("s2", "shipment")
        flow = await scene.rest("d1")
        assert [step.port for step in flow.steps] == ["pay", "receive"]
        assert flow.steps[1].trigger.key == "shipment/s1/1/land/receive"
        assert scene.world.calls.count("receive") == 1


async def test_an_event_of_a_component_is_about_the_record_that_its_data_names() -> None:
    more = {"receive": {"direction": "outbound", "adapter": "world", "consumes": "courier.*"}}
    async with FlowScene(documents=[chain(steps=(), more=more)]).running() as scene:
        await scene.create("d1")
        for data in (
            {"delivery_id": "d1", "at": 7},
            {"correlation": "d1"},
            {"delivery_id": "nobody"},
            3,
            None,
        ):
            scene.bus.publish(ComponentNotified(at=1, component="c", name="courier.arrived", data=data))
        flow = await scene.rest("d1")
        assert [step.trigger.args for step in flow.steps] == [
            {"delivery_id": "d1", "at": 7},
            {"correlation": "d1"},
        ]


async def test_a_circle_over_two_models_is_refused_and_one_that_gets_through_is_cut_and_taken_back() -> None:
    """A pattern that a later release fills can close a circle; then depth ends it, and nothing is left half done."""
    first = chain(steps=("pay",))
    first["model"]["ports"]["pay"] |= {"consumes": "shipment.landed"}
    scene = FlowScene(documents=[first], limits=CauseLimits(depth=6))
    async with scene.running():
        circle = shipment(consumes="delivery.pay-done", undo="un-land")
        circle["model"]["ports"]["un-land"] = {"direction": "outbound", "adapter": "world"}
        with pytest.raises(InvalidSpecificationError, match="circle"):
            scene.models.require_free(read_component_spec(circle))
        scene.serve(circle)
        await scene.create("d1", shipment_id="s1")
        await scene.create("s1", "shipment", delivery_id="d1")
        scene.bus.publish(
            ComponentNotified(at=1, component="c", name="shipment.landed", data={"delivery_id": "d1"})
        )
        await scene.rest("d1")
        await scene.rest("s1", "shipment")
        cuts = [event for event in scene.heard if isinstance(event, EventsCut)]
        assert [cut.reason for cut in cuts] == ["depth"]
        assert len(scene.world.calls) < 20


async def test_an_inbound_port_is_called_by_an_event_about_no_record_and_may_create_one() -> None:
    more = {"import": {"direction": "inbound", "export": "take", "consumes": "gate.parcel"}}
    async with FlowScene(documents=[chain(steps=("pay",), more=more)]).running() as scene:

        async def take(question: Any, _context: Any) -> Any:
            assert "id" not in question
            return {"data": {"weight": question["args"]["grams"] / 1000}}

        scene.guests.functions[("delivery", "take")] = take
        async with scene.bus.subscription(on="edgehost.record.created") as events:
            scene.bus.publish(ServiceNotified(at=1, service="gate", name="gate.parcel", data={"grams": 1500}))
            created = await anext(events)
        assert isinstance(created, RecordCreated)
        assert created.data == {"weight": 1.5}
        assert created.cause.depth == 1
        flow = await scene.rest(created.id)
        assert [step.port for step in flow.steps] == ["pay"]
