"""Sinks: what goes there, what waits, what is lost and told; the file and the services."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from edgehost.adapters.services.event_file import EventFile
from edgehost.adapters.services.local_event_bus import LocalEventBus
from edgehost.adapters.services.system_clock import SystemClock
from edgehost.domain.errors import RefusedError, UnavailableError
from edgehost.domain.events import ComponentNotified, EventsDropped, RecordCreated
from edgehost.ports.event_sink import EventSink
from edgehost.ports.service import ServiceHealth
from edgehost.usecases.forward_events import EventForwarder, Forwarding
from edgehost.usecases.service_sink import ServiceSink


class Inbox:
    """A sink that can be away."""

    def __init__(self) -> None:
        self.got: list[Mapping[str, Any]] = []
        self.errors: list[Exception] = []
        self.changed = asyncio.Event()

    async def send(self, events: Sequence[Mapping[str, Any]]) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.got += events
        self.changed.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(30):
            while len(self.got) < count:
                self.changed.clear()
                await self.changed.wait()


def created(model: str, number: int) -> RecordCreated:
    return RecordCreated(at=1.5, model=model, id=str(number), revision=f"r{number}", data={"n": number})


@asynccontextmanager
async def forwarding(
    what: Forwarding, sink: EventSink
) -> AsyncIterator[tuple[LocalEventBus, EventForwarder]]:
    bus = LocalEventBus()
    forwarder = EventForwarder(
        what, sink, bus, SystemClock(), source="urn:here", pause=lambda _s: asyncio.sleep(0)
    )
    bus.attach(forwarder, acting=False)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(forwarder.run())
        try:
            yield bus, forwarder
        finally:
            task.cancel()


async def test_what_matches_goes_to_the_sink_as_cloud_events_in_order() -> None:
    inbox = Inbox()
    what = Forwarding("cloud", "edgehost.record.**", {"model": "doors"})
    async with forwarding(what, inbox) as (bus, _):
        for number in range(3):
            bus.publish(created("doors", number))
            bus.publish(created("windows", number))
            bus.publish(ComponentNotified(at=1, component="c", name="x"))
        await inbox.until(3)
    assert [event["data"]["id"] for event in inbox.got] == ["0", "1", "2"]
    assert inbox.got[0]["type"] == "edgehost.record.created"
    assert inbox.got[0]["source"] == "urn:here"


async def test_a_sink_that_is_away_holds_nobody_up_and_loses_the_oldest_which_is_told() -> None:
    inbox = Inbox()
    inbox.errors = [UnavailableError("away")] * 5
    what = Forwarding("cloud", "edgehost.**", waiting=10)
    async with forwarding(what, inbox) as (bus, forwarder):
        bus.publish(created("doors", -1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for number in range(25):
            bus.publish(created("doors", number))
        await bus.room()
        async with bus.subscription(on="edgehost.events.dropped") as drops:
            await inbox.until(11)
            dropped = await anext(drops)
        assert isinstance(dropped, EventsDropped)
        assert (dropped.count, dropped.consumer) == (15, "sink 'cloud'")
        assert [event["data"]["id"] for event in inbox.got] == ["-1", *map(str, range(15, 25))]
        assert forwarder.trouble == ""


async def test_what_a_sink_refuses_is_counted_and_the_next_goes_on() -> None:
    inbox = Inbox()
    inbox.errors = [RefusedError("too odd")]
    async with forwarding(Forwarding("cloud", "**"), inbox) as (bus, forwarder):
        bus.publish(created("doors", 0))
        while not forwarder.refused:
            await asyncio.sleep(0)
        bus.publish(created("doors", 1))
        await inbox.until(1)
        assert (forwarder.refused, forwarder.sent) == (1, 1)


async def test_a_file_holds_lines_of_json_and_stays_within_its_bounds(tmp_path: Path) -> None:
    path = tmp_path / "deep/events.ndjson"
    file = EventFile(path, file_bytes=1000, files=3)
    for number in range(100):
        await file.send([{"n": number, "text": "x" * 80}])
    assert sorted(each.name for each in path.parent.iterdir()) == [
        "events.ndjson",
        "events.ndjson.1",
        "events.ndjson.2",
    ]
    assert all(each.stat().st_size <= 1000 for each in path.parent.iterdir())
    lines = [
        json.loads(line)["n"]
        for name in ("events.ndjson.2", "events.ndjson.1", "events.ndjson")
        for line in (path.parent / name).read_text().splitlines()
    ]
    assert lines == list(range(lines[0], 100))


async def test_one_file_alone_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    file = EventFile(path, file_bytes=100, files=1)
    await file.send([{"n": number} for number in range(40)])
    assert not path.with_name("events.ndjson.1").exists()
    assert path.read_text().endswith('{"n":39}\n')


async def test_a_disk_that_does_not_take_a_file_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("a file in the way")
    file = EventFile(tmp_path / "there/events.ndjson", file_bytes=100, files=1)
    with pytest.raises(UnavailableError):
        await file.send([{"n": 1}])


class Line:
    """A service that breaks in the middle."""

    functions: Mapping[str, str] = {"publish": "", "other": ""}
    events: Mapping[str, str] = {}

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.breaks_at = -1

    async def call(self, function: str, given: Any, *, timeout_s: float) -> Any:
        if len(self.calls) == self.breaks_at:
            self.breaks_at = -1
            raise UnavailableError("broken")
        self.calls.append((function, given))

    def health(self) -> ServiceHealth:
        return ServiceHealth()


async def test_a_service_gets_each_event_once_beside_what_is_given() -> None:
    line = Line()
    line.breaks_at = 2
    sink = ServiceSink(line, "mqtt", given={"topic": "site/events"})
    async with forwarding(Forwarding("cloud", "**"), sink) as (bus, forwarder):
        for number in range(5):
            bus.publish(created("doors", number))
        while forwarder.sent < 5:
            await asyncio.sleep(0)
    assert [given["payload"]["data"]["id"] for _, given in line.calls] == ["0", "1", "2", "3", "4"]
    assert {(function, given["topic"]) for function, given in line.calls} == {("publish", "site/events")}
    other = ServiceSink(line, "plug-in", "other")
    await other.send([{"a": 1}])
    assert line.calls[-1] == ("other", {"a": 1})
