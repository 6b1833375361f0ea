"""A device on a line: the link is opened, watched and opened again, and what is asked goes over it in turn."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any, Final

from edgehost.adapters.boards import device_resources as resources
from edgehost.adapters.boards.line_conversation import Conversation
from edgehost.domain.backoff import Backoff
from edgehost.domain.device import DeviceIdentity, DeviceSlots, DeviceState, read_identity
from edgehost.domain.errors import (
    ChipMismatchError,
    EdgehostError,
    LineLostError,
    NoLineError,
    UnavailableError,
)
from edgehost.ports.clock import Clock
from edgehost.ports.device import BridgeSettings, DeviceListener
from edgehost.ports.device_line import DeviceLine, DeviceLines, LineSettings
from firmware_bridge.coap_exchange import CBOR, JSON, Asked, Response
from firmware_bridge.coap_message import Method
from remotes.owned_tasks import owned_tasks

log = logging.getLogger("edgehost.device")

_BACKOFF: Final = Backoff(0.25, 10.0)
_SERIAL: Final = "id:"
#: So many telemetries may be missing before they are asked for anew: a device that began anew tells nobody.
_MISSING: Final = 3
#: How far a device's clock may be off, and how long its answer may take, before it counts as begun anew.
_DRIFT: Final = 0.05
_LATE_MS: Final = 150
#: A device that hears nothing at a new rate is back at the old one after three seconds.
_PROOF_S: Final = 2.0
#: Its time is a 32-bit number of milliseconds: after 49 days it begins at 0 without a reset.
_WRAPS_MS: Final = 2**32 - 3_600_000


class DeviceBridge:
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
        self._settings, self._lines, self._listener, self._clock = settings, lines, listener, clock
        self._board = board  # another that answers is left alone; "": any
        self._state = DeviceState(settings.name, settings.line)
        self._path = settings.line
        self._talk: Conversation | None = None
        self._holders = 0
        self._moved = asyncio.Event()  # somebody holds the line, or holds it no more
        self._closed = asyncio.Event()
        self._closed.set()
        self._told_at = 0.0  # monotonic
        self._announced = False  # that it is online
        self._turn = asyncio.Lock()  # one transfer at a time

    @property
    def state(self) -> DeviceState:
        """How it is now."""
        return self._state

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
                self._offline(str(error))
            except Exception:  # a fault of ours with one device must not end the host
                log.exception("The bridge to %s broke off.", self._settings.name)
                self._offline("A fault of the host broke the link; see its log.")
            if self._talk is not None:  # it had answered
                self._talk, attempt = None, 0
            if self._is_held():
                self._state = replace(self._state, paused=True)
                self._offline("Its line is used for something else at the moment.")
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

    # What is asked

    async def call(self, component: str, function: str, payload: bytes) -> bytes:
        """Call an export of the component that runs there."""
        identity = self._state.identity
        if identity is not None:
            resources.require_body(payload, identity)
        asked = self._asked(
            Method.POST, resources.call_path(component, function), payload, media=JSON if payload else None
        )
        return resources.require_called(await self.ask(asked), self._settings.name)

    async def slots(self) -> DeviceSlots:
        """What runs and what is on its way, asked for now."""
        response = await self.ask(Asked(Method.GET, "slot"))
        slots = resources.slots_of(response)
        self._state = replace(self._state, slots=slots)
        return slots

    async def prepare(self, wasm: bytes, manifest: bytes, progress: Callable[[int, int], None]) -> None:
        """Bring the component into the spare slot, going on where an earlier try ended."""
        async with self._turn:
            response = await self.ask(self._asked(Method.PUT, "slot/manifest", manifest))
            have = resources.transfer_of(response, len(wasm))
            progress(have, len(wasm))
            while have < len(wasm):
                asked = replace(self._asked(Method.PUT, "slot/image", wasm, offset=have), gives_way=True)
                response = await self.ask(asked, lambda done: progress(min(done, len(wasm)), len(wasm)))
                before, have = have, resources.transfer_of(response, len(wasm))
                if have <= before:
                    raise UnavailableError(
                        f"{self._settings.name} takes no more of the component.", hint="Try again."
                    )
            progress(have, len(wasm))

    async def commit(self) -> None:
        """Check and probe what is in the spare slot, and run it."""
        async with self._turn:
            resources.require_done(await self.ask(Asked(Method.POST, "slot/commit")))
        await self.slots()

    async def roll_back(self) -> None:
        """Run the release before."""
        async with self._turn:
            resources.require_done(await self.ask(Asked(Method.POST, "slot/rollback")))
        await self.slots()

    async def reset(self) -> None:
        """Begin anew."""
        resources.require_done(await self.ask(Asked(Method.POST, "reset")))

    async def log(self) -> str:
        """The last lines that it kept."""
        response = await self.ask(Asked(Method.GET, "log"))
        resources.require_done(response)
        return response.text

    async def ask(self, asked: Asked, progress: Callable[[int], None] | None = None) -> Response:
        """One request with all of its blocks.

        Raises:
            UnavailableError: the device is offline, or does not answer.
        """
        if self._talk is None or not self._state.online:
            raise UnavailableError(
                f"The device '{self._settings.name}' is offline: {self._state.reason}",
                hint="'edgehost bridge ls' shows the devices.",
            )
        return await self._talk.ask(asked, progress)

    def _asked(
        self, method: Method, path: str, payload: bytes, *, media: int | None = None, offset: int = 0
    ) -> Asked:
        identity = self._state.identity
        block_bytes = 64 if identity is None else identity.block_bytes
        return Asked(method, path, payload, format=media, offset=offset, block_bytes=block_bytes)

    # The link

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
        talk = Conversation(line, secrets.randbits(32), self._clock, self._listener.said)
        async with talk.running():
            await self._identify(talk, line)
            try:
                await self._watch(talk)
            finally:
                self._state = replace(self._state, online=False, reason="The link is lost.")
                talk.close(f"the link to '{self._settings.name}' is lost")

    async def _identify(self, talk: Conversation, line: DeviceLine) -> None:
        """Who is there; at the agreed rate too, where a device may be that was not reset."""
        settings = self._settings
        rates = [settings.baud, *([settings.fast_baud] if settings.fast_baud else [])]
        for baud in rates:
            if baud != rates[0]:
                await line.set_baud(baud)
            try:
                async with asyncio.timeout(2 * settings.silence_s):
                    identity = read_identity(resources.document_of(await talk.ask(Asked(Method.GET, "id"))))
                    break
            except TimeoutError:
                continue
        else:
            raise UnavailableError(
                f"Nothing on {self._path} answers as a device does.",
                hint="Does it run the reference firmware, and at this baud?",
            )
        self._require_board(identity)
        self._state = replace(self._state, identity=identity, heard_at=self._clock.now(), baud=baud)
        if settings.fast_baud not in {0, baud}:
            await self._agree(talk, line)
        slots = resources.slots_of(await talk.ask(Asked(Method.GET, "slot")))
        resources.require_done(await talk.ask(self._interval()))
        self._announced = True
        self._talk = talk
        self._state = replace(
            self._state,
            online=True,
            since=self._clock.now(),
            reason="",
            paused=False,
            slots=slots,
            telemetry={},
        )
        self._listener.moved(self._state)

    async def _agree(self, talk: Conversation, line: DeviceLine) -> None:
        """Go on at the faster rate, if the device can and the line carries it; otherwise both come back."""
        settings = self._settings
        baud = settings.fast_baud
        asked = Asked(Method.PUT, "line", resources.encoded({"baud": baud}), format=CBOR)
        response = await talk.ask(asked)
        if not response.is_success:
            log.info("%s: it stays at %d baud: %s", settings.name, settings.baud, response.text)
            return
        await line.set_baud(baud)
        with suppress(TimeoutError, UnavailableError):
            async with asyncio.timeout(_PROOF_S):
                resources.require_done(await talk.ask(Asked(Method.GET, "line")))
                self._state = replace(self._state, baud=baud)
                return
        log.warning(
            "%s: the line does not carry %d baud; it goes on at %d.", settings.name, baud, settings.baud
        )
        await line.set_baud(settings.baud)

    def _require_board(self, identity: DeviceIdentity) -> None:
        if self._board and identity.board != self._board:
            raise ChipMismatchError(
                f"{self._path} leads to a '{identity.board}', and {self._settings.name} is a '{self._board}'.",
                hint=f"Set devices.{self._settings.name}.board or line.",
            )

    def _interval(self) -> Asked:
        """How often it tells: not kept over a reset."""
        twin = resources.encoded({"interval_ms": self._settings.interval_ms})
        return Asked(Method.PUT, "twin", twin, format=CBOR)

    async def _watch(self, talk: Conversation) -> None:
        """Listen, until nothing is heard any more or the line is wanted."""
        settings = self._settings
        patience_s = max(_MISSING * settings.interval_ms / 1000, settings.silence_s)
        async with owned_tasks() as spawn:
            asked_at = float("-inf")
            while not self._is_held():
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
                    spawn(self._observe(talk), f"edgehost.bridge.{settings.name}.observe")
                heard_at = self._clock.now() - silent_s
                self._state = replace(self._state, heard_at=heard_at, bad_frames=talk.bad_frames)
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(settings.silence_s, patience_s) / 4):
                        await self._moved.wait()
                        self._moved.clear()

    async def _observe(self, talk: Conversation) -> None:
        """Ask to be told, and how it is: what was told before may be long ago."""
        before, before_at, restarts = self._state.telemetry.get("up_ms"), self._told_at, self._state.restarts
        try:
            resources.require_done(await talk.observe("tel", self._told))
            slots = resources.slots_of(await talk.ask(Asked(Method.GET, "slot")))
        except EdgehostError as error:  # asked again before long, unless the link is lost
            log.debug("%s: %s", self._settings.name, error)
            return
        self._state = replace(self._state, slots=slots)
        now = self._state.telemetry.get("up_ms")
        if isinstance(before, int) and isinstance(now, int) and self._state.restarts == restarts:
            elapsed_ms = (self._told_at - before_at) * 1000
            if now < before + elapsed_ms * (1 - _DRIFT) - _LATE_MS:
                self._began_anew(talk)

    def _told(self, response: Response) -> None:
        """A telemetry; one that counts its time from anew is of a device that began anew."""
        try:
            telemetry: dict[str, Any] = resources.telemetry_of(response)
        except EdgehostError:
            return
        before = self._state.telemetry.get("up_ms", 0)
        self._told_at = self._clock.monotonic()
        self._state = replace(self._state, telemetry=telemetry, told_at=self._clock.now())
        if telemetry.get("up_ms", 0) < before < _WRAPS_MS and self._talk is not None:
            self._began_anew(self._talk)
        self._listener.told(telemetry)

    def _began_anew(self, talk: Conversation) -> None:
        self._state = replace(self._state, restarts=self._state.restarts + 1)
        self._listener.moved(self._state)
        talk.post(self._interval())

    def _offline(self, reason: str) -> None:
        was = self._state
        self._state = replace(was, online=False, reason=reason)
        if self._announced or not was.since:
            self._announced = False
            self._state = replace(self._state, since=self._clock.now())
            self._listener.moved(self._state)
