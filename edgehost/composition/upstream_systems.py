"""The upstream systems of a host: what each is shown, and what its buttons do."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edgehost import __version__
from edgehost.adapters.services.machine_readings import LinuxReadings
from edgehost.composition.agent_life import AgentLife
from edgehost.composition.broker_options import broker_options
from edgehost.composition.rooms import Rooms
from edgehost.config_upstream import HomeAssistantOptions, SparkplugOptions, UpstreamSettings
from edgehost.domain.errors import EdgehostError
from edgehost.domain.event_rate import EventRate
from edgehost.domain.upstream_node import HOST, RESTART, UpstreamNode, Version
from edgehost.domain.version_range import ANY_VERSION
from edgehost.ports.upstream import Pressed, Upstream
from edgehost.usecases.control_host import ControlHost
from edgehost.usecases.deploy_to_device import DeployToDevice
from edgehost.usecases.report_upstream import UpstreamReporter, device_node
from remotes.owned_tasks import Spawn, keep_running

log = logging.getLogger("edgehost.upstream")


@dataclass(frozen=True, slots=True)
class _Looks:
    """The host and its devices, as they are now."""

    rooms: Rooms
    control: ControlHost
    deployer: DeployToDevice | None
    readings: LinuxReadings

    async def host(self) -> UpstreamNode:
        """The machine's figures, and what is live."""
        manager, versions = self.control.manager, dict[str, Version]()
        ledger = manager.deployer.ledger
        for component in ledger.live_components():
            release = ledger.live(component)
            if release is not None:
                versions[component] = Version(release.version, release.version)
        for follower in manager.followers:
            for offer in follower.chosen(follower.known):
                if offer.component in versions:
                    installed = versions[offer.component].installed
                    versions[offer.component] = Version(installed, offer.version)
        figures = await self.readings.read()
        return UpstreamNode(
            name=HOST,
            title=self.rooms.config.host.name,
            online=True,
            model=f"{self.rooms.config.host.device_class} ({platform.machine()})",
            software=__version__,
            told=True,
            figures={name: value for name, value in figures.items() if value is not None},
            versions=versions,
        )

    def devices(self, settings: UpstreamSettings) -> Mapping[str, UpstreamNode]:
        """Those that are shown there."""
        if self.control.bridged is None:
            return {}
        host = self.rooms.config.host.name
        return {
            document["name"]: device_node(document, f"{host} {document['name']}", self._latest)
            for document in self.control.bridged.devices()
            if settings.shows(document["name"])
        }

    def _latest(self, component: str) -> str | None:
        best = None if self.deployer is None else self.deployer.best_known(component, ANY_VERSION)
        return None if best is None else best.release.version


async def start_systems(
    rooms: Rooms, control: ControlHost, deployer: DeployToDevice | None, life: AgentLife | None, spawn: Spawn
) -> None:
    """Show the host to every system of the configuration.

    Raises:
        InvalidConfigError: a file that a table names cannot be used.
    """
    looks = _Looks(rooms, control, deployer, LinuxReadings(rooms.config.host.data))
    for name, settings in rooms.config.upstream.items():
        upstream = _make(rooms, settings, _presser(control, life, spawn))
        reporter = UpstreamReporter(
            upstream,
            rooms.clock,
            looks.host,
            _devices_of(looks, settings),
            interval_s=settings.interval_s,
            measure_s=settings.measure_s,
            events=settings.events,
            rate=EventRate(settings.events_per_s),
            name=f"upstream-{name}",
        )
        await reporter.begin()
        rooms.bus.attach(reporter, acting=False)
        control.more_findings.append(_findings(name, upstream))
        keep_running(spawn, upstream.run, f"edgehost.upstream.{name}")
        keep_running(spawn, reporter.run, f"edgehost.upstream.{name}.reporter")


def _devices_of(looks: _Looks, settings: UpstreamSettings) -> Callable[[], Mapping[str, UpstreamNode]]:
    return lambda: looks.devices(settings)


def _make(rooms: Rooms, settings: UpstreamSettings, pressed: Pressed) -> Upstream:
    host, options = rooms.config.host.name, settings.options
    if isinstance(options, SparkplugOptions):
        from edgehost.adapters.upstream.sparkplug import Sparkplug, SparkplugTopics  # noqa: PLC0415 - when configured

        topics = SparkplugTopics(options.group, options.node or host)
        return Sparkplug(topics, broker_options(settings.carrier), rooms.clock.now, settings.figures)
    return _home_assistant(host, settings, options, pressed)


def _home_assistant(
    host: str, settings: UpstreamSettings, options: HomeAssistantOptions, pressed: Pressed
) -> Upstream:
    from edgehost.adapters.upstream.discovery import Discovery, HomeTopics  # noqa: PLC0415 - when configured
    from edgehost.adapters.upstream.home_assistant import HomeAssistant  # noqa: PLC0415 - as above

    topics = HomeTopics(options.discovery_prefix, options.topic_root, host)
    discovery = Discovery(
        topics,
        __version__,
        settings.figures,
        buttons=options.buttons,
        events=bool(settings.events),
    )
    return HomeAssistant(topics, broker_options(settings.carrier), discovery, pressed)


def _presser(control: ControlHost, life: AgentLife | None, spawn: Spawn) -> Pressed:
    busy: set[str] = set()

    async def do(node: str, what: Callable[[], Coroutine[Any, Any, object]]) -> None:
        try:
            await what()
        except EdgehostError as error:
            log.warning("A button was pressed upstream, and nothing came of it: %s", error)
        finally:
            busy.discard(node)

    def pressed(node: str, button: str) -> None:
        if node in busy:  # whoever presses twice gets it once
            return
        log.info("Pressed upstream: %s of %s.", button, node or "the host")
        if node == HOST:
            if life is None:
                log.warning("This host cannot start itself again: 'edgehost run' did not start it.")
            else:
                life.restart()
            return
        devices = control.devices()
        busy.add(node)
        spawn(
            do(node, lambda: (devices.reset_device if button == RESTART else devices.roll_device_back)(node)),
            f"edgehost.upstream.press.{node}",
        )

    return pressed


def _findings(name: str, upstream: Upstream) -> Callable[[], Iterator[Mapping[str, Any]]]:
    def findings() -> Iterator[Mapping[str, Any]]:
        state = "ok" if upstream.connected else "warning"
        yield {
            "check": f"upstream {name}",
            "state": state,
            "detail": "connected" if upstream.connected else upstream.trouble or "not connected",
            "hint": ""
            if upstream.connected
            else f"What runs keeps running; check [upstream.{name}] and the broker.",
        }

    return findings
