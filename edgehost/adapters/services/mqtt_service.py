"""The service ``mqtt``: publishes to a broker, tells what comes, and brings messages to inbound ports."""

from __future__ import annotations

import asyncio
import base64
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import aiomqtt

from edgehost.adapters.services.running_service import running
from edgehost.config_services import MqttOptions
from edgehost.domain.errors import (
    InvalidConfigError,
    NotGrantedError,
    RefusedError,
    TooLargeError,
    UnavailableError,
)
from edgehost.domain.json_text import write_json
from edgehost.domain.spec_reader import SpecReader
from edgehost.domain.topic_filter import LONGEST_TOPIC, is_filter, is_topic, matches_any
from edgehost.ports.service import Service, ServiceHealth, ServiceNotice
from edgehost.ports.topic_source import TopicMessage
from remotes.mqtt_connection import ConnectionKeeper, Link
from remotes.mqtt_options import MqttOptions as BrokerOptions
from remotes.owned_tasks import owned_tasks

_PORTS: Final = {False: 1883, True: 8883}
_INBOX: Final = 256  # messages that wait for inbound ports; then the oldest go
_AGAIN_S: Final = 1.0
_REFUSED: Final = 0x80  # a broker's answer to a subscription, from here on


class MqttService:
    """A Service and a TopicSource over one connection that is kept up."""

    functions: Mapping[str, str] = {
        "publish": 'a message: {"topic", "payload"? (text, or any JSON) or "base64"?, "retain"?}'
    }
    events: Mapping[str, str] = {
        "message": 'one came on a topic of `subscribe`: {"topic", "payload" or "base64"}',
    }

    def __init__(self, name: str, options: MqttOptions, notice: ServiceNotice) -> None:
        self._name, self._options, self._notice = name, options, notice
        self._wanted: frozenset[str] = frozenset()
        self._changed = asyncio.Event()
        self._inbox: deque[TopicMessage] = deque()
        self._filled = asyncio.Event()
        self._dropped = 0
        self._refused: set[str] = set()
        self._keeper = ConnectionKeeper(
            BrokerOptions(
                host=options.host,
                tcp_port=options.tcp_port or _PORTS[options.tls],
                username=options.username,
                password_file=options.password_file,
                tls=options.tls,
                ca_file=options.ca_file,
            ),
            self._serve,
        )
        self._link: Link | None = None

    async def run(self) -> None:
        """Keep a connection until cancelled."""
        await self._keeper.run()

    async def call(self, function: str, given: Any, *, timeout_s: float) -> Any:  # noqa: ANN401, ARG002 - one function
        """Publish, and wait for the broker's word when qos is 1: ``{}``.

        Raises:
            RefusedError, NotGrantedError, TooLargeError: the message is wrong, or not allowed.
            UnavailableError: there is no connection, or the broker does not answer.
        """
        topic, payload, retain = self._read(given)
        try:
            async with asyncio.timeout(timeout_s):
                link = await self._keeper.link()
                await link.client.publish(topic, payload, qos=self._options.qos, retain=retain)
        except TimeoutError:
            why = self._keeper.trouble or "it did not answer in time"
            raise UnavailableError(f"The broker of '{self._name}' was not reached: {why}.") from None
        except aiomqtt.MqttError as error:
            raise UnavailableError(f"The broker of '{self._name}' did not take it: {error}.") from None
        return {}

    def health(self) -> ServiceHealth:
        """Whether there is a connection, and what was lost."""
        if self._keeper.trouble or self._link is None:
            return ServiceHealth("warning", self._keeper.trouble or "not connected yet")
        if self._refused:
            refused = ", ".join(sorted(self._refused))
            return ServiceHealth("warning", f"the broker refuses to subscribe {refused}")
        if self._dropped:
            return ServiceHealth("warning", f"{self._dropped} messages came too fast and were dropped")
        return ServiceHealth()

    def want(self, filters: Iterable[str]) -> None:
        """Bring messages of these filters to ``next_message``."""
        wanted = frozenset(filters)
        if wanted != self._wanted:
            self._wanted = wanted
            self._changed.set()

    async def next_message(self) -> TopicMessage:
        """The next message for an inbound port."""
        while not self._inbox:
            self._filled.clear()
            await self._filled.wait()
        return self._inbox.popleft()

    def _read(self, given: object) -> tuple[str, bytes, bool]:
        if not isinstance(given, Mapping):
            raise RefusedError(f"The service '{self._name}' wants an object with topic and payload.")
        message = SpecReader(given, error=RefusedError)
        topic = message.text("topic", longest=LONGEST_TOPIC)
        retain = message.flag("retain", default=False)
        if not is_topic(topic):
            raise message.refused("topic", f"is {topic[:80]!r}, which cannot be published to.")
        if not matches_any(self._options.publish, topic):
            raise NotGrantedError(
                f"The service '{self._name}' may not publish to {topic[:80]!r}.",
                hint=f"Add a filter to publish of [services.{self._name}].",
            )
        payload = self._payload(message)
        message.refuse_unknown()
        if len(payload) > self._options.message_kib * 1024:
            raise TooLargeError(
                f"The message has {len(payload)} bytes; {self._options.message_kib} KiB are allowed."
            )
        return topic, payload, retain

    def _payload(self, message: SpecReader) -> bytes:
        coded = message.text("base64", default="", longest=self._options.message_kib * 1024 * 2)
        payload = message.anything("payload")
        if coded:
            if payload is not None:
                raise message.refused("payload", "stands beside base64.", hint="Drop one.")
            try:
                return base64.b64decode(coded, validate=True)
            except ValueError:
                raise message.refused("base64", "is no base64.") from None
        if payload is None:
            return b""
        return payload.encode() if isinstance(payload, str) else write_json(payload)

    async def _serve(self, link: Link, online: Callable[[], None]) -> None:
        subscribed: set[str] = set()
        await self._subscribe(link, subscribed)
        self._link = link
        online()
        try:
            async with owned_tasks() as spawn:
                spawn(self._keep_subscribed(link, subscribed), f"edgehost.mqtt.{self._name}")
                async for message in link.client.messages:
                    self._take(message)
        finally:
            self._link = None

    async def _keep_subscribed(self, link: Link, subscribed: set[str]) -> None:
        while True:
            await self._changed.wait()
            try:
                await self._subscribe(link, subscribed)
            except (
                aiomqtt.MqttError
            ):  # a lost connection ends the reading as well; a late answer is asked for again
                await asyncio.sleep(_AGAIN_S)
                self._changed.set()

    async def _subscribe(self, link: Link, subscribed: set[str]) -> None:
        self._changed.clear()
        wanted = self._wanted | set(self._options.subscribe)
        for topic_filter in sorted(subscribed - wanted):
            await link.answered(link.client.unsubscribe(topic_filter))
            subscribed.discard(topic_filter)
            self._refused.discard(topic_filter)
        for topic_filter in sorted(wanted - subscribed):
            answers = await link.answered(link.client.subscribe(topic_filter, qos=self._options.qos))
            subscribed.add(topic_filter)
            (self._refused.add if _is_refused(answers) else self._refused.discard)(topic_filter)

    def _take(self, message: aiomqtt.Message) -> None:
        topic = str(message.topic)
        content: bytes = message.payload  # what arrives is always bytes
        if len(content) > self._options.message_kib * 1024:
            self._dropped += 1
            return
        if matches_any(self._options.subscribe, topic):
            self._notice("message", {"topic": topic, **_told(content)})
        if matches_any(self._wanted, topic):
            if len(self._inbox) >= _INBOX:
                self._inbox.popleft()
                self._dropped += 1
            self._inbox.append(TopicMessage(topic, content))
            self._filled.set()


def _is_refused(answers: Iterable[Any]) -> bool:
    return any(int(getattr(answer, "value", answer)) >= _REFUSED for answer in answers)


def _told(content: bytes) -> dict[str, str]:
    try:
        return {"payload": content.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}


@asynccontextmanager
async def open_mqtt_service(name: str, options: MqttOptions, notice: ServiceNotice) -> AsyncIterator[Service]:
    """A service that connects by itself; a broker that is not there yet is no error.

    Raises:
        InvalidConfigError: a topic filter is none.
    """
    for topic_filter in (*options.subscribe, *options.publish):
        if not is_filter(topic_filter):
            raise InvalidConfigError(
                f"services.{name} holds {topic_filter[:80]!r}, which is no topic filter."
            )
    service = MqttService(name, options, notice)
    async with running(service, name):
        yield service
