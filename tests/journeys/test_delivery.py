"""The drone delivery: faults at every step, and a host that is killed at every step."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edgehost.cli.demo_host import DemoHost, HeardEvents
from tests.journeys.delivery_scene import (
    BOOKED,
    STEPS,
    bookings,
    ordered,
    publish_delivery,
    require_whole,
    settled,
    started_delivery_host,
    until_live,
)
from tests.journeys.fleet import Fleet

STEP = "edgehost.workflow.step"


async def test_a_delivery_goes_through_every_step_and_one_that_fails_is_taken_back_whole(
    tmp_path: Path,
) -> None:
    fleet = Fleet(tmp_path)
    await publish_delivery(fleet)
    host = await started_delivery_host(fleet)
    try:
        delivery = good = await ordered(host)
        assert await require_whole(host, good) == "completed"
        record = await host.get(f"/api/models/deliveries/{good}")
        assert record["data"]["status"] == "completed"
        assert record["data"]["flight"].endswith("fly-drone")
        for kind in ("refuse", "lose"):
            for step in STEPS if kind == "refuse" else BOOKED:
                delivery = await ordered(host, **{kind: step})
                assert await require_whole(host, delivery) == "undone", (kind, step)
                history = await settled(host, delivery)
                begun = [each["trigger"]["port"] for each in history["steps"]]
                assert begun == list(STEPS[: STEPS.index(step) + 1]), history["reason"]
        stuck = await ordered(host, refuse="verify-drop", keep="pick-items")
        history = await settled(host, stuck)
        assert history["state"] == "stuck"
        held = await bookings(host, stuck)
        assert [what for what, state in held.items() if state == "booked"] == ["pick-items"]
        record = await host.get(f"/api/models/deliveries/{delivery}")
        assert record["data"]["status"] == "taken-back"
    finally:
        await host.stop()


@pytest.mark.slow
@pytest.mark.timeout(240)  # a dozen hosts are killed and started
async def test_a_host_killed_at_any_step_completes_the_delivery_or_takes_it_back_never_half(
    tmp_path: Path,
) -> None:
    fleet = Fleet(tmp_path)
    await publish_delivery(fleet)
    host = await started_delivery_host(fleet)
    try:
        for step in STEPS:
            for drill in ({}, {"stall": step}) if step in BOOKED else ({},):
                delivery = await killed_at(host, step, "running", drill)
                assert await require_whole(host, delivery) == "completed", (step, drill)
    finally:
        await host.stop()


@pytest.mark.slow
@pytest.mark.timeout(240)  # a dozen hosts are killed and started
async def test_a_host_killed_while_it_takes_back_takes_back_the_rest(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await publish_delivery(fleet)
    host = await started_delivery_host(fleet)
    try:
        for step in BOOKED:
            delivery = await killed_at(host, step, "undoing", {"refuse": "complete-delivery"})
            assert await require_whole(host, delivery) == "undone", step
    finally:
        await host.stop()


async def killed_at(host: DemoHost, step: str, state: str, drill: dict[str, str]) -> str:
    """A delivery whose host is killed as soon as this step is in this state, and started again."""
    heard = HeardEvents(host.client)
    with heard.listening():
        waiting = asyncio.create_task(
            heard.wait_for(STEP, lambda data: (data["port"], data["state"]) == (step, state), timeout_s=20)
        )
        delivery = await ordered(host, **drill)
        await waiting
        await host.kill()
    await host.start()
    await until_live(host)
    return delivery
