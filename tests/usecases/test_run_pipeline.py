"""Pipelines: output to input, by call and by event."""

from __future__ import annotations

import asyncio
import json

import pytest

from edgehost.adapters.services.local_event_bus import LocalEventBus
from edgehost.adapters.services.system_clock import SystemClock
from edgehost.domain.errors import GuestFailedError, NotFoundError
from edgehost.domain.events import ComponentNotified
from edgehost.domain.workflow_events import PipelineEnded
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.run_pipeline import Pipeline, Pipelines

RISK = Pipeline("risk", (("speed", "mean"), ("risk", "judge")), on="drone.*", where={"data.armed": True})


class Steps:
    """``mean`` adds its name to what it gets, ``judge`` counts; anything odd is refused."""

    def blame(self, component: str) -> None:
        raise AssertionError(component)

    async def call(
        self, component: str, function: str, payload: bytes, *, context: CallContext = CallContext()
    ) -> bytes:
        if b"odd" in payload:
            raise GuestFailedError("odd")
        if component == "gone":
            raise NotFoundError("No component 'gone' runs on this host.")
        if function == "judge":
            return json.dumps({"bytes": len(payload)}).encode()
        return payload + b"!"


def pipelines(bus: LocalEventBus, *more: Pipeline) -> Pipelines:
    return Pipelines([RISK, *more], Steps(), bus, SystemClock())


async def test_the_answer_of_each_step_is_the_input_of_the_next() -> None:
    made = pipelines(LocalEventBus())
    assert await made.call("risk", b"12") == b'{"bytes": 3}'
    assert [each.document()["steps"] for each in made.all()] == [["speed.mean", "risk.judge"]]


async def test_a_failure_says_which_step_it_was() -> None:
    made = pipelines(LocalEventBus(), Pipeline("broken", (("speed", "mean"), ("gone", "x"))))
    with pytest.raises(GuestFailedError, match=r"Step 1 of 'risk', speed\.mean: odd"):
        await made.call("risk", b"odd")
    with pytest.raises(NotFoundError, match=r"Step 2 of 'broken', gone\.x: No component"):
        await made.call("broken", b"")
    with pytest.raises(NotFoundError, match="There is no pipeline 'rsik'") as caught:
        await made.call("rsik", b"")
    assert "risk" in caught.value.hint


async def test_an_event_starts_a_pipeline_and_its_end_is_told() -> None:
    bus = LocalEventBus()
    made = pipelines(bus)
    bus.attach(made)
    async with asyncio.TaskGroup() as tasks, bus.subscription(on="edgehost.pipeline.*") as ends:
        running = tasks.create_task(made.run())
        for name, data in (
            ("drone.flew", {"armed": True}),
            ("drone.flew", {"armed": False}),
            ("drone.flew", {"armed": True, "how": "odd"}),
        ):
            bus.publish(ComponentNotified(at=1, component="c", name=name, data=data))
        first, second = await anext(ends), await anext(ends)
        await made.idle()
        running.cancel()
    assert isinstance(first, PipelineEnded)
    assert isinstance(second, PipelineEnded)
    assert first.data["bytes"] > 100
    assert first.cause.depth == 1
    assert (second.code, second.subject) == ("guest-failed", "risk")
