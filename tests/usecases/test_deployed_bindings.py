"""A deployment binds ports, and is where it should be only while what they are bound to is here."""

from __future__ import annotations

from typing import Any

from edgehost.composition.desired_state import PortBindings
from edgehost.domain.deployment_plan import Standing
from edgehost.domain.rollout_report import RolloutState
from edgehost.usecases.port_rooms import HostService
from tests.usecases.desired_scene import Desired, world_of_two
from tests.usecases.test_port_call import Scene


async def test_ports_are_bound_and_what_is_not_there_yet_is_bound_later() -> None:
    world = world_of_two()
    world.deploy(1, components={"pump": {"bindings": {"pump.turn": "mill", "pump.stop": "brake"}}})
    host = Desired(world)
    async with host.on() as reconciler:
        await host.settle()
        assert world.bindings == {"pump.turn": "mill"}
        assert host.held().state is RolloutState.APPLYING
        reconciler.plans.facts.ports.known.add("brake")  # type: ignore[attr-defined]
        await host.retry()
        assert world.bindings == {"pump.turn": "mill", "pump.stop": "brake"}
        assert host.held().state is RolloutState.SUCCESSFUL


async def test_a_binding_whose_target_has_gone_is_not_reached_until_it_is_back() -> None:
    world = world_of_two()
    world.deploy(1, components={"pump": {"bindings": {"pump.turn": "mill"}}})
    host = Desired(world)
    async with host.on() as reconciler:
        await host.settle()
        assert [plan.standing for plan in reconciler.standing["site"]] == [Standing.REACHED]
        known: set[str] = reconciler.plans.facts.ports.known  # type: ignore[attr-defined] # of the scene
        known.remove("mill")
        await host.retry()
        assert [plan.standing for plan in reconciler.standing["site"]] == [Standing.CHANGING]
        assert "There is no 'mill'" in reconciler.work.reason(reconciler.standing["site"][0])
        assert world.bindings == {"pump.turn": "mill"}
        known.add("mill")
        await host.retry()
        assert [plan.standing for plan in reconciler.standing["site"]] == [Standing.REACHED]
        assert host.held().state is RolloutState.SUCCESSFUL


async def test_what_leads_to_a_service_or_adapter_that_is_not_here_is_loose() -> None:
    rooms = Scene().rooms
    for what, target in {"pump.turn": "direct:mail", "pump.stop": "mill", "mill": "mail"}.items():
        await rooms.bindings.bind(what, target)
    ports = PortBindings(rooms)
    assert ports.loose() == {"pump.turn", "pump.stop", "mill"}
    service: Any = object()  # is only there
    rooms.services = {"mail": HostService(service, "timer")}
    assert ports.loose() == {"pump.stop"}
