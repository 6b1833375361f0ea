"""An operator's connection to a fleet: what the broker retains of its hosts, and what changes while one looks.

A mark that comes back tells the end of what is retained; to a user who may only read, stillness does.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edgehost.domain.errors import TooLargeError, UnavailableError
from edgehost.domain.fleet_topics import ROOT, FleetTopics
from remotes.mqtt_connection import ConnectionKeeper, Link
from remotes.mqtt_options import MqttOptions
from remotes.owned_tasks import owned_tasks, require_wanted

#: A fleet of some thousand hosts with a dozen topics each.
MOST_TOPICS: Final = 100_000
#: Below the fleet's name, where no host can be: the end of what is retained comes back on it.
_MARK: Final = "_operator"


@dataclass(slots=True)
class OperatorLink:
    """Retained payloads by topic; ``changed`` is set whenever one differs."""

    topics: FleetTopics
    options: MqttOptions
    filters: list[str]
    answer_s: float = 10.0  # so long the broker may take for an answer
    still_s: float = (
        2.0  # nothing more that is retained came for so long: then that was all, where no mark comes back
    )
    is_guess: bool = False  # whether the end was told by stillness: this user may not write the mark
    retained: dict[str, bytes] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    _keeper: ConnectionKeeper = field(init=False)
    _is_complete: asyncio.Event = field(default_factory=asyncio.Event)
    _is_too_large: bool = False
    _mark: str = ""
    _marks_return: bool = False  # on this connection
    _came: asyncio.Event = field(default_factory=asyncio.Event)
    _wanted: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._mark = f"{ROOT}/{self.topics.fleet}/{_MARK}/{secrets.token_hex(8)}"
        self._keeper = ConnectionKeeper(self.options, self._serve)

    @property
    def marks(self) -> str:
        """Where marks are written, as a filter."""
        return f"{ROOT}/{self.topics.fleet}/{_MARK}/+"

    async def run(self) -> None:
        """Keep a connection until cancelled."""
        await self._keeper.run()

    async def complete(self) -> None:
        """Return once all that is retained has come.

        Raises:
            UnavailableError: the broker does not answer, or this user may not read what it looks for.
            TooLargeError: there is more than any fleet has.
        """
        try:
            async with asyncio.timeout(self.answer_s):
                await self._is_complete.wait()
        except TimeoutError:
            raise self._silence() from None
        if self._is_too_large:
            raise TooLargeError(
                f"The fleet has more than {MOST_TOPICS} topics; a host has some dozens.",
                hint="See who may publish at the broker.",
            )

    async def listen(self, topic_filter: str) -> None:
        """Bring what is retained there, too; returns once it has come."""
        self.filters.append(topic_filter)
        self._is_complete.clear()
        self._wanted.set()
        await self.complete()

    async def publish(self, topic: str, payload: bytes, *, expires_s: float = 0.0) -> None:
        """Have this retained; an empty payload takes it away. With MQTT 5 the broker forgets it when it expires.

        Raises:
            UnavailableError: the broker did not take it in time.
        """
        try:
            async with asyncio.timeout(self.answer_s):
                link = await self._keeper.link()
                properties = None
                if expires_s and self._keeper.protocol is aiomqtt.ProtocolVersion.V5:
                    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
                    properties.MessageExpiryInterval = max(int(expires_s), 1)
                await link.client.publish(topic, payload, qos=1, retain=True, properties=properties)
        except (TimeoutError, aiomqtt.MqttError) as error:
            raise UnavailableError(
                f"The broker did not take {topic}: {str(error) or self._keeper.trouble or 'no answer'}.",
                hint="Whether it was taken is not known; a command is done once, so giving it again is safe.",
            ) from None

    async def until(self, holds: Callable[[], bool], timeout_s: float) -> bool:
        """Whether it came to hold in time."""
        try:
            async with asyncio.timeout(timeout_s):
                while not holds():
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            return False
        return True

    def _silence(self) -> UnavailableError:
        """Why the end of what is retained did not come."""
        broker = f"The broker {self.options.host}:{self.options.tcp_port}"
        if not self._keeper.connected:
            why = self._keeper.trouble or "it does not answer"
            hint = "Check --broker, the credentials and what the broker lets you read."
            return UnavailableError(f"{broker}: {why.rstrip('.')}.", hint=hint)
        fleet = f"{ROOT}/{self.topics.fleet}"
        return UnavailableError(
            f"{broker} lets you in and shows nothing below {fleet}.",
            hint=f"Is the fleet called '{self.topics.fleet}'? If so, it must let you read {fleet}/#.",
        )

    async def _serve(self, link: Link, online: Callable[[], None]) -> None:
        def take(topic: str, payload: bytes, retained: bool) -> None:  # noqa: FBT001 - see Link.bring
            self._take(topic, payload)
            if retained:
                self._came.set()

        self._is_complete.clear()
        self._marks_return = False
        await link.answered(link.client.subscribe(self._mark, qos=1))
        async with owned_tasks() as spawn:
            spawn(self._ask(link), "edgehost.operator.ask")
            online()
            await link.bring(take)

    async def _ask(self, link: Link) -> None:
        asked = 0
        try:
            # Once before all else: whoever may write has it back before anything is still.
            await link.client.publish(self._mark, b"-", qos=1)
            require_wanted()
            while True:
                self._wanted.clear()
                while asked < len(self.filters):
                    await link.answered(link.client.subscribe(self.filters[asked], qos=1))
                    asked += 1
                await link.client.publish(self._mark, str(asked).encode(), qos=1)
                require_wanted()  # the mark comes back with the answer, and whoever only looks ends then
                await self._until_still()
                await self._wanted.wait()
        except aiomqtt.MqttError:
            return  # the reading ends as well

    async def _until_still(self) -> None:
        """Where the broker drops the mark: all has come once something had, and then nothing for a while."""
        while not self._marks_return:
            self._came.clear()
            try:
                async with asyncio.timeout(self.still_s):
                    await self._came.wait()
            except TimeoutError:
                if self.retained:
                    self.is_guess = True
                    self._is_complete.set()
                    return

    def _take(self, topic: str, payload: bytes) -> None:
        if topic == self._mark:
            self._marks_return, self.is_guess = True, False
            self._came.set()
            if payload == str(len(self.filters)).encode():
                self._is_complete.set()
            return
        if payload:
            if topic not in self.retained and len(self.retained) >= MOST_TOPICS:
                self._is_too_large = True
                self._is_complete.set()
                return
            self.retained[topic] = payload
        else:
            self.retained.pop(topic, None)
        self.changed.set()


@asynccontextmanager
async def open_operator_link(
    topics: FleetTopics, options: MqttOptions, filters: list[str]
) -> AsyncIterator[OperatorLink]:
    """A link that has seen all that is retained.

    Raises:
        UnavailableError: the broker does not answer.
    """
    link = OperatorLink(topics, options, filters)
    async with owned_tasks() as spawn:
        spawn(link.run(), "edgehost.operator")
        await link.complete()
        yield link
