"""Keeps one connection to a broker: reconnects with full-jitter back-off, falls back from MQTT 5 to 3.1.1."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import aiomqtt
from aiomqtt.exceptions import MqttConnectError

from edgehost.domain.backoff import Backoff
from edgehost.domain.errors import EdgehostError
from remotes.certificate_connections import shows
from remotes.mqtt_client import CLOSED_AT_ONCE, bounded_client, closed_after
from remotes.mqtt_options import MqttOptions

T = TypeVar("T")
_LOG: Final = logging.getLogger(__name__)
#: "Unsupported protocol version" in MQTT 5 and in 3.1.1.
_OTHER_VERSION: Final = frozenset({132, 1})
#: Some brokers for MQTT 3.1.1 take the properties of MQTT 5 for a part that is still to come, and wait.
_SILENCE_S: Final = 2.0
#: A connection that held for so long was a good one: the next back-off starts small again.
_STABLE_S: Final = 10.0
#: Messages that nobody waits for: late answers and pushes are a handful.
_FLOOD_MESSAGES: Final = 200
_FLOOD_WINDOW_S: Final = 10.0


class FloodError(Exception):
    """The broker sends far more than was asked for."""


class FloodMeter:
    """Counts messages that nobody waits for."""

    def __init__(self) -> None:
        self._count = 0
        self._window_started = 0.0

    def is_flooded(self, now: float) -> bool:
        """Count one more; True when there were too many of late."""
        if now - self._window_started > _FLOOD_WINDOW_S:
            self._window_started, self._count = now, 0
        self._count += 1
        return self._count > _FLOOD_MESSAGES


@dataclass(eq=False, frozen=True, slots=True)
class Link:
    """One connection; ``gone`` is done once it has ended."""

    client: aiomqtt.Client
    gone: asyncio.Future[None]

    async def answered(self, request: Coroutine[Any, Any, T]) -> T:
        """Await the broker's answer, and no longer than the connection.

        aiomqtt waits its whole time-out for one that can no longer come; transfers stood still for seconds after a cut.

        Raises:
            MqttError: the connection ended.
        """
        asking = asyncio.get_running_loop().create_task(request, name="edgehost.remote.asking")
        try:
            ends: set[asyncio.Future[Any]] = {asking, self.gone}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                raise aiomqtt.MqttError("the connection broke")
            return asking.result()
        finally:
            asking.cancel()

    async def bring(self, take: Callable[[str, bytes, bool], None]) -> None:
        """Bring each message to ``take`` as it comes, until the connection ends: topic, payload, whether retained.

        None waits in the inbox, so none is dropped, however many a broker retains: the socket is read at the pace of
        ``take``, which neither waits nor raises.

        Raises:
            MqttError: the connection ended.
        """
        paho: Any = self.client._client  # noqa: SLF001 - aiomqtt has no way past its inbox
        paho.message_callback_add("#", lambda _paho, _own, each: take(each.topic, each.payload, each.retain))
        async for each in self.client.messages:  # what came before
            take(str(each.topic), bytes(each.payload), each.retain)
        raise aiomqtt.MqttError("the broker closed the connection")


class ConnectionKeeper:
    """Keeps a link up. ``serve(link, online)`` says when the link may be used, and ends with it.

    ``changed`` is called when a link has come up or gone; ``renewed`` may give each connection a will of its own.
    """

    def __init__(
        self,
        options: MqttOptions,
        serve: Callable[[Link, Callable[[], None]], Awaitable[None]],
        changed: Callable[[], None] = lambda: None,
        renewed: Callable[[MqttOptions], MqttOptions] = lambda options: options,
    ) -> None:
        self._options = options
        self._renewed = renewed
        self._serve = serve
        self._changed = changed
        old = options.mqtt_version == "3.1.1"
        self._protocol = aiomqtt.ProtocolVersion.V311 if old else aiomqtt.ProtocolVersion.V5
        self._backoff = Backoff(options.backoff_base_s, options.backoff_most_s)
        self._proven = options.mqtt_version != "auto"
        self._next: asyncio.Future[Link] = asyncio.get_running_loop().create_future()
        self.trouble = ""  # why there is no connection, for messages to people
        self._client: aiomqtt.Client | None = None  # of the link that is up
        self._anew = False  # the link is ended by us, to be made anew

    @property
    def protocol(self) -> aiomqtt.ProtocolVersion:
        """The version of MQTT that the broker speaks, as far as is known."""
        return self._protocol

    @property
    def connected(self) -> bool:
        """Whether there is a link."""
        return self._next.done()

    async def link(self) -> Link:
        """The link, as soon as there is one."""
        return await asyncio.shield(self._next)

    def connect_anew(self) -> None:
        """End the link and connect again at once, with whatever certificate is there now.

        A will that the broker would retain is not meant for that moment; one that it tells once, as a death in
        Sparkplug, belongs to every connection that ends.
        """
        client = self._client
        if client is None or not self.connected:
            return  # what connects now reads the file
        self._anew = True
        if self._options.will_retain or not self._options.will_topic:
            client._client.disconnect()  # noqa: SLF001 - aiomqtt has no disconnect of its own
        elif not client._disconnected.done():  # noqa: SLF001 - what aiomqtt waits for
            client._disconnected.set_exception(aiomqtt.MqttError("it is made anew"))  # noqa: SLF001

    async def run(self) -> None:
        """Connect, serve, and begin again, until cancelled."""
        with shows(self._options.cert_file, self.connect_anew):
            await self._run()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        attempt = 0
        marks = _marks()
        while True:
            started = loop.time()
            try:
                await self._connect_and_serve()
            except (aiomqtt.MqttError, EdgehostError, FloodError) as error:
                if self._anew and _marks() == marks:
                    attempt = 0
                    continue
                if not self._falls_back(error):
                    self._report(error)
                elif _marks() == marks:
                    continue
            except Exception as fault:  # noqa: BLE001 - a name that is no host's, what paho stumbles over: all end here
                _LOG.debug("The connection ended in an unforeseen way.", exc_info=True)
                self._report(fault)
            if _marks() > marks:
                raise asyncio.CancelledError  # a farewell that failed took its place
            attempt = 0 if loop.time() - started > _STABLE_S else attempt + 1
            await asyncio.sleep(self._backoff.delay_s(attempt, secrets.SystemRandom().random()))

    async def _connect_and_serve(self) -> None:
        self._anew = False
        client = await bounded_client(self._renewed(self._options), self._protocol)
        if not self._proven:
            client.timeout = min(client.timeout, _SILENCE_S)
        marks = _marks()
        async with closed_after(client), client:
            if _marks() > marks:
                raise asyncio.CancelledError  # it came with the broker's answer: wait_for of Python 3.11 loses it
            link = Link(client, asyncio.get_running_loop().create_future())

            def online() -> None:
                if self.trouble:
                    _LOG.warning("connected to %s:%d again", self._options.host, self._options.tcp_port)
                self.trouble, self._proven = "", True
                client.timeout = self._options.connect_timeout_s
                self._client = client
                self._next.set_result(link)
                self._changed()

            try:
                await self._serve(link, online)
            finally:
                self._client = None
                link.gone.set_result(None)
                if self._next.done():
                    self._next = asyncio.get_running_loop().create_future()
                    self._changed()

    def _falls_back(self, error: Exception) -> bool:
        """Try MQTT 3.1.1 when the broker says that it does not know 5, or says nothing at all to it."""
        if self._protocol is not aiomqtt.ProtocolVersion.V5:
            return False
        code = getattr(error, "rc", None)
        refused = isinstance(error, MqttConnectError) and _number(code) in _OTHER_VERSION
        silent = not self._proven and str(error) in {"Operation timed out", CLOSED_AT_ONCE}
        if refused or silent:
            self._protocol = aiomqtt.ProtocolVersion.V311
        return refused or silent

    def _report(self, error: Exception) -> None:
        """Log each new trouble once."""
        trouble = str(error)
        if trouble != self.trouble:
            _LOG.warning("%s:%d: %s", self._options.host, self._options.tcp_port, trouble)
        self.trouble = trouble


def _marks() -> int:
    """How often this task was cancelled so far."""
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


def _number(code: object) -> object:
    return getattr(code, "value", code)
