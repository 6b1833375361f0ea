"""What an upstream system is shown, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from edgehost.domain.device_events import DeviceTelemetry, DeviceWentOffline
from edgehost.domain.event_rate import EventRate
from edgehost.domain.events import Event, EventsDropped, ReleaseMoved
from edgehost.domain.upstream_node import HOST, UpstreamNode, Version
from edgehost.usecases.report_upstream import UpstreamReporter, device_node
from tests.usecases.deploy_scene import StillClock


@dataclass
class MemoryUpstream:
    """What was shown."""

    shown: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    connected: bool = True
    trouble: str = ""

    def show(self, node: UpstreamNode) -> None:
        self.shown.append(node.name)

    def tell(self, event: Event) -> None:
        self.told.append(event.type)

    async def run(self) -> None:
        """It has no connection to keep."""


async def host_now() -> UpstreamNode:
    return UpstreamNode(HOST, "journey", online=True)


def devices_now() -> Mapping[str, UpstreamNode]:
    return {name: UpstreamNode(name, name, online=True) for name in ("lamp", "pump")}


def reporter_of(clock: StillClock, **more: object) -> tuple[UpstreamReporter, MemoryUpstream]:
    upstream = MemoryUpstream()
    reporter = UpstreamReporter(
        upstream,
        clock,
        host_now,
        devices_now,
        interval_s=10,
        measure_s=60,
        **more,  # type: ignore[arg-type]  # a test's own words
    )
    return reporter, upstream


def telemetry(device: str = "lamp") -> DeviceTelemetry:
    return DeviceTelemetry(at=1.0, device=device, data={"n": 1})


async def test_everything_is_shown_first_and_figures_no_more_often_than_is_wanted() -> None:
    clock = StillClock()
    reporter, upstream = reporter_of(clock)
    await reporter.begin()
    assert sorted(upstream.shown) == [HOST, "lamp", "pump"]
    reporter.take(telemetry())
    assert reporter._due() == set()
    clock.mono = 9.9
    reporter.take(telemetry())
    assert reporter._due() == set()
    clock.mono = 10
    assert reporter._due() == {"lamp"}
    assert reporter._due() == set()
    clock.mono = 60
    assert reporter._due() == {HOST}


async def test_what_comes_goes_or_changes_its_version_is_shown_at_once() -> None:
    reporter, _ = reporter_of(StillClock())
    await reporter.begin()
    reporter.take(DeviceWentOffline(at=1.0, device="pump", reason="silent"))
    reporter.take(ReleaseMoved(at=1.0, component="a", version="1.0.0", digest="0", stage="live"))
    assert reporter._due() == {HOST, "pump"}


async def test_a_device_that_is_not_shown_there_is_left_out() -> None:
    reporter, upstream = reporter_of(StillClock())
    await reporter.begin()
    upstream.shown.clear()
    await reporter._show({"lamp", "other"})
    assert upstream.shown == ["lamp"]


async def test_events_are_told_by_pattern_and_not_too_often() -> None:
    clock = StillClock()
    reporter, upstream = reporter_of(clock, events=("edgehost.device.*",), rate=EventRate(2))
    for _ in range(5):
        reporter.take(telemetry())
    reporter.take(ReleaseMoved(at=1.0, component="a", version="1.0.0", digest="0", stage="live"))
    reporter.take(EventsDropped(at=1.0, count=3))
    assert upstream.told == ["edgehost.device.telemetry"] * 2


async def test_a_look_that_fails_does_not_end_it() -> None:
    failed, looked = asyncio.Event(), asyncio.Event()

    async def host() -> UpstreamNode:
        if not failed.is_set():
            failed.set()
            raise OSError("no machine")
        looked.set()
        return await host_now()

    reporter, _ = reporter_of(StillClock())
    reporter.host = host
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(reporter.run())
        await failed.wait()
        reporter.take(ReleaseMoved(at=1.0, component="a", version="1.0.0", digest="0", stage="live"))
        await looked.wait()
        running.cancel()


def test_a_device_is_what_its_bridge_knows_of_it() -> None:
    document = {
        "name": "lamp",
        "online": True,
        "identity": {"board": "pico", "firmware": "1.0.0", "uid": "01"},
        "slots": {"running": {"component": "blink", "version": "1.0.0"}},
        "telemetry": {"up_ms": 5, "component": {"on": True}},
    }
    node = device_node(document, "yard lamp", lambda _component: "1.1.0")
    assert (node.model, node.software, node.serial, node.told) == ("pico", "1.0.0", "01", True)
    assert node.figures == {"up_ms": 5, "component.on": True}
    assert node.versions == {"blink": Version("1.0.0", "1.1.0")}
    bare = {"name": "lamp", "online": False, "identity": None, "slots": None, "telemetry": {}}
    assert not device_node(bare, "yard lamp", lambda _component: None).told
