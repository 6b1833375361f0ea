"""Sparkplug B 3.0 over MQTT: an Upstream whose host is an edge node, and whose devices are the devices behind it.

Births come first and tell every metric; data tells what has changed since. Nothing is retained: whoever comes later
asks for a rebirth. The will is the death of this connection, told apart from earlier ones by bdSeq.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import aiomqtt

from edgehost.adapters.upstream.at_broker import AtBroker, read_beside, say_goodbye
from edgehost.adapters.upstream.client_id import client_id
from edgehost.adapters.upstream.sparkplug_payload import (
    BOOLEAN,
    INT64,
    STRING,
    Metric,
    asked_for,
    datatype_of,
    encode_payload,
)
from edgehost.domain.errors import RefusedError
from edgehost.domain.events import Event
from edgehost.domain.json_text import tell_json
from edgehost.domain.upstream_node import HOST, FigureKind, UpstreamNode, Value, kind_of
from remotes.mqtt_connection import ConnectionKeeper, Link
from remotes.mqtt_options import MqttOptions

log = logging.getLogger("edgehost.upstream")

REBIRTH: Final = "Node Control/Rebirth"
_EVENT: Final = "Event"
_NAMESPACE: Final = "spBv1.0"
#: seq and bdSeq are bytes.
_ROUND: Final = 256
#: Host applications ask for a rebirth at each gap that they see; one answers all of them.
_REBIRTH_APART_S: Final = 1.0
_PACKET_MOST_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class SparkplugTopics:
    """The topics of one edge node."""

    group: str
    node: str

    def of(self, kind: str, device: str = "") -> str:
        """The topic of a kind of message."""
        return f"{_NAMESPACE}/{self.group}/{kind}/{self.node}" + (f"/{device}" if device else "")


@dataclass(slots=True)
class Sparkplug(AtBroker):
    """Meets Upstream."""

    topics: SparkplugTopics
    options: MqttOptions
    now: Callable[[], float]  # unix seconds
    kinds: Mapping[str, FigureKind] = field(default_factory=dict)
    _born: dict[str, dict[str, Metric]] = field(default_factory=dict)  # by node: its metrics as last told
    _event: str | None = None
    _bd_seq: int = -1
    _seq: int = 0
    _rebirth: bool = False

    def __post_init__(self) -> None:
        options = replace(
            self.options,
            client_id=self.options.client_id or client_id(self.topics.of("NDEATH")),
            will_topic=self.topics.of("NDEATH"),
            will_retain=False,
            packet_most_bytes=_PACKET_MOST_BYTES,
        )
        self._keeper = ConnectionKeeper(options, self._serve, renewed=self._with_next_death)

    def tell(self, event: Event) -> None:
        """The last event is a metric of the edge node."""
        self._event = tell_json({"type": event.type, "subject": event.subject, "at": event.at}).decode()
        if HOST in self.nodes:
            self._dirty[HOST] = None
            self._work.set()

    def _with_next_death(self, options: MqttOptions) -> MqttOptions:
        self._bd_seq = (self._bd_seq + 1) % _ROUND
        return replace(options, will_payload=self._death())

    def _death(self) -> bytes:
        return encode_payload([Metric("bdSeq", INT64, self._bd_seq)], at_ms=self._now_ms(), seq=None)

    async def _serve(self, link: Link, online: Callable[[], None]) -> None:
        try:
            async with read_beside(self._read(link)):
                await link.answered(link.client.subscribe(self.topics.of("NCMD"), qos=1))
                await self._bear(link)
                online()
                await self._write(link)
        finally:
            await say_goodbye(link, self.topics.of("NDEATH"), self._death(), retain=False)

    async def _read(self, link: Link) -> None:
        async for message in link.client.messages:
            payload: bytes = message.payload  # what arrives is always bytes
            try:
                asked = asked_for(payload, REBIRTH)
            except RefusedError as error:
                log.warning("A command for %s is none: %s", self.topics.node, error.message)
                continue
            if asked and not message.retain:
                self._rebirth = True
                self._work.set()
        raise aiomqtt.MqttError("the broker closed the connection")

    async def _write(self, link: Link) -> None:
        """Publish what is due, until the connection ends."""
        while True:
            self._work.clear()
            if self._rebirth:
                await self._bear(link)
                self._rebirth = False
                await asyncio.sleep(_REBIRTH_APART_S)
            await self._show_changed(link)
            if not self._rebirth:
                await self._work.wait()

    async def _bear(self, link: Link) -> None:
        """The edge node's birth, and with it those of all its devices."""
        self._seq = 0
        self._born.clear()
        self._dirty.clear()
        host = self.nodes.get(HOST, UpstreamNode(HOST, self.topics.node, online=True))
        control = [Metric("bdSeq", INT64, self._bd_seq), Metric(REBIRTH, BOOLEAN, value=False)]
        await self._publish(link, "NBIRTH", HOST, [*control, *self._remember(host)])
        for name, node in self.nodes.items():
            if name != HOST and node.online:
                await self._publish(link, "DBIRTH", name, self._remember(node))

    async def _show(self, link: Link, node: UpstreamNode) -> None:
        born = self._born.get(node.name)
        if node.name != HOST and not node.online:
            if born is not None:
                del self._born[node.name]
                await self._publish(link, "DDEATH", node.name, [])
            return
        metrics = self._metrics(node)
        if born is None or any(
            name not in born or born[name].datatype != metric.datatype for name, metric in metrics.items()
        ):
            if node.name == HOST:
                await self._bear(link)
            else:
                await self._publish(link, "DBIRTH", node.name, self._remember(node))
            return
        gone = [replace(metric, value=None) for name, metric in born.items() if name not in metrics]
        changed = [
            metric
            for metric in (*metrics.values(), *gone)
            if not _same(metric.value, born[metric.name].value)
        ]
        born.update({metric.name: metric for metric in changed})
        if changed:
            await self._publish(link, "NDATA" if node.name == HOST else "DDATA", node.name, changed)

    def _remember(self, node: UpstreamNode) -> list[Metric]:
        metrics = self._born[node.name] = self._metrics(node)
        return list(metrics.values())

    def _metrics(self, node: UpstreamNode) -> dict[str, Metric]:
        born = self._born.get(node.name, {})
        metrics: list[Metric] = []
        for path, value in node.figures.items():
            name = path.replace(".", "/")
            if value is None and name not in born:
                continue  # its datatype is not known yet
            datatype = born[name].datatype if value is None else datatype_of(value)
            metrics.append(Metric(name, datatype, value, unit=kind_of(path, self.kinds).unit))
        about = {"Properties/Model": node.model, "Properties/Software": node.software}
        for component, version in node.versions.items():
            about[f"Components/{component}/Version"] = version.installed
            about[f"Components/{component}/Latest"] = version.latest
        metrics += [Metric(name, STRING, value) for name, value in about.items() if value]
        if node.name == HOST and self._event is not None:
            metrics.append(Metric(_EVENT, STRING, self._event))
        return {metric.name: metric for metric in metrics}

    async def _publish(self, link: Link, kind: str, device: str, metrics: list[Metric]) -> None:
        at_ms = self._now_ms()
        payload = encode_payload(
            [replace(metric, at_ms=at_ms) for metric in metrics], at_ms=at_ms, seq=self._seq
        )
        self._seq = (self._seq + 1) % _ROUND
        await link.answered(link.client.publish(self.topics.of(kind, device), payload, qos=0))

    def _now_ms(self) -> int:
        return max(int(self.now() * 1000), 0)


def _same(left: Value, right: Value) -> bool:
    return left == right and type(left) is type(right)
