"""Home Assistant over MQTT: an Upstream that keeps its entities right over every loss of broker and Home Assistant.

At each connection the broker shows what it retains of this host: what differs is published, what is no longer
configured is taken away. Home Assistant's birth message has everything said once more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

import aiomqtt

from edgehost.adapters.upstream.at_broker import AtBroker, read_beside, say_goodbye
from edgehost.adapters.upstream.client_id import client_id
from edgehost.adapters.upstream.discovery import (
    OFFLINE,
    ONLINE,
    Components,
    Discovery,
    HomeTopics,
    known_components,
    merged,
)
from edgehost.domain.events import Event
from edgehost.domain.json_text import tell_json
from edgehost.domain.names import NAME
from edgehost.domain.upstream_node import HOST, RESTART, ROLL_BACK, UpstreamNode
from edgehost.ports.upstream import Pressed
from remotes.mqtt_connection import ConnectionKeeper, Link
from remotes.mqtt_options import MqttOptions

log = logging.getLogger("edgehost.upstream")

#: The broker brings back what is published within this time, or it brings nothing back.
_SETTLE_S: Final = 5.0
#: Home Assistant subscribes before it says that it is there; it asks for a pause, so that not all answer at once.
_BIRTH_PAUSE_S: Final = 0.5
_MOST_PRESS_BYTES: Final = 16
#: A device has some hundred bytes for each entity.
PACKET_MOST_BYTES: Final = 512 * 1024
INBOX: Final = 1024


@dataclass(slots=True)
class HomeAssistant(AtBroker):
    """Meets Upstream."""

    topics: HomeTopics
    options: MqttOptions
    discovery: Discovery
    pressed: Pressed = lambda _node, _button: None
    _wanted: dict[str, bytes] = field(default_factory=dict)  # by topic; b"": nothing may be there
    _there: dict[str, bytes] = field(default_factory=dict)  # as the broker has it
    _components: dict[str, Components] = field(default_factory=dict)  # by node, as last told
    _marks: set[bytes] = field(default_factory=set)
    _marked: asyncio.Event = field(default_factory=asyncio.Event)
    _settled: bool = False
    _reassert: bool = False

    def __post_init__(self) -> None:
        will = replace(
            self.options,
            client_id=self.options.client_id or client_id(self.topics.own),
            will_topic=self.topics.of(HOST, "status"),
            will_payload=OFFLINE,
            packet_most_bytes=PACKET_MOST_BYTES,
            inbox=INBOX,
        )
        self._keeper = ConnectionKeeper(will, self._serve)

    def tell(self, event: Event) -> None:
        """The last event stands at the broker until the next one comes."""
        document = {"type": event.type, "subject": event.subject, "at": round(event.at, 3)}
        self._wanted[self.topics.of(HOST, "event")] = tell_json(document)
        self._work.set()

    async def _serve(self, link: Link, online: Callable[[], None]) -> None:
        self._there.clear()
        self._components.clear()
        self._settled = False
        try:
            async with read_beside(self._read(link)):
                await self._see_what_is_there(link)
                online()
                await self._write(link)
        finally:
            await say_goodbye(link, self.topics.of(HOST, "status"), OFFLINE, retain=True)

    async def _see_what_is_there(self, link: Link) -> None:
        """Let the broker show what it retains of this host; then only what may come is listened to."""
        await link.answered(link.client.subscribe(self.topics.own, qos=1))
        await self._mark(link, b"own")
        seen = {found[0] for topic in self._there if (found := self.topics.node_in(topic)) is not None}
        strangers = {name for name in seen if NAME.fullmatch(name) and name not in self.nodes}
        for name in (*self.nodes, *strangers):
            await link.answered(link.client.subscribe(self.topics.config(name), qos=1))
        await self._mark(link, b"config")
        for name in (*self.nodes, *strangers):
            await link.answered(link.client.unsubscribe(self.topics.config(name)))
        await link.answered(link.client.unsubscribe(self.topics.own))
        self._settled = True
        await link.answered(link.client.subscribe(self.topics.birth, qos=1))
        if self.discovery.buttons:
            for each in self.topics.presses:
                await link.answered(link.client.subscribe(each, qos=1))
        self._wanted = {topic: payload for topic, payload in self._wanted.items() if payload}
        for name in strangers:
            log.info("%s is no longer shown to Home Assistant.", name)
            self._take_away(name)
        for name in self.nodes:
            self._components[name] = known_components(self._there.get(self.topics.config(name), b""))
            self._dirty[name] = None

    def _take_away(self, node: str) -> None:
        """Nothing of the node is left at the broker; its entities go."""
        for topic in (self.topics.config(node), *self._topics_there(node)):
            self._wanted[topic] = b""

    def _topics_there(self, node: str) -> Iterable[str]:
        return [topic for topic in self._there if (found := self.topics.node_in(topic)) and found[0] == node]

    async def _mark(self, link: Link, mark: bytes) -> None:
        self._marked.clear()
        self._marks = {mark}
        await link.answered(link.client.publish(self.topics.mark, mark, qos=1))
        try:
            async with asyncio.timeout(_SETTLE_S):
                await self._marked.wait()
        except TimeoutError:
            raise aiomqtt.MqttError("the broker does not bring back what is published") from None

    async def _read(self, link: Link) -> None:
        async for message in link.client.messages:
            payload: bytes = message.payload  # what arrives is always bytes
            topic = str(message.topic)
            if topic == self.topics.mark:
                if payload in self._marks:
                    self._marked.set()
            elif topic == self.topics.birth:
                if payload == ONLINE and not message.retain:  # a retained one is from before we came
                    self._reassert = True
                    self._work.set()
            elif not self._settled:
                if payload and len(self._there) < INBOX:
                    self._there[topic] = payload
            elif not message.retain:  # a press that is retained would be pressed again at every start
                self._press(topic, payload)
        raise aiomqtt.MqttError("the broker closed the connection")

    def _press(self, topic: str, payload: bytes) -> None:
        found = self.topics.node_in(topic)
        if found is None or found[1] != "press" or len(payload) > _MOST_PRESS_BYTES:
            return
        name, button = found[0], payload.decode("ascii", "replace")
        allowed = {RESTART} if name == HOST else {RESTART, ROLL_BACK}
        if self.discovery.buttons and name in self.nodes and button in allowed:
            self.pressed(name, button)

    async def _write(self, link: Link) -> None:
        """Publish what is due, until the connection ends."""
        while True:
            self._work.clear()
            if self._reassert:
                await asyncio.sleep(_BIRTH_PAUSE_S)
                self._reassert = False
                self._there.clear()
                for name in self.nodes:
                    self._dirty[name] = None
            await self._show_changed(link)
            for topic, payload in tuple(self._wanted.items()):
                await self._publish(link, topic, payload)
            await self._work.wait()

    async def _show(self, link: Link, node: UpstreamNode) -> None:
        current, before = self.discovery.components(node), self._components.get(node.name, {})
        once, stays = merged(current, before, told=node.told)
        config = self.topics.config(node.name)
        if once != stays:
            await self._publish(link, config, self.discovery.message(node, once))
        self._components[node.name] = stays
        for topic, payload in (
            (config, self.discovery.message(node, stays)),
            (self.topics.of(node.name, "state"), self.discovery.state(node)),
            (self.topics.of(node.name, "status"), ONLINE if node.online else OFFLINE),
        ):
            self._wanted[topic] = payload
            await self._publish(link, topic, payload)

    async def _publish(self, link: Link, topic: str, payload: bytes) -> None:
        if self._there.get(topic, b"") == payload:
            return
        await link.answered(link.client.publish(topic, payload, qos=1, retain=True))
        if payload:
            self._there[topic] = payload
        else:
            self._there.pop(topic, None)
            self._wanted.pop(topic, None)
