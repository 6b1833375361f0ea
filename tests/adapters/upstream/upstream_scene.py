"""A broker, an upstream at it, and a listener by mosquitto_sub that reads Sparkplug B by the schema that others built."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edgehost.adapters.broker.embedded_broker import EmbeddedBroker
from edgehost.adapters.upstream.discovery import Discovery, HomeTopics
from edgehost.adapters.upstream.home_assistant import HomeAssistant
from edgehost.adapters.upstream.sparkplug import Sparkplug, SparkplugTopics
from edgehost.domain.upstream_node import HOST, FigureKind, UpstreamNode, Version
from remotes.mqtt_connection import Link
from remotes.mqtt_options import MqttOptions
from remotes.owned_tasks import owned_tasks
from tests.adapters.fleet.fleet_scene import Tools
from tests.required_tools import require_tool

CACHE = Path(os.environ.get("EDGEHOST_TEST_CACHE") or Path.home() / ".cache" / "edgehost-tests")
WHEEL = "pysparkplug-0.6.1-py3-none-any.whl"
WHEEL_SHA256 = "30ec197f3b091832fcec4b16330032c9c72af82f677b4e22483e988c4b39024a"
SCHEMA = "pysparkplug/_protobuf/sparkplug_b_pb2.py"

HOST_NODE = UpstreamNode(
    HOST,
    "journey",
    online=True,
    model="generic (x86_64)",
    software="0.1.0",
    told=True,
    figures={"temperature_c": 41.5, "uptime_s": 12.0},
    versions={"telemetry": Version("1.0.0", "1.1.0")},
)
LAMP_NODE = UpstreamNode(
    "lamp",
    "journey lamp",
    online=True,
    model="pico",
    software="1.0.0",
    serial="0102",
    told=True,
    figures={"up_ms": 5, "component.on": True, "component.level": 0.5, "component.mood": "calm"},
)
KINDS = {"component.level": FigureKind("Level", "%", "humidity")}


def options(broker: EmbeddedBroker, version: Any = "auto") -> MqttOptions:
    return MqttOptions(host="127.0.0.1", tcp_port=broker.tcp_port, mqtt_version=version, backoff_base_s=0.05)


@dataclass
class Presses:
    """What was pressed."""

    all: list[tuple[str, str]] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, node: str, button: str) -> None:
        self.all.append((node, button))
        self.came.set()


def broken(link: Link) -> None:
    """The line breaks: the broker tells the will."""
    line: Any = link.client._client._sock
    line.shutdown(socket.SHUT_RDWR)


@asynccontextmanager
async def forgotten(
    broker: EmbeddedBroker, name: str, topic: str, will: bytes, *, retain: bool
) -> AsyncIterator[None]:
    """A connection of this host from before a loss of power, which the broker believes in."""
    words = [require_tool("mosquitto_sub"), "-p", str(broker.tcp_port), "-i", name, "-t", topic, "-k", "600"]
    words += ["--will-topic", topic, "--will-payload", will.decode("latin-1"), "--will-qos", "1"]
    await Tools(broker).publish(topic, "listens")
    process = await asyncio.create_subprocess_exec(
        *words, *(["--will-retain"] if retain else []), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"listens\n"
        process.send_signal(signal.SIGSTOP)
        yield
    finally:
        process.kill()
        await process.communicate()  # to its end, or the pipe stays open


@asynccontextmanager
async def home(
    broker: EmbeddedBroker,
    *nodes: UpstreamNode,
    version: str = "auto",
    buttons: bool = False,
    events: bool = False,
    pressed: Presses | None = None,
) -> AsyncIterator[HomeAssistant]:
    topics = HomeTopics("homeassistant", "edgehost/upstream", "journey")
    discovery = Discovery(topics, "0.1.0", KINDS, buttons=buttons, events=events)
    upstream = HomeAssistant(topics, options(broker, version), discovery, pressed or Presses())
    for node in nodes:
        upstream.show(node)
    async with owned_tasks() as spawn:
        spawn(upstream.run(), "home")
        yield upstream


@asynccontextmanager
async def plant(
    broker: EmbeddedBroker, *nodes: UpstreamNode, version: str = "auto"
) -> AsyncIterator[Sparkplug]:
    topics = SparkplugTopics("yard", "journey")
    wall = time.time  # noqa: TID251 - judged against the machine's clock
    upstream = Sparkplug(topics, options(broker, version), wall, KINDS)
    for node in nodes:
        upstream.show(node)
    async with owned_tasks() as spawn:
        spawn(upstream.run(), "plant")
        yield upstream


@dataclass
class Message:
    """A message of Sparkplug B, as the schema reads it."""

    kind: str
    device: str
    retain: bool
    qos: int
    payload: Any

    @property
    def values(self) -> dict[str, Any]:
        return {each.name: value_of(each) for each in self.payload.metrics}

    @property
    def bd_seq(self) -> int:
        number: int = self.values["bdSeq"]
        return number


def value_of(metric: Any) -> Any:
    return None if metric.is_null else getattr(metric, metric.WhichOneof("value"))


@dataclass
class Plant:
    """Messages as they come."""

    stream: asyncio.StreamReader
    schema: Any

    async def next(self, *, timeout_s: float = 20) -> Message:
        async with asyncio.timeout(timeout_s):
            line = (await self.stream.readline()).decode().split()
            while "/NCMD/" in line[0]:  # ours
                line = (await self.stream.readline()).decode().split()
        topic, retain, qos = line[:3]
        _, group, kind, node, *device = topic.split("/")
        assert (group, node) == ("yard", "journey")
        payload = self.schema.Payload.FromString(bytes.fromhex(line[3]))
        return Message(kind, "".join(device), retain == "1", int(qos), payload)

    async def until(self, kind: str, holds: Callable[[Message], bool] = lambda _message: True) -> Message:
        while True:
            message = await self.next()
            if message.kind == kind and holds(message):
                return message


@asynccontextmanager
async def plant_heard(broker: EmbeddedBroker) -> AsyncIterator[Plant]:
    """Listen by mosquitto_sub; what is retained comes first, and shows that it listens."""
    schema = sparkplug_schema()
    ready = "spBv1.0/yard/READY/journey"
    await Tools(broker).publish(ready, "now")
    process = await asyncio.create_subprocess_exec(
        require_tool("mosquitto_sub"),
        *("-p", str(broker.tcp_port), "-t", "spBv1.0/#", "-F", "%t %r %q %x", "-q", "1"),
        stdout=asyncio.subprocess.PIPE,
        limit=2**20,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            assert (await process.stdout.readline()).startswith(ready.encode())
        yield Plant(process.stdout, schema)
    finally:
        process.kill()  # its handler of SIGTERM may wait for a lock that it holds itself
        await process.communicate()  # to its end, or the pipe stays open


def sparkplug_schema() -> Any:
    """The messages that protobuf's compiler made of the official schema; only this file of the package is loaded."""
    pytest.importorskip("google.protobuf")
    name = "sparkplug_b_pb2"
    if name not in sys.modules:
        path = CACHE / "pysparkplug-0.6.1" / "sparkplug_b_pb2.py"
        if not path.exists():
            _fetch(path)
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


def _fetch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = path.parent / str(os.getpid())
    folder.mkdir(exist_ok=True)
    pins = folder / "pins.txt"
    pins.write_text(f"pysparkplug==0.6.1 --hash=sha256:{WHEEL_SHA256}\n")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run(
        [*command, "--dest", str(folder), "--require-hashes", "-r", str(pins)],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        reason = f"The schema of Sparkplug B could not be fetched: {done.stderr[-300:]}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with zipfile.ZipFile(folder / WHEEL) as archive:
        (folder / "schema.py").write_bytes(archive.read(SCHEMA))
    (folder / "schema.py").rename(path)
