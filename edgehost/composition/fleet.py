"""A host's place in its fleet: the connection, what is shown, and the commands that are taken."""

from __future__ import annotations

import os
import platform
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from edgehost import __version__
from edgehost.adapters.fleet.fleet_view import MqttFleetView
from edgehost.adapters.fleet.host_key import HostKey, open_host_key
from edgehost.adapters.fleet.mqtt_fleet import MqttFleet
from edgehost.adapters.fleet.operator_keys import load_operators
from edgehost.adapters.services.machine_readings import LinuxReadings
from edgehost.adapters.services.system_clock import SystemClock
from edgehost.adapters.storage.small_table_file import SmallTableFile
from edgehost.adapters.storage.withheld_files import WithheldTable
from edgehost.composition.agent_life import AgentLife
from edgehost.composition.broker_options import broker_options
from edgehost.composition.fleet_bundles import bundle_operation
from edgehost.composition.fleet_findings import fleet_findings, order_findings
from edgehost.composition.fleet_properties import FleetProperties
from edgehost.composition.rooms import Rooms
from edgehost.config import parse_config
from edgehost.config_fleet import FleetSettings
from edgehost.config_tables import KIB, MIB
from edgehost.domain.errors import RefusedError
from edgehost.domain.event_rate import EventRate
from edgehost.domain.fleet_command import Operation
from edgehost.domain.fleet_events import HostDuplicated
from edgehost.domain.fleet_rules import HostTime
from edgehost.domain.fleet_topics import FleetTopics, part_of
from edgehost.domain.host_penalty import PenaltyRule
from edgehost.domain.json_text import write_json
from edgehost.ports.fleet_link import Signatures, TableStore
from edgehost.usecases.admit_commands import TRUSTED_BROKER, Admission
from edgehost.usecases.command_book import CommandBook
from edgehost.usecases.control_host import ControlHost
from edgehost.usecases.count_failures import FailureCount
from edgehost.usecases.fleet_agent_operations import Configure, Diagnose, FlashBoards
from edgehost.usecases.fleet_device_operations import with_devices
from edgehost.usecases.fleet_operation import FleetOperation
from edgehost.usecases.fleet_operations import Call, Deploy, Logs, Restart, RollBack
from edgehost.usecases.fleet_readmit import Readmit
from edgehost.usecases.look_for_deployment import LookForDeployment
from edgehost.usecases.publish_twin import TwinPublisher
from edgehost.usecases.run_fleet_commands import FleetCommands
from edgehost.usecases.withheld_operation import withheld_operations
from remotes.clock_floor import EARLIEST
from remotes.mqtt_options import MqttOptions
from remotes.owned_tasks import Spawn, keep_running

OFF: Final = "off"
_JOURNAL: Final = "fleet_commands.json"
_JOURNAL_MOST_BYTES: Final = 8 * MIB
_KEY: Final = "host_key.json"
_FAILURES: Final = "failed_deployments.json"
_FAILURES_MOST_BYTES: Final = 256 * KIB
_DAY_S: Final = 86_400.0
#: Commands, states and reports; bundles come on top.
_PACKET_MOST_BYTES: Final = 256 * KIB


@dataclass(slots=True)
class HostFleet:
    """A host in its fleet; other rooms add to ``operations`` and ``twin.properties`` before it runs."""

    topics: FleetTopics
    link: MqttFleet
    twin: TwinPublisher
    commands: FleetCommands | None
    operations: dict[Operation, FleetOperation]
    rooms: Rooms
    control: ControlHost
    failures: FailureCount
    key: HostKey | None

    _view: MqttFleetView | None = None

    def view(self) -> MqttFleetView:
        """The other hosts, for rollouts; to be asked for before ``start``. Without commands no order is obeyed."""
        if self._view is None:
            commands, host = self.commands, self.rooms.config.host
            signatures: Signatures | None = None if commands is None else commands.admission.signatures
            if commands is not None and commands.admission.mode == TRUSTED_BROKER:
                signatures = None
            elif signatures is None:
                signatures = load_operators(())
            self._view = MqttFleetView(
                self.topics,
                host.name,
                {**host.labels, "class": host.device_class},
                self.link,
                signatures,
                lambda name: 0.0 if commands is None else commands.book.journal.oldest_order(name),
                _no_note if commands is None else commands.book.note_order,
            )
            self._view.own_key = self.key
            self._view.settle_s = self.rooms.config.fleet.settle_s
            if commands is not None:
                self._view.orders.time = commands.admission.time
            self.link.listen(self._view.filters)
            handlers = self.link.handlers
            handlers.other, handlers.link = self._view.take, self._view.link_moved
            handlers.current = self._view.all_came
        return self._view

    def start(self, spawn: Spawn) -> None:
        """The host is ready to be seen and commanded."""
        _start(self, spawn)


