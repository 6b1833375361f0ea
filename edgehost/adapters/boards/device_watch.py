"""Listening to a device that answered: its telemetry, its silence, and whether it began anew meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from edgehost.adapters.boards import device_resources as resources
from edgehost.adapters.boards.device_greeting import interval, marked_interval_ms
from edgehost.adapters.boards.device_view import DeviceView
from edgehost.adapters.boards.line_conversation import Conversation
from edgehost.domain.errors import EdgehostError, LineLostError
from edgehost.ports.clock import Clock
from firmware_bridge.coap_exchange import Asked, Response
from firmware_bridge.coap_message import Method
from remotes.owned_tasks import owned_tasks

log = logging.getLogger("edgehost.device")

#: So many telemetries may be missing before they are asked for anew: a device that began anew tells nobody.
_MISSING: Final = 3
#: Its time is a 32-bit number of milliseconds: after 49 days it begins at 0 without a reset.
_WRAPS_MS: Final = 2**32 - 3_600_000


class DeviceWatch:
    """One conversation, from the moment that the device is online."""

    def __init__(self, talk: Conversation, view: DeviceView, clock: Clock) -> None:
        self._talk, self._view, self._clock = talk, view, clock

    async def run(self, is_wanted: Callable[[], bool], moved: asyncio.Event) -> None:
        """Listen, until nothing is heard any more or the line ``is_wanted``; ``moved`` says when to look.

        Raises:
            LineLostError: the device is silent.
        """
        settings, talk = self._view.settings, self._talk
        patience_s = max(_MISSING * settings.interval_ms / 1000, settings.silence_s)
        async with owned_tasks() as spawn:
            asked_at = float("-inf")
            while not is_wanted():
                now = self._clock.monotonic()
                silent_s = now - talk.heard_at
                if silent_s >= 2 * settings.silence_s:
                    raise LineLostError(
                        f"'{settings.name}' has said nothing for {silent_s:.1f} s.", hint="Is it powered?"
                    )
                if silent_s >= settings.silence_s:
                    talk.ping()
                elif now - max(talk.notified_at, asked_at) >= patience_s:
                    asked_at = now
                    spawn(self._observe(), f"edgehost.bridge.{settings.name}.observe")
                self._view.change(heard_at=self._clock.now() - silent_s, bad_frames=talk.bad_frames)
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(settings.silence_s, patience_s) / 4):
                        await moved.wait()
                        moved.clear()

    async def _observe(self) -> None:
        """Ask to be told, and how it is: what was told before may be long ago."""
        view, restarts = self._view, self._view.state.restarts
        try:
            resources.require_done(await self._talk.observe("tel", self._told))
            view.change(slots=resources.slots_of(await self._talk.ask(Asked(Method.GET, "slot"))))
            twin = resources.document_of(await self._talk.ask(Asked(Method.GET, "twin")))
        except EdgehostError as error:  # asked again before long, unless the link is lost
            log.debug("%s: %s", view.settings.name, error)
            return
        # Its time does not say it: one that was reset long ago is past what it told last, and a clock may be slow.
        is_as_it_was = isinstance(twin, dict) and twin.get("interval_ms") == marked_interval_ms(view)
        if not is_as_it_was and view.state.restarts == restarts:
            self._began_anew()

    def _told(self, response: Response) -> None:
        """A telemetry; one that counts its time from anew is of a device that began anew."""
        try:
            telemetry: dict[str, Any] = resources.telemetry_of(response)
        except EdgehostError:
            return
        before = self._view.state.telemetry.get("up_ms", 0)
        self._view.told(telemetry)
        if telemetry.get("up_ms", 0) < before < _WRAPS_MS:
            self._began_anew()
        self._view.passed_on(telemetry)

    def _began_anew(self) -> None:
        self._view.began_anew()
        self._talk.post(interval(self._view))
