"""Many hosts as processes at one broker: started in turn, called all the time, watched by mosquitto_sub."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edgehost.adapters.broker.embedded_broker import EmbeddedBroker, open_broker
from edgehost.cli.demo_fleet import REMOTE, DemoFleet
from edgehost.cli.demo_host import DemoHost
from edgehost.domain.deployment_reader import signed_bytes
from edgehost.domain.signed_document import DocumentKind
from remotes.document_publisher import publish_document
from remotes.mirror import mirror_repository
from remotes.mqtt_options import MqttOptions
from remotes.mqtt_transport import open_mqtt_transport
from remotes.repository import Repository
from tests.required_tools import require_tool

FLEET: Final = "yard"
#: When the one who watches has seen it, it watches.
_MARK: Final = "watch/mark"
#: Started side by side; more only wait for the processors.
_STARTING: Final = 3
_CONFIG: Final = """\
[host]
name = "{name}"
data = "data"
config_trial_s = 0

[host.labels]
site = "{site}"

[api]
tcp_port = 0
listen = ""

[probation]
seconds = {probation_s}

[[remotes]]
name = "{remote}"
transport = "mqtt"
host = "127.0.0.1"
tcp_port = {tcp_port}
root = "../root.json"

[fleet]
name = "{fleet}"
host = "127.0.0.1"
tcp_port = {tcp_port}
measure_s = 3600
settle_s = 1
commands = "{commands}"
"""


@dataclass
class Sighting:
    """What mosquitto_sub has seen of the fleet, in the order in which the broker brought it."""

    reports: list[tuple[float, str, dict[str, Any]]] = field(default_factory=list)  # when, host, report
    newest: dict[str, Any] = field(default_factory=dict)  # by topic below the fleet
    _moved: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def read(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            name, _, payload = line.rstrip(b"\n").partition(b" ")
            topic = name.decode().removeprefix(f"edgehost/{FLEET}/")
            try:
                document = json.loads(payload) if payload not in {b"", b"(null)"} else None
            except ValueError:
                continue
            host, _, below = topic.partition("/")
            async with self._moved:
                self.newest[topic] = document
                if below.startswith("twin/deployment/") and document is not None:
                    told = {**document, "deployment": below.rpartition("/")[2]}
                    self.reports.append((time.perf_counter(), host, told))
                self._moved.notify_all()

    async def until(self, holds: Callable[[], bool], *, timeout_s: float = 60) -> float:
        """Wait for what the broker shows; returns the moment (perf_counter)."""
        try:
            async with asyncio.timeout(timeout_s), self._moved:
                await self._moved.wait_for(holds)
                return time.perf_counter()
        except TimeoutError:
            reports = {
                topic: each for topic, each in self.newest.items() if "/twin/deployment/" in topic and each
            }
            shown = [
                f"{topic}: {each['sequence']} {each['state']} in wave {each['wave']}. {each['reason']}"
                for topic, each in sorted(reports.items(), key=lambda item: item[1]["wave"])
            ]
            raise AssertionError(f"The fleet did not get there: {chr(10).join(shown)}") from None

    def states(self, deployment: str, sequence: int) -> Counter[str]:
        """How many hosts are in which state of a deployment."""
        return Counter(
            report["state"]
            for topic, report in self.newest.items()
            if topic.endswith(f"/twin/deployment/{deployment}") and report and report["sequence"] == sequence
        )

    def first(self, sequence: int, *states: str) -> dict[str, tuple[int, float, dict[str, Any]]]:
        """Each host's first report in one of these states: its place in the order, when, and the report."""
        found: dict[str, tuple[int, float, dict[str, Any]]] = {}
        for place, (at, host, report) in enumerate(self.reports):
            if report["sequence"] == sequence and report["state"] in states:
                found.setdefault(host, (place, at, report))
        return found


@dataclass
class Load:
    """Calls a model of one host all the time, over a connection that is kept."""

    socket: Path
    request: bytes
    every_s: float = 0.2
    calls: int = 0
    slowest_s: float = 0.0
    failed: list[str] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)

    async def run(self) -> None:
        reader, writer = await asyncio.open_unix_connection(str(self.socket))
        try:
            while True:
                began = time.perf_counter()
                writer.write(self.request)
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
                body = await reader.readexactly(int(fields["content-length"]))
                self.calls += 1
                self.slowest_s = max(self.slowest_s, time.perf_counter() - began)
                if head.split(" ", 2)[1] == "200":
                    self.answers[body.decode()] += 1
                else:
                    self.failed.append(f"{head.splitlines()[0]} {body.decode()}")
                await asyncio.sleep(self.every_s)
        except (OSError, EOFError) as error:
            self.failed.append(f"{type(error).__name__}: {error}")
        finally:
            writer.close()


def request(method: str, path: str, body: str = "") -> bytes:
    """The bytes of one HTTP request."""
    content = body.encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: local\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


