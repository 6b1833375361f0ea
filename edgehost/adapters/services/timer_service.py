"""The service ``timer``: an event at times of day, or every so often."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cronsim import CronSim, CronSimError

from edgehost.adapters.services.running_service import running
from edgehost.config_services import TimerOptions
from edgehost.domain.errors import InvalidConfigError
from edgehost.ports.service import Service, ServiceHealth, ServiceNotice

#: A machine's clock may be set while we wait: it is looked at so often.
_LOOK_S: Final = 30.0
#: A clock that goes back by less is being adjusted, not set.
_BACK: Final = timedelta(seconds=2)
_SHORTEST_S: Final = 0.05  # 20 events a second, so that a timer cannot eat a core


def _utc_now() -> datetime:
    return datetime.now(UTC)


class TimerService:
    """A Service that tells the time by itself."""

    functions: Mapping[str, str] = {"next": 'when its next event comes: {"at"} in ISO 8601'}

    def __init__(
        self,
        options: TimerOptions,
        event: str,
        notice: ServiceNotice,
        *,
        now: Callable[[], datetime] = _utc_now,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._options, self._event, self._notice = options, event, notice
        self._now, self._sleep = now, sleep
        self.events: Mapping[str, str] = {event: 'its time has come: {"at", "late_s"}'}
        self._next = self._after(now())

    async def run(self) -> None:
        """Tell each time, until cancelled. Times that passed unseen are told once, as one late event."""
        while True:
            due = self._next
            seen = self._now()
            while (now := self._now()) < due:
                if now < seen - _BACK:  # somebody set the clock back: what was due is due later
                    due = self._next = self._after(now)
                seen = now
                await self._sleep(min(_LOOK_S, (due - now).total_seconds()))
            late_s = (now - due).total_seconds()
            self._next = self._after(max(now, due))
            self._notice(self._event, {"at": due.isoformat(), "late_s": round(late_s, 3)})
            await self._sleep(0)

    async def call(self, function: str, given: Any, *, timeout_s: float) -> Any:  # noqa: ANN401, ARG002 - one function
        """The next event's time."""
        return {"at": self._next.isoformat()}

    def health(self) -> ServiceHealth:
        """Always well."""
        return ServiceHealth(detail=f"next at {self._next.isoformat(timespec='seconds')}")

    def _after(self, moment: datetime) -> datetime:
        if self._options.cron:
            found: datetime = next(CronSim(self._options.cron, moment))
            return found
        return moment + timedelta(seconds=self._options.every_s)


@asynccontextmanager
async def open_timer_service(
    name: str, options: TimerOptions, notice: ServiceNotice
) -> AsyncIterator[Service]:
    """A running timer.

    Raises:
        InvalidConfigError: it has no times, both kinds, or a cron expression that is none.
    """
    if bool(options.cron) == bool(options.every_s):
        raise InvalidConfigError(f"services.{name} needs either cron or every_s.")
    if options.every_s and options.every_s < _SHORTEST_S:
        raise InvalidConfigError(f"services.{name}.every_s is below {_SHORTEST_S:g} seconds.")
    try:
        service = TimerService(options, options.event or f"{name}.tick", notice)
    except (CronSimError, StopIteration) as problem:
        raise InvalidConfigError(
            f"services.{name}.cron is {options.cron!r}, which is no time: {problem}.",
            hint="Write minute, hour, day, month and weekday: '*/5 * * * *'.",
        ) from None
    async with running(service, name):
        yield service
