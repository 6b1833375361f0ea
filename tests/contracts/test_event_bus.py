"""What every event bus promises."""

from __future__ import annotations

import asyncio

import pytest

from edgehost.adapters.services.local_event_bus import LocalEventBus
from edgehost.domain.events import EventsDropped, GuestLogged
from edgehost.ports.event_bus import EventBus


@pytest.fixture(params=[LocalEventBus])
def bus(request: pytest.FixtureRequest) -> EventBus:
    made: EventBus = request.param()
    return made


def line(number: int) -> GuestLogged:
    return GuestLogged(at=float(number), component="c", level="info", message=str(number))


async def test_every_listener_gets_every_fact_in_order(bus: EventBus) -> None:
    async with bus.subscription() as first, bus.subscription() as second:
        for number in range(3):
            bus.publish(line(number))
        for events in (first, second):
            assert [await anext(events) for _ in range(3)] == [line(0), line(1), line(2)]


async def test_only_what_is_wanted_arrives(bus: EventBus) -> None:
    async with bus.subscription(lambda event: event.at > 1) as events:
        for number in range(3):
            bus.publish(line(number))
        assert await anext(events) == line(2)


async def test_a_slow_listener_loses_its_oldest_facts_and_is_told(bus: EventBus) -> None:
    async with bus.subscription(backlog=2) as slow, bus.subscription() as fast:
        for number in range(5):
            bus.publish(line(number))
        lost = await anext(slow)
        assert isinstance(lost, EventsDropped)
        assert lost.count == 3
        assert [await anext(slow), await anext(slow)] == [line(3), line(4)]
        assert await anext(fast) == line(0)
        bus.publish(line(5))
        assert await anext(slow) == line(5)


async def test_a_listener_waits_for_the_next_fact_even_after_a_timeout(bus: EventBus) -> None:
    async with bus.subscription() as events:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await anext(events)
        bus.publish(line(1))
        assert await anext(events) == line(1)


async def test_nothing_arrives_after_the_end(bus: EventBus) -> None:
    async with bus.subscription() as events:
        pass
    bus.publish(line(1))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await anext(events)


async def test_publishing_without_a_listener_is_no_error(bus: EventBus) -> None:
    bus.publish(line(1))
