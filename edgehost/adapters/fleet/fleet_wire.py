"""How a host of a fleet publishes and subscribes, with MQTT 5 and with 3.1.1, and what waits to be told."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from aiomqtt import ProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from remotes.mqtt_connection import Link
from remotes.owned_tasks import require_wanted

_TELLING: Final = 256  # what waits to be told; then the oldest goes
_REFUSED: Final = 0x80


@dataclass(slots=True)
class FleetWire:
    """Over one connection after another."""

    protocol: Callable[[], ProtocolVersion]  # that is spoken now
    own_echo: str  # the topic that brings the host's own word back to it on purpose
    told: int = 0
    untold: int = 0
    refused_filters: set[str] = field(default_factory=set)
    _telling: deque[tuple[str, bytes, bool, float]] = field(default_factory=deque)
    _echoes: deque[tuple[str, bytes]] = field(default_factory=lambda: deque(maxlen=256))

    def connected(self) -> None:
        """A new connection brings nothing back that was said on another."""
        self._echoes.clear()

    def queue(self, topic: str, payload: bytes, *, retain: bool, expires_s: float = 0.0) -> None:
        """Have it said; of too many the oldest are left out."""
        if len(self._telling) >= _TELLING:
            self._telling.popleft()
            self.untold += 1
        self._telling.append((topic, payload, retain, expires_s))

    async def tell(self, link: Link) -> None:
        """Say what waits."""
        while self._telling:
            topic, payload, retain, expires_s = self._telling.popleft()
            await self.publish(link, topic, payload, retain=retain, expires_s=expires_s)
            self.told += 1

    async def publish(
        self, link: Link, topic: str, payload: bytes, *, retain: bool, expires_s: float = 0.0
    ) -> None:
        """Say it now."""
        properties = None
        if self.protocol() is ProtocolVersion.V5:
            if expires_s:
                properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
                properties.MessageExpiryInterval = max(int(expires_s), 1)
        elif topic != self.own_echo:
            self._echoes.append((topic, payload))  # MQTT 3.1.1 brings us our own
        await link.client.publish(topic, payload, qos=1, retain=retain, properties=properties)
        require_wanted()

    def is_echo(self, topic: str, payload: bytes) -> bool:
        """Whether it is only what this host has said; asked once of each message."""
        if (topic, payload) not in self._echoes:
            return False
        self._echoes.remove((topic, payload))
        return True

    async def subscribe(
        self, link: Link, filters: tuple[str, ...], subscribed: set[str], *, echo: bool = False
    ) -> None:
        """Those that are not in ``subscribed`` yet; what the broker refuses is noted."""
        for each in filters:
            if each in subscribed:
                continue
            if self.protocol() is ProtocolVersion.V5:
                answers: Any = await link.client.subscribe(
                    each, options=SubscribeOptions(qos=1, noLocal=not echo)
                )
            else:
                answers = await link.client.subscribe(each, qos=1)
            require_wanted()
            subscribed.add(each)
            refused = any(int(getattr(answer, "value", answer)) >= _REFUSED for answer in answers)
            (self.refused_filters.add if refused else self.refused_filters.discard)(each)
