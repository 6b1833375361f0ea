"""Inbound ports over MQTT: a real broker, a real host, guests in C."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from edgehost.adapters.broker.embedded_broker import EmbeddedBroker
from edgehost.domain.events import Event
from edgehost.domain.port_events import PortFailed, PortSucceeded
from edgehost.usecases.port_rooms import PortRooms
from tests.adapters.services.service_scenes import mosquitto
from tests.journeys.fleet import Fleet, RunningHost
from tests.journeys.port_fleet import station

BROKER = """
[services.broker]
kind = "mqtt"
host = "127.0.0.1"
tcp_port = {tcp_port}
"""
PORTS = {
    "report": {"direction": "inbound", "topic": "stations/{id}/report"},
    "found": {"direction": "inbound", "export": "report", "topic": "stations/found"},
    "say": {"direction": "outbound", "service": "broker"},
}


@asynccontextmanager
async def running(fleet: Fleet, broker: EmbeddedBroker) -> AsyncIterator[tuple[RunningHost, PortRooms]]:
    config = fleet.config(more=BROKER.format(tcp_port=broker.tcp_port))
    async with fleet.host(config) as host:
        await host.live("station", "1.0.0")
        rooms = host.host.control.ports
        assert rooms is not None
        yield host, rooms


async def publish(rooms: PortRooms, topic: str, payload: Any) -> None:
    await rooms.services["broker"].service.call("publish", {"topic": topic, "payload": payload}, timeout_s=10)


async def next_of(events: AsyncIterator[Event]) -> Event:
    return await anext(events)


async def until_heard(host: RunningHost, rooms: PortRooms, topic: str, payload: Any) -> PortSucceeded:
    """Publishes until a port answers: the subscription takes a moment after the release is live."""
    bus = host.host.control.manager.bus
    async with bus.subscription(lambda event: isinstance(event, PortSucceeded)) as told:
        first = asyncio.create_task(next_of(told))
        async with asyncio.timeout(20):
            while not first.done():
                await publish(rooms, topic, payload)
                await asyncio.wait({first}, timeout=0.1)
        fact = first.result()
        assert isinstance(fact, PortSucceeded)
        return fact


async def test_a_message_on_a_topic_makes_and_changes_records(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(station(PORTS))
    async with mosquitto() as broker, running(fleet, broker) as (host, rooms):
        fact = await until_heard(host, rooms, "stations/found", {"name": "roof"})
        model = rooms.models.table.named("station")
        assert (await rooms.keeping.require(model, fact.id)).data == {"name": "roof"}
        bus = host.host.control.manager.bus
        async with bus.subscription(
            lambda event: isinstance(event, PortSucceeded) and event.port == "report", backlog=1000
        ) as told:
            for number in range(50):
                await publish(rooms, f"stations/{fact.id}/report", {"n": number})
            answers: list[Any] = []
            async with asyncio.timeout(20):
                while len(answers) < 50:
                    event = await anext(told)
                    assert isinstance(event, PortSucceeded)
                    answers.append(event.answer["heard"]["n"])
        assert answers == list(range(50))  # in the order in which they came
        assert (await rooms.keeping.require(model, fact.id)).data == {"n": 49}


async def test_a_message_that_cannot_be_taken_holds_nobody_up(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(station(PORTS))
    async with mosquitto() as broker, running(fleet, broker) as (host, rooms):
        await until_heard(host, rooms, "stations/found", {"name": "roof"})
        bus = host.host.control.manager.bus
        async with bus.subscription(lambda event: isinstance(event, PortFailed)) as told:
            await publish(rooms, "stations/found", "no object, so no record")
            async with asyncio.timeout(10):
                failed = await anext(told)
        assert isinstance(failed, PortFailed)
        assert failed.port == "found"
        await publish(rooms, "stations/nobody/report", {"name": "x"})
        assert (await until_heard(host, rooms, "stations/found", {"name": "more"})).port == "found"


async def test_a_broker_that_comes_late_is_served_all_the_same(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.publish(station(PORTS))
    async with mosquitto() as broker:
        await broker.stop()
        async with running(fleet, broker) as (host, rooms):
            (service,) = (await host.request("GET", "/api/host/bindings"))["services"]
            assert service["state"] == "warning"
            await broker.start()
            fact = await until_heard(host, rooms, "stations/found", {"name": "late"})
            assert fact.answer == {"heard": {"name": "late"}}
