"""A device on a line: the link is opened, watched and opened again, and what is asked goes over it in turn."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from edgehost.adapters.boards import device_resources as resources
from edgehost.adapters.boards.device_greeting import greet, interval
from edgehost.adapters.boards.device_requests import DeviceRequests
from edgehost.adapters.boards.device_view import DeviceView
from edgehost.adapters.boards.device_watch import DeviceWatch
from edgehost.adapters.boards.line_conversation import Conversation
from edgehost.domain.backoff import Backoff
from edgehost.domain.device import DeviceState
from edgehost.domain.errors import EdgehostError, NoLineError
from edgehost.ports.clock import Clock
from edgehost.ports.device import BridgeSettings, DeviceListener
from edgehost.ports.device_line import DeviceLine, DeviceLines, LineSettings
from firmware_bridge.coap_exchange import Asked
from firmware_bridge.coap_message import Method

log = logging.getLogger("edgehost.device")

_BACKOFF: Final = Backoff(0.25, 10.0)
_SERIAL: Final = "id:"


class DeviceBridge(DeviceRequests):
    """Meets BridgedDevice."""

    def __init__(
        self,
        settings: BridgeSettings,
        lines: DeviceLines,
        listener: DeviceListener,
        clock: Clock,
        *,
        board: str = "",
    ) -> None:
        super().__init__(DeviceView(settings, listener, clock))
        self._settings, self._lines, self._clock = settings, lines, clock
        self._board = board  # another that answers is left alone; "": any
        self._path = settings.line
        self._holders = 0
        self._moved = asyncio.Event()  # somebody holds the line, or holds it no more
        self._closed = asyncio.Event()
        self._closed.set()

    @property
    def state(self) -> DeviceState:
        """How it is now."""
        return self._view.state

    def is_on(self, path: str) -> bool:
        """Whether this is its line, by whatever name."""
        own = self._path
        return path in {own, self._settings.line} or (
            path.startswith("/") and own.startswith("/") and os.path.realpath(path) == os.path.realpath(own)
        )

    async def run(self) -> None:
        """Keep the link up until cancelled."""
        attempt = 0
        while True:
            self._moved.clear()
            if self._is_held():
                await self._moved.wait()
                continue
            try:
                await self._once()
            except EdgehostError as error:
                self._view.went_offline(str(error))
            except Exception:  # a fault of ours with one device must not end the host
                log.exception("The bridge to %s broke off.", self._settings.name)
                self._view.went_offline("A fault of the host broke the link; see its log.")
            if self._talk is not None:  # it had answered
                self._talk, attempt = None, 0
            if self._is_held():
                self._view.change(paused=True)
                self._view.went_offline("Its line is used for something else at the moment.")
                continue
            try:
                async with asyncio.timeout(_BACKOFF.delay_s(attempt, secrets.SystemRandom().random())):
                    await self._moved.wait()
            except TimeoutError:
                attempt += 1

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """The line is closed inside the block and opened again behind it."""
        self._holders += 1
        self._moved.set()
        try:
            await self._closed.wait()
            yield
        finally:
            self._holders -= 1
            self._moved.set()

    def _is_held(self) -> bool:
        return self._holders > 0

    async def _once(self) -> None:
        """From opening the line until it is lost, silent, or somebody else's."""
        self._path = await self._found_path()
        self._closed.clear()
        try:
            if not self._is_held():  # it may have been taken while its path was looked for
                async with self._lines.open(self._path, LineSettings(self._settings.baud)) as line:
                    await self._converse(line)
        finally:
            self._closed.set()

    async def _found_path(self) -> str:
        wanted = self._settings.line
        if not wanted.startswith(_SERIAL):
            return wanted
        serial_number = wanted.removeprefix(_SERIAL)
        for line in await self._lines.found():
            if line.serial_number == serial_number:
                return line.path
        raise NoLineError(f"No line has the serial number {serial_number}.", hint="Is it plugged in?")

    async def _converse(self, line: DeviceLine) -> None:
        talk = Conversation(line, secrets.randbits(32), self._clock, self._view.said)
        async with talk.running():
            await greet(talk, line, self._view, self._clock, path=self._path, board=self._board)
            slots = resources.slots_of(await talk.ask(Asked(Method.GET, "slot")))
            resources.require_done(await talk.ask(interval(self._view)))
            self._talk = talk
            self._view.came_online(slots)
            try:
                await DeviceWatch(talk, self._view, self._clock).run(self._is_held, self._moved)
            finally:
                self._view.change(online=False, reason="The link is lost.")
                talk.close(f"the link to '{self._settings.name}' is lost")