async def _no_note(_deployment: str, _issued_at: float) -> None:
    """No order is obeyed that would have to be remembered."""


async def open_fleet(rooms: Rooms, control: ControlHost, life: AgentLife | None) -> HostFleet | None:
    """The host's place in its fleet; None when the configuration names none; ``start`` begins it.

    Raises:
        InvalidConfigError: a file that the table names cannot be used.
        UnavailableError: the journal of commands cannot be read.
    """
    settings, host = rooms.config.fleet, rooms.config.host
    if not settings.enabled:
        return None
    topics, boot = FleetTopics(settings.name), secrets.token_hex(8)
    clock, machine = rooms.clock, SystemClock()
    began = clock.monotonic()
    status = {"boot": boot, "since": round(clock.now(), 3), "every_s": settings.measure_s}

    def online() -> bytes:
        return write_json({"status": "online", **status, "at": round(clock.now(), 3)})

    def offline(reason: str) -> bytes:
        return write_json({"status": "offline", **status, "reason": reason})

    link = MqttFleet(
        topics.host(host.name),
        _options(settings),
        boot,
        where=f"{platform.node()[:128]}, process {os.getpid()}",
        up_s=lambda: clock.monotonic() - began,
        now=clock.monotonic,
        online=online,
        offline=offline,
    )
    readings = LinuxReadings(host.data)

    def is_set() -> bool:
        return host.trust_clock and machine.now() >= EARLIEST.timestamp()

    views = FleetProperties(control, readings, is_set)
    twin = TwinPublisher(
        link.topics,
        link,
        clock,
        properties={
            "components": views.components,
            "remotes": views.remotes,
            "config": views.config,
            "disk": views.disk,
            "clock": views.clock,
            "sandbox": views.sandbox,
            **({} if control.bridged is None else {"devices": views.devices}),
            **({} if control.certificates is None else {"certificates": views.certificates}),
        },
        figures={"host": readings.read, "components": views.calls},
        findings=control.doctor,
        status=online,
        tidy=link.tidy,
        events=settings.events,
        rate=EventRate(settings.events_per_s),
        source=f"urn:edgehost:host:{host.name}",
        measure_s=settings.measure_s,
    )
    operations: dict[Operation, FleetOperation] = {
        Operation.DEPLOY: Deploy(control, LookForDeployment(control)),
        Operation.ROLLBACK: RollBack(control),
        Operation.RESTART: Restart(control, life),
        Operation.CALL: Call(control),
        Operation.LOGS: Logs(control, life),
        Operation.FLASH: FlashBoards(control),
    }
    if control.bridged is not None:
        operations |= with_devices(operations, control.bridged)
    if life is not None:
        operations[Operation.CONFIG] = Configure(life, _require_reachable(rooms))
        operations[Operation.DIAG] = Diagnose(control)
    received: dict[str, bytes] = {}
    bundles = bundle_operation(rooms, control, received)
    if bundles is not None:
        operations[Operation.BUNDLE] = bundles
    key = await _own_key(rooms)
    failures = FailureCount(
        SmallTableFile(host.data / _FAILURES, _FAILURES_MOST_BYTES, None),
        clock,
        PenaltyRule(settings.set_aside_failures, settings.set_aside_days * _DAY_S),
    )
    await failures.open()
    operations[Operation.READMIT] = Readmit(failures)
    control.more_findings.append(failures.findings)
    commands = None
    journal, operations = _kept(rooms, life, operations)
    if settings.commands != OFF:
        commands = FleetCommands(
            link.topics,
            boot,
            Admission(
                host.name,
                settings.name,
                settings.commands,
                load_operators(settings.operators),
                lambda: HostTime(clock.now(), is_set()),
            ),
            CommandBook(journal, clock),
            operations,
            link,
            clock,
            rooms.bus,
            received=received,
        )
        await commands.book.open()
    fleet = HostFleet(topics, link, twin, commands, operations, rooms, control, failures, key)
    control.more_findings.append(lambda: fleet_findings(fleet.link, fleet.commands))
    control.more_findings.append(lambda: order_findings(fleet._view))  # noqa: SLF001 - of this module
    if life is not None:
        life.in_touch = lambda: link.connected
    return fleet


