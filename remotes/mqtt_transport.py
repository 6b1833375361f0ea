"""A repository as retained messages under ``edgehost/remote/<name>/``: it needs nothing but a broker.

MQTT has no "get". A fetch subscribes, and the broker answers with the retained message or with nothing. To tell
"nothing" from "not yet", the timestamp is subscribed once more: a broker serves subscriptions in order, so
when the timestamp has come again and the file has not, there is no such file. Readers need no right to publish.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import aiomqtt

from edgehost.domain.errors import EdgehostError, RemoteUnreachableError, TooLargeError
from remotes.change_signals import ChangeSignals
from remotes.mqtt_connection import ConnectionKeeper, FloodError, FloodMeter, Link
from remotes.mqtt_options import MqttOptions
from remotes.owned_tasks import Spawn, owned_tasks
from remotes.transport import METADATA_MOST_BYTES, TIMESTAMP, require_path

T = TypeVar("T")
_LOG: Final = logging.getLogger(__name__)
#: Some brokers send retained messages from another thread than the acknowledgement: wait so long before asking
#: for the timestamp.
_GRACE_S: Final = 0.02
#: After an error, the end of its connection is noticed within this time; if it lives on, the call is made again.
_SETTLE_S: Final = 0.5
_REFUSED_SUBSCRIPTION: Final = 0x80


@dataclass(eq=False, slots=True)
class _Wanted:
    """A file that a fetch waits for."""

    most_bytes: int
    content: asyncio.Future[bytes | None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def take(self, content: bytes) -> None:
        if self.content.done():
            return
        if len(content) > self.most_bytes:
            self.content.set_exception(TooLargeError(f"{len(content)} bytes instead of {self.most_bytes}"))
        else:
            self.content.set_result(content or None)


class MqttTransport:
    """See Transport. Open it with open_mqtt_transport."""

    def __init__(self, name: str, options: MqttOptions, spawn: Spawn) -> None:
        self._options = options
        self._prefix = f"{options.topic_root}/{name}/"
        self._spawn = spawn
        self._signals = ChangeSignals()
        self._wanted: dict[str, list[_Wanted]] = {}
        self._barrier = asyncio.Lock()
        self._seen_timestamp: bytes | None = None
        self._link_signals = ChangeSignals()
        self._keeper = ConnectionKeeper(options, self._serve, self._link_signals.fire)

    @property
    def address(self) -> str:
        """The broker and the topics."""
        scheme = "mqtts" if self._options.tls else "mqtt"
        return f"{scheme}://{self._options.host}:{self._options.tcp_port}/{self._prefix.rstrip('/')}"

    @property
    def connected(self) -> bool:
        """See Transport."""
        return self._keeper.connected

    async def run(self) -> None:
        """Keep a connection until cancelled."""
        await self._keeper.run()

    def close(self) -> None:
        """End the listeners."""
        self._signals.close()
        self._link_signals.close()

    def changes(self) -> AsyncIterator[None]:
        """See Transport."""
        return self._signals.listen()

    def link_changes(self) -> AsyncIterator[None]:
        """See Transport."""
        return self._link_signals.listen()

    async def fetch(self, path: str, *, most_bytes: int) -> bytes | None:
        """See Transport."""
        topic = self._prefix + require_path(path)

        async def over(link: Link) -> bytes | None:
            return await self._retained(link, topic, most_bytes)

        return await self._insist(over, f"fetch {path}")

    async def publish(self, path: str, content: bytes) -> None:
        """See Transport."""
        topic = self._prefix + require_path(path)

        async def over(link: Link) -> None:
            await link.answered(link.client.publish(topic, content, qos=1, retain=True))

        await self._insist(over, f"publish {path}")

    async def remove(self, path: str) -> None:
        """See Transport; an empty retained message is how MQTT forgets one."""
        await self.publish(path, b"")

    async def _insist(self, action: Callable[[Link], Coroutine[Any, Any, T]], what: str) -> T:
        """Do it, again after each reconnection, within the time that an answer may take."""
        try:
            async with asyncio.timeout(self._options.answer_timeout_s):
                while True:
                    link = await self._keeper.link()
                    with suppress(aiomqtt.MqttError):
                        return await action(link)
                    await asyncio.wait({link.gone}, timeout=_SETTLE_S)
        except TimeoutError:
            trouble = self._keeper.trouble or "no answer"
            raise RemoteUnreachableError(
                f"{self.address}: could not {what} within {self._options.answer_timeout_s:g} s ({trouble}).",
                hint="Check that the broker runs, its address and your credentials.",
            ) from None

    async def _retained(self, link: Link, topic: str, most_bytes: int) -> bytes | None:
        wanted = _Wanted(most_bytes)
        self._wanted.setdefault(topic, []).append(wanted)
        try:
            await self._subscribe(link, topic)
            await asyncio.wait({wanted.content}, timeout=_GRACE_S)
            if not wanted.content.done():
                await self._pass_barrier(link, wanted)
            return wanted.content.result() if wanted.content.done() else None
        except TooLargeError as error:
            raise TooLargeError(
                f"{self.address}: {topic.removeprefix(self._prefix)} has {error.message}."
            ) from None
        finally:
            self._stop_wanting(link, topic, wanted)

    async def _pass_barrier(self, link: Link, wanted: _Wanted) -> None:
        """Return when the file has come, or when the timestamp has and the file will not."""
        passed: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        # A task of its own: a file that comes first does not wait, and the answer is still not taken for another's.
        self._spawn(self._raise_barrier(link, wanted, passed), "edgehost.remote.barrier")
        ends: set[asyncio.Future[Any]] = {passed, wanted.content}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if wanted.content.done():
                return
            if (error := passed.result()) is not None:
                raise error
            if link.gone.done():
                raise aiomqtt.MqttError("the connection broke")
        finally:
            passed.cancel()

    async def _raise_barrier(
        self, link: Link, wanted: _Wanted, passed: asyncio.Future[Exception | None]
    ) -> None:
        topic = self._prefix + TIMESTAMP
        outcome: Exception | None = None
        async with self._barrier:  # one at a time, or one could take the answer to another's for its own
            if wanted.content.done():
                return
            marker = _Wanted(METADATA_MOST_BYTES)
            self._wanted.setdefault(topic, []).append(marker)
            try:
                await self._subscribe(link, topic)
                ends: set[asyncio.Future[Any]] = {marker.content, link.gone}
                await asyncio.wait(
                    ends, timeout=self._options.missing_timeout_s, return_when=asyncio.FIRST_COMPLETED
                )
            except (aiomqtt.MqttError, EdgehostError) as error:
                outcome = error
            finally:
                self._stop_wanting(link, topic, marker)
        if not passed.done():
            passed.set_result(outcome)

    async def _subscribe(self, link: Link, topic: str) -> None:
        codes = await link.answered(link.client.subscribe(topic, qos=1))
        if any((code if isinstance(code, int) else code.value) >= _REFUSED_SUBSCRIPTION for code in codes):
            raise RemoteUnreachableError(
                f"{self.address}: the broker refuses the subscription.",
                hint=f"Grant this user the right to read {self._prefix}#.",
            )

    def _stop_wanting(self, link: Link, topic: str, wanted: _Wanted) -> None:
        others = self._wanted[topic]
        others.remove(wanted)
        wanted.content.cancel()
        if not others:
            del self._wanted[topic]
            if topic != self._prefix + TIMESTAMP and not link.gone.done():
                self._spawn(self._unsubscribe(link, topic), "edgehost.remote.unsubscribe")

    async def _unsubscribe(self, link: Link, topic: str) -> None:
        with suppress(aiomqtt.MqttError):
            await link.client.unsubscribe(topic)

    async def _serve(self, link: Link, online: Callable[[], None]) -> None:
        """Follow the timestamp and hand out what arrives, until the connection ends."""
        try:
            await self._subscribe(link, self._prefix + TIMESTAMP)
        except EdgehostError as error:
            _LOG.warning("%s", error)  # a publisher may have no right to read; its own fetches will say so
        online()
        meter = FloodMeter()
        async for message in link.client.messages:
            topic = str(message.topic)
            content: bytes = message.payload  # what arrives is always bytes
            waiting = tuple(self._wanted.get(topic, ()))
            if (
                message.retain
            ):  # the answer to a subscription; a publication on its way may be older than that
                for wanted in waiting:
                    wanted.take(content)
            if topic.endswith(TIMESTAMP):
                self._note_timestamp(content)
            if len(waiting) == 0 and meter.is_flooded(asyncio.get_running_loop().time()):
                raise FloodError("the broker floods this client with messages that it did not ask for")

    def _note_timestamp(self, content: bytes) -> None:
        if content and content != self._seen_timestamp and len(content) <= METADATA_MOST_BYTES:
            self._seen_timestamp = content
            self._signals.fire()


@asynccontextmanager
async def open_mqtt_transport(name: str, options: MqttOptions) -> AsyncIterator[MqttTransport]:
    """The broker as a transport of the remote ``name``; connects by itself, and again after every cut."""
    async with owned_tasks() as spawn:
        transport = MqttTransport(name, options, spawn)
        spawn(transport.run(), "edgehost.remote.mqtt")
        try:
            yield transport
        finally:
            transport.close()
