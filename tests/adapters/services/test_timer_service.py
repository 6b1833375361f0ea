"""The service timer, on a clock that a test moves."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from edgehost.adapters.services.timer_service import TimerService, open_timer_service
from edgehost.config_services import TimerOptions
from edgehost.domain.errors import InvalidConfigError
from tests.adapters.services.service_scenes import Told, opened

START = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)


class Time:
    """Wall time that passes only in sleeps, so many of them as a test allows."""

    def __init__(self) -> None:
        self.now = START
        self.sleeps = 0
        self.jumps: dict[int, timedelta] = {}

    async def sleep(self, seconds: float) -> None:
        self.sleeps += 1
        if self.sleeps > 500:
            raise asyncio.CancelledError
        self.now += timedelta(seconds=seconds) + self.jumps.get(self.sleeps, timedelta())


async def told_by(options: TimerOptions, time: Time) -> list[Any]:
    told = Told()
    timer = TimerService(options, "rang", told, now=lambda: time.now, sleep=time.sleep)
    with pytest.raises(asyncio.CancelledError):
        await timer.run()
    return [data for _, data in told.facts]


async def test_an_event_comes_at_each_time_of_day() -> None:
    facts = await told_by(TimerOptions(cron="*/15 * * * *"), Time())
    assert [fact["at"] for fact in facts[:3]] == [
        "2026-03-01T12:15:00+00:00",
        "2026-03-01T12:30:00+00:00",
        "2026-03-01T12:45:00+00:00",
    ]
    assert {fact["late_s"] for fact in facts} == {0.0}


async def test_an_event_comes_every_so_often() -> None:
    facts = await told_by(TimerOptions(every_s=10), Time())
    assert [fact["at"][14:19] for fact in facts[:3]] == ["00:40", "00:50", "01:00"]


async def test_times_that_passed_unseen_are_told_once() -> None:
    time = Time()
    time.jumps[1] = timedelta(hours=3)
    facts = await told_by(TimerOptions(cron="*/15 * * * *"), time)
    assert facts[0]["at"] == "2026-03-01T12:15:00+00:00"
    assert facts[0]["late_s"] > 3600
    assert facts[1]["at"] == "2026-03-01T15:15:00+00:00"


async def test_a_clock_that_is_set_back_does_not_silence_it() -> None:
    time = Time()
    time.jumps[1] = timedelta(days=-300)
    facts = await told_by(TimerOptions(every_s=10), time)
    assert facts[0]["at"].startswith("2025-05-05")


async def test_the_real_one_ticks_and_says_when_next(tmp_path: Any) -> None:
    async with opened("timer", tmp_path) as scene:
        await scene.told.wait_for("often.tick", count=3)
        answer = await scene.service.call("next", None, timeout_s=1)
        assert datetime.fromisoformat(answer["at"]) > datetime.now(UTC) - timedelta(seconds=5)


@pytest.mark.parametrize(
    "options",
    [
        TimerOptions(),
        TimerOptions(cron="* * * * *", every_s=5),
        TimerOptions(cron="61 * * * *"),
        TimerOptions(cron="often"),
        TimerOptions(cron="0 0 31 2 *"),
        TimerOptions(every_s=0.01),
    ],
)
async def test_times_that_are_none_are_refused(options: TimerOptions) -> None:
    with pytest.raises(InvalidConfigError):
        async with open_timer_service("t", options, Told()):
            pass