@dataclass
class HostFleet:
    """The hosts, their broker, and whoever publishes for them."""

    folder: Path
    broker: EmbeddedBroker
    publisher: DemoFleet
    hosts: dict[str, DemoHost] = field(default_factory=dict)
    loads: dict[str, Load] = field(default_factory=dict)
    seen: Sighting = field(default_factory=Sighting)

    def add(
        self, name: str, site: str, commands: str = "trusted-broker", more: str = "", probation_s: int = 5
    ) -> DemoHost:
        """A host that can be started."""
        room = self.folder / name
        room.mkdir()
        text = _CONFIG.format(
            name=name,
            site=site,
            remote=REMOTE,
            fleet=FLEET,
            tcp_port=self.broker.tcp_port,
            commands=commands,
            probation_s=probation_s,
        )
        (room / "edgehost.toml").write_text(text + more)
        self.hosts[name] = DemoHost(room / "edgehost.toml", room / "data" / "edgehost.sock")
        return self.hosts[name]

    async def start(self) -> None:
        """Start those that do not run, a few at a time."""
        turn = asyncio.Semaphore(_STARTING)

        async def start(host: DemoHost) -> None:
            async with turn:
                await host.start()

        async with asyncio.TaskGroup() as tasks:
            for host in self.hosts.values():
                if host.process is None:
                    tasks.create_task(start(host))

    async def stop(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for host in self.hosts.values():
                tasks.create_task(host.stop())

    async def publish(self, content: bytes) -> None:
        """Sign a component and bring it to the broker."""
        await self.publisher.mirror(await asyncio.to_thread(self.publisher.sign, content))

    async def deploy(self, document: Mapping[str, Any]) -> None:
        """Sign a deployment and bring it to the broker."""
        published = await asyncio.to_thread(
            publish_document,
            self.publisher.repository,
            DocumentKind.DEPLOYMENT,
            document["name"],
            lambda sequence: signed_bytes(document, sequence),
            signers=[self.publisher.online],
            now=time.time(),  # noqa: TID251 - the publisher's wall clock
        )
        await self.publisher.mirror(published)

    async def mirror_all(self) -> None:
        """Bring everything to a broker that has forgotten it."""
        async with open_mqtt_transport(REMOTE, self.publisher.broker) as transport:
            await mirror_repository(Repository(self.publisher.repository), transport)

    @asynccontextmanager
    async def called(self, what: bytes, every_s: float = 0.2) -> AsyncIterator[None]:
        """Every host is called all the time within the block."""
        self.loads = {name: Load(host.socket, what, every_s) for name, host in self.hosts.items()}
        tasks = [asyncio.create_task(load.run(), name=f"load {name}") for name, load in self.loads.items()]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    @property
    def failed(self) -> list[str]:
        """Every call that was not answered as it should be."""
        return [f"{name}: {why}" for name, load in self.loads.items() for why in load.failed]

    def versions(self, component: str) -> Counter[str]:
        """How many hosts show which version of a component to be live."""
        shown = Counter[str]()
        for name in self.hosts:
            twin = self.seen.newest.get(f"{name}/twin/components") or {}
            shown[twin.get(component, {}).get("version", "")] += 1
        return shown


async def retained(broker: EmbeddedBroker, topic: str) -> None:
    """Have the broker keep something, for whoever listens later."""
    words = ("-p", str(broker.tcp_port), "-t", topic, "-m", "{}", "-r", "-q", "1")
    process = await asyncio.create_subprocess_exec(require_tool("mosquitto_pub"), *words)
    assert await process.wait() == 0


@asynccontextmanager
async def host_fleet(folder: Path) -> AsyncIterator[HostFleet]:
    """A broker, a publisher and a watch; leaving the block stops the hosts."""
    async with open_broker(kind="mosquitto") as broker:
        publisher = DemoFleet(folder / "publisher", MqttOptions(broker.host, broker.tcp_port))
        (folder / "root.json").write_bytes(publisher.make().read_bytes())
        fleet = HostFleet(folder, broker, publisher)
        await retained(broker, _MARK)
        watch = await asyncio.create_subprocess_exec(
            require_tool("mosquitto_sub"),
            *("-p", str(broker.tcp_port), "-t", f"edgehost/{FLEET}/#", "-t", _MARK, "-F", "%t %p", "-q", "1"),
            stdout=asyncio.subprocess.PIPE,
            limit=2**20,
        )
        assert watch.stdout is not None
        reading = asyncio.create_task(fleet.seen.read(watch.stdout), name="sighting")
        try:
            await fleet.seen.until(lambda: _MARK in fleet.seen.newest)  # it watches
            yield fleet
        finally:
            reading.cancel()
            await fleet.stop()
            watch.kill()  # its handler of SIGTERM may wait for a lock that it holds itself
            await watch.communicate()  # to its end, or the pipe stays open
