"""The story of the demo: every step does the real thing and says what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edgehost.adapters.broker.embedded_broker import EmbeddedBroker, Kind, open_broker
from edgehost.cli.demo_figures import DemoFigures, children, private_mb, pss_mb
from edgehost.cli.demo_fleet import REMOTE, DemoFleet, as_version, demo_component
from edgehost.cli.demo_host import DemoHost, HeardEvents
from edgehost.cli.demo_load import SteadyLoad
from edgehost.cli.output import Output
from remotes.mqtt_options import MIRROR_MISSING_TIMEOUT_S, MqttOptions

_RELEASE_BYTES: Final = 50 * 1024
_RECORDS_FIRST: Final = 3
_WAIT_S: Final = 20.0
_MOVED: Final = "edgehost.release.moved"
_ROLLED_BACK: Final = "edgehost.release.rolled-back"
_REFUSED: Final = "edgehost.remote.refused"

_CONFIG: Final = """\
[host]
name = "demo"
data = "data"

[api]
tcp_port = 0

[probation]
seconds = 30

[[remotes]]
name = "{remote}"
transport = "mqtt"
host = "127.0.0.1"
tcp_port = {tcp_port}
root = "root.json"
"""


async def tell_story(
    folder: Path,
    out: Output,
    *,
    broker_kind: Kind | None,
    releases: int,
    keep: bool,
    ended: Callable[[DemoFigures], None],
) -> DemoFigures:
    """From nothing to a fleet of one, through a swap, a rollback, an attack and a crash."""
    began = time.perf_counter()
    async with open_broker(kind=broker_kind) as broker, _Story.begun(folder, out, broker) as story:
        await story.first_light()
        await story.swaps_under_load(releases)
        await story.bad_release()
        await story.tampered_release()
        await story.crash_and_offline_restart()
        story.figures.seconds = time.perf_counter() - began
        ended(story.figures)
        if keep:
            await broker.start()
            await story.host.go_on(out)
    return story.figures


@dataclass(slots=True)
class _Story:
    out: Output
    broker: EmbeddedBroker
    fleet: DemoFleet
    host: DemoHost
    figures: DemoFigures = field(default_factory=DemoFigures)

    @classmethod
    @asynccontextmanager
    async def begun(cls, folder: Path, out: Output, broker: EmbeddedBroker) -> AsyncIterator[_Story]:
        """Keys, repository and configuration; the host is stopped at the end whatever happens."""
        fleet = DemoFleet(
            folder, MqttOptions(broker.host, broker.tcp_port, missing_timeout_s=MIRROR_MISSING_TIMEOUT_S)
        )
        root = await asyncio.to_thread(fleet.make)
        (folder / "root.json").write_bytes(root.read_bytes())
        config = folder / "edgehost.toml"
        config.write_text(_CONFIG.format(remote=REMOTE, tcp_port=broker.tcp_port))
        story = cls(out, broker, fleet, DemoHost(config, folder / "data" / "edgehost.sock"))
        story.figures.broker = broker.kind
        story.say(f"A {broker.kind} broker on port {broker.tcp_port}; a fleet with 2 of 3 root keys.")
        try:
            yield story
        finally:
            await story.host.stop()

    def say(self, line: str) -> None:
        """One line of the story."""
        self.out.note(f"* {line}")

    async def first_light(self) -> None:
        """Publish a model and a service, and see this machine's readings become records of an API."""
        started_ms = await self.host.start()
        self.say(f"A host started in {started_ms:.0f} ms; it has no components yet.")
        heard = HeardEvents(self.host.client)
        with heard.listening():
            for name in ("telemetry-1.0.0", "sensors-1.0.0"):
                await self._publish(demo_component(name))
            await self._live(heard, "sensors", "1.0.0")
            self.say("Published: the model 'telemetry' and the service 'sensors', which reads this machine.")
            for number in range(_RECORDS_FIRST):
                await heard.wait_for(
                    "edgehost.record.created", _nth(number + 1, "telemetry"), timeout_s=_WAIT_S
                )
        page = await self.host.get("/api/models/telemetry", order="desc", limit=1)
        newest = page["records"][0]["data"]
        self.say(f"Records arrive and are served: {_short(newest)}")

    async def swaps_under_load(self, releases: int) -> None:
        """Swap releases while calls are in flight; none may fail."""
        page = await self.host.get("/api/models/telemetry", order="asc", limit=1)
        load = SteadyLoad(self.host.client, page["records"][0]["id"])
        component = demo_component("telemetry-1.1.0")
        heard = HeardEvents(self.host.client)
        with heard.listening():
            async with load.running():
                await load.reached(50)
                for number in range(releases):
                    content = as_version(component, f"1.1.{number}", _RELEASE_BYTES)
                    self.figures.release_bytes = len(content)
                    await self._timed_swap(heard, content, f"1.1.{number}", before=_version_before(number))
                await load.reached(load.total + 50)
        figures = self.figures
        figures.calls_total, figures.calls_failed = load.total, load.failed
        live = ", ".join(f"{value:.0f}" for value in figures.published_to_live_each_ms)
        self.say(
            f"{releases} releases of {figures.release_bytes // 1024} KiB went live under load, after {live} ms."
        )
        self.say(f"{load.total} calls were made meanwhile; {load.failed} failed.")
        for failure in load.failures:
            self.say(f"  {failure}")
        await self._measure_memory()

    async def bad_release(self) -> None:
        """A release that passes its probe and then misbehaves goes by itself and stays away."""
        page = await self.host.get("/api/models/telemetry", order="asc", limit=1)
        load = SteadyLoad(self.host.client, page["records"][0]["id"])
        heard = HeardEvents(self.host.client)
        with heard.listening():
            async with load.running():
                await self._publish(demo_component("telemetry-1.2.0"))
                live_at = await self._live(heard, "telemetry", "1.2.0")
                back_at = await heard.wait_for(
                    _ROLLED_BACK, lambda data: data["version"] == "1.2.0", timeout_s=_WAIT_S
                )
                await load.reached(load.total + 50)
        figures = self.figures
        figures.calls_in_probation, figures.calls_failed_in_probation = load.total, load.failed
        figures.rolled_back_ms = (back_at - live_at) * 1000
        releases = await self.host.get("/api/host/releases", component="telemetry")
        stages = {release["version"]: release["stage"] for release in _rows(releases)}
        last_good = max(version for version in stages if version.startswith("1.1."))
        figures.rolled_back = stages[last_good] == "live"
        figures.quarantined = stages["1.2.0"] == "quarantined"
        reason = next(release["reason"] for release in _rows(releases) if release["version"] == "1.2.0")
        self.say(f"1.2.0 misbehaved. The host, of the calls that reached 1.2.0: {reason}")
        self.say(f"{last_good} is back after {figures.rolled_back_ms:.0f} ms.")

    async def tampered_release(self) -> None:
        """Somebody on the broker changes a release on its way; the host refuses it and goes on."""
        heard = HeardEvents(self.host.client)
        content = as_version(demo_component("telemetry-1.1.0"), "1.3.0", _RELEASE_BYTES)
        with heard.listening():
            await self.fleet.mirror(await asyncio.to_thread(self.fleet.sign, content), tamper=True)
            await heard.wait_for(
                _REFUSED, lambda data: data["code"] == "untrusted-release", timeout_s=_WAIT_S
            )
        status = await self.host.get("/api/host/status")
        live = {component["component"]: component["version"] for component in status["components"]}
        self.figures.tampered_refused = live["telemetry"] != "1.3.0"
        self.say(f"1.3.0 was changed on the broker: refused; {live['telemetry']} runs on.")

    async def crash_and_offline_restart(self) -> None:
        """Kill -9, no broker, and the same records again."""
        newest = (await self.host.get("/api/models/telemetry", order="desc", limit=1))["records"][0]
        until = newest["created_at"]
        self.figures.records_before_kill = await self._count(until)
        await self.host.kill()
        await self.broker.stop()
        self.say(
            f"The host was killed and the broker stopped, with {self.figures.records_before_kill} records."
        )
        self.figures.offline_restart_ms = await self.host.start(f"/api/models/telemetry/{newest['id']}")
        self.figures.records_after_kill = await self._count(until)
        self.say(
            f"It serves again after {self.figures.offline_restart_ms:.0f} ms, offline, with "
            f"{self.figures.records_after_kill} of these records."
        )

    async def _publish(self, content: bytes) -> None:
        await self.fleet.mirror(await asyncio.to_thread(self.fleet.sign, content))

    async def _timed_swap(self, heard: HeardEvents, content: bytes, version: str, *, before: str) -> None:
        published = await asyncio.to_thread(self.fleet.sign, content)
        began = time.perf_counter()
        await self.fleet.mirror(published)
        live_at = await self._live(heard, "telemetry", version)
        staged_at = await heard.wait_for(_MOVED, _moved("telemetry", version, "staged"), timeout_s=_WAIT_S)
        ended_at = await heard.wait_for(_MOVED, _moved("telemetry", before, "retired"), timeout_s=_WAIT_S)
        self.figures.published_to_live_each_ms.append((live_at - began) * 1000)
        self.figures.swap_each_ms.append((ended_at - staged_at) * 1000)

    async def _live(self, heard: HeardEvents, component: str, version: str) -> float:
        return await heard.wait_for(_MOVED, _moved(component, version, "live"), timeout_s=_WAIT_S)

    async def _count(self, until: float) -> int:
        """Records created up to a moment, page by page as a client would."""
        count, cursor = 0, ""
        while True:
            query: dict[str, str | int] = {"created_at__le": repr(until), "limit": 1000}
            page = await self.host.get(
                "/api/models/telemetry", **query, **({"cursor": cursor} if cursor else {})
            )
            count += len(page["records"])
            cursor = page.get("next_cursor", "")
            if not cursor:
                return count

    async def _measure_memory(self) -> None:
        instances = _rows(await self.host.get("/api/host/instances"))
        sandboxes = [int(instance["pid"]) for instance in instances]
        own = self.host.pid
        zygotes = [pid for pid in children(own) if set(children(pid)) & set(sandboxes)]
        figures = self.figures
        figures.host_pss_mb = pss_mb(own) + sum(pss_mb(pid) for pid in zygotes)
        figures.sandbox_private_mb = sum(private_mb(pid) for pid in sandboxes) / len(sandboxes)
        self.say(
            f"The host takes {figures.host_pss_mb:.1f} MB, each sandbox {figures.sandbox_private_mb:.1f} MB."
        )


def _version_before(number: int) -> str:
    return f"1.1.{number - 1}" if number else "1.0.0"


def _moved(component: str, version: str, stage: str) -> Any:  # noqa: ANN401 - a predicate on JSON
    def matches(data: dict[str, Any]) -> bool:
        return (data["component"], data["version"], data["stage"]) == (component, version, stage)

    return matches


def _nth(number: int, model: str) -> Any:  # noqa: ANN401 - a predicate on JSON
    seen: set[str] = set()

    def matches(data: dict[str, Any]) -> bool:
        if data["model"] == model:
            seen.add(data["id"])
        return len(seen) >= number

    return matches


def _rows(document: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - JSON
    """The rows of a listing, which come bare or under one name."""
    if isinstance(document, list):
        return document
    return next(value for value in document.values() if isinstance(value, list))


def _short(data: dict[str, Any]) -> str:
    shown = {key: value for key, value in data.items() if value is not None}
    return ", ".join(f"{key}={value}" for key, value in list(shown.items())[:5])
