"""What every event bus promises."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from edgehost.adapters.services.local_event_bus import LocalEventBus
from edgehost.domain.causation import FIRST, caused_by
from edgehost.domain.errors import BusyError, InvalidSpecificationError
from edgehost.domain.events import (
    ComponentNotified,
    Event,
    EventsCut,
    EventsDropped,
    GuestLogged,
    RecordCreated,
)
from edgehost.ports.event_bus import EventBus


@pytest.fixture(params=[LocalEventBus])
def bus(request: pytest.FixtureRequest) -> EventBus:
    made: EventBus = request.param()
    return made


def line(number: int) -> GuestLogged:
    return GuestLogged(at=float(number), component="c", level="info", message=str(number))


def created(model: str, record_id: str, **data: Any) -> RecordCreated:
    return RecordCreated(at=1, model=model, id=record_id, revision="r", data=data)


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


async def test_a_pattern_chooses_by_name_and_a_filter_by_members(bus: EventBus) -> None:
    async with bus.subscription(on="edgehost.record.*", where={"model": "doors", "data.open": True}) as doors:
        bus.publish(created("windows", "w1", open=True))
        bus.publish(created("doors", "d1", open=False))
        bus.publish(created("doors", "d2", open=1))
        bus.publish(line(1))
        bus.publish(created("doors", "d3", open=True))
        event = await anext(doors)
        assert isinstance(event, RecordCreated)
        assert event.id == "d3"


async def test_a_component_s_event_is_found_by_its_own_name_and_by_its_type_but_comes_once(
    bus: EventBus,
) -> None:
    alarm = ComponentNotified(at=1, component="doors", name="alarm.fire")
    async with bus.subscription() as everything, bus.subscription(on="alarm.**") as alarms:
        bus.publish(alarm)
        bus.publish(line(2))
        assert [await anext(everything), await anext(everything)] == [alarm, line(2)]
        assert await anext(alarms) == alarm


async def test_once_ends_after_the_first(bus: EventBus) -> None:
    async with bus.subscription(once=True) as events:
        bus.publish(line(1))
        bus.publish(line(2))
        assert [event async for event in events] == [line(1)]


async def test_a_replay_begins_with_the_last_facts_and_goes_on_with_the_next(bus: EventBus) -> None:
    for number in range(5):
        bus.publish(created("doors", str(number)))
    async with bus.subscription(on="edgehost.record.created", replay=2) as events:
        bus.publish(created("doors", "5"))
        heard = [await anext(events) for _ in range(3)]
        assert [event.subject for event in heard] == ["doors/3", "doors/4", "doors/5"]


async def test_what_is_remembered_is_bounded(bus: EventBus) -> None:
    for number in range(2000):
        bus.publish(created("doors", str(number)))
    assert 100 < len(bus.last("**", 10_000)) < 1000
    for number in range(100):
        bus.publish(created("doors", str(number), text="x" * 40_000))
    assert len(bus.last("**", 10_000)) < 50
    bus.publish(created("doors", "huge", text="x" * 400_000))
    assert bus.last("**", 1)[0].subject == "doors/99"


async def test_a_malformed_pattern_is_refused(bus: EventBus) -> None:
    with pytest.raises(InvalidSpecificationError):
        async with bus.subscription(on="a.**.b"):
            pass


class Consumer:
    """Takes everything."""

    name = "tests"

    def __init__(self, react: Callable[[Event], None] = lambda _: None) -> None:
        self.taken: list[Event] = []
        self.full = self.overfull = False
        self.emptied = asyncio.Event()
        self.react = react

    def take(self, event: Event) -> None:
        self.taken.append(event)
        with caused_by(event.cause):
            self.react(event)

    def wants(self, event: Event) -> bool:
        return True

    async def room(self) -> None:
        await self.emptied.wait()


async def test_events_that_lead_to_each_other_are_cut_at_a_depth_and_it_is_said_once(bus: EventBus) -> None:
    consumer = Consumer(bus.publish)
    async with bus.subscription(on="edgehost.events.cut") as cuts:
        bus.attach(consumer)
        bus.publish(line(0))
        cut = await anext(cuts)
        assert isinstance(cut, EventsCut)
        assert (cut.reason, cut.name, cut.depth) == ("depth", "edgehost.guest.logged", 33)
        assert len(consumer.taken) == 33
        assert [event.cause.depth for event in consumer.taken] == list(range(33))


async def test_a_storm_that_one_event_leads_to_is_cut(bus: EventBus) -> None:
    def twice(event: Event) -> None:
        bus.publish(event)
        bus.publish(event)

    consumer = Consumer(twice)
    async with bus.subscription(on="edgehost.events.cut") as cuts:
        detach = bus.attach(consumer)
        bus.publish(line(0))
        cut = await anext(cuts)
        assert isinstance(cut, EventsCut)
        assert len(consumer.taken) <= 1001
        detach()
        bus.publish(line(1))
        assert line(1) not in consumer.taken


async def test_a_writer_waits_for_a_consumer_that_lags_and_a_consumer_never_for_itself(bus: EventBus) -> None:
    consumer = Consumer()
    bus.attach(consumer)
    await bus.room()
    consumer.full = True
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await bus.room()
    with caused_by(FIRST):
        await bus.room()
        consumer.overfull = True
        with pytest.raises(BusyError):
            await bus.room()
    consumer.emptied.set()
    await bus.room()