def _kept(
    rooms: Rooms, life: AgentLife | None, operations: dict[Operation, FleetOperation]
) -> tuple[TableStore, dict[Operation, FleetOperation]]:
    """The journal of commands, and what may be done on its word; a run that keeps nothing does what is harmless."""
    kept = SmallTableFile(rooms.config.host.data / _JOURNAL, _JOURNAL_MOST_BYTES, None)
    withheld = None if life is None else life.withheld
    if withheld is None:
        return kept, operations
    return WithheldTable(kept), withheld_operations(operations, withheld.why, withheld.hint)


async def _own_key(rooms: Rooms) -> HostKey | None:
    """What reports are signed by; none is made that could not be kept."""
    file = rooms.config.host.data / _KEY
    if not rooms.config.fleet.sign_reports or (rooms.withheld and not os.access(file, os.R_OK)):
        return None
    return await open_host_key(file)


def _start(fleet: HostFleet, spawn: Spawn) -> None:
    commands, link = fleet.commands, fleet.link
    if commands is not None:
        taken = commands

        def settled(seen: frozenset[str], lost: bool) -> None:  # noqa: FBT001 - see FleetHandlers
            taken.settled(seen, lost=lost)

        link.handlers.command, link.handlers.settled = commands.take, settled
        if Operation.BUNDLE in fleet.operations:
            link.handlers.bundle = commands.take_bundle
        keep_running(spawn, commands.run, "edgehost.fleet.commands")
    link.handlers.namesake = _namesake_told(fleet)

    def register() -> None:
        link.keep(link.topics.registration, write_json(_registration(fleet)))

    fleet.failures.changed = register
    register()
    fleet.rooms.bus.attach(fleet.twin, acting=False)
    if fleet._view is not None:  # noqa: SLF001 - of this module
        keep_running(spawn, fleet._view.run, "edgehost.fleet.orders")  # noqa: SLF001 - as above
    keep_running(spawn, link.run, "edgehost.fleet.link")
    keep_running(spawn, fleet.twin.run, "edgehost.fleet.twin")


def _require_reachable(rooms: Rooms) -> Callable[[bytes], None]:
    """Refuses a configuration that would take the host out of reach of whoever sends it."""
    before = rooms.config

    def require(text: bytes) -> None:
        after = parse_config(text, before.path or before.host.data / "edgehost.toml")
        if (after.fleet.name, after.host.name) != (
            before.fleet.name,
            before.host.name,
        ) or after.fleet.commands == OFF:
            raise RefusedError(
                "It would take this host out of its fleet: nobody could command it from afar any more.",
                hint="Keep [fleet] name and commands and [host] name, or change them on the machine itself.",
            )

    return require


def _registration(fleet: HostFleet) -> Mapping[str, Any]:
    rooms, control = fleet.rooms, fleet.control
    host = rooms.config.host
    return {
        "@type": "host",
        "id": host.name,
        "class": host.device_class,
        "labels": dict(host.labels),
        "versions": {
            "edgehost": __version__,
            "python": platform.python_version(),
            "kernel": platform.release(),
            "machine": platform.machine(),
        },
        "urls": [url for url in control.identity.urls if not url.startswith("unix:")],
        "commands": rooms.config.fleet.commands,
        "capabilities": sorted(fleet.operations) if fleet.commands is not None else [],
        **({"devices": sorted(rooms.config.devices)} if rooms.config.devices else {}),
        **({} if fleet.key is None else {"key": fleet.key.public.hex()}),
        **({"set_aside": dict(aside)} if (aside := fleet.failures.shown()) else {}),
    }


def _namesake_told(fleet: HostFleet) -> Callable[[str, bool], None]:
    rooms = fleet.rooms

    def told(where: str, yields: bool) -> None:  # noqa: FBT001 - see FleetHandlers
        if where:
            fact = HostDuplicated(
                at=rooms.clock.now(), host=rooms.config.host.name, other=where, yields=yields
            )
            rooms.bus.publish(fact)
            if yields:  # its own voice, once; the elder speaks for the name
                document = {"type": fact.type, **fact.details(), "boot": fleet.link.boot}
                fleet.link.say(fleet.link.topics.event(part_of(fact.type)), write_json(document))
        fleet.twin.look_again()

    return told


def _options(settings: FleetSettings) -> MqttOptions:
    return replace(
        broker_options(settings),
        mqtt_version=settings.mqtt_version,  # type: ignore[arg-type]  # the configuration knows the same words
        packet_most_bytes=_PACKET_MOST_BYTES + settings.bundle_kib * KIB,
    )
