"""[services.NAME] and [bindings]: what adapters can be bound to on this host, and what is bound to what."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

from edgehost.config_brokers import BrokerCaFile, BrokerHost, BrokerPort, BrokerUser
from edgehost.config_settings import (
    Choice,
    FilePath,
    Flag,
    Number,
    Text,
    Texts,
    Whole,
    read_settings,
)
from edgehost.domain.binding import require_binding
from edgehost.domain.errors import RefusedError
from edgehost.domain.names import EVENT, EXPORT, NAME, worded
from edgehost.domain.spec_reader import SpecReader
from edgehost.domain.suggestion import did_you_mean

#: Packages that bring kinds of services name their openers here.
ENTRY_POINTS: Final = "edgehost.services"

_HOST: Final = worded(
    r"(\*\.)?[a-z0-9.-]{1,253}(:[0-9]{1,5})?",
    "a host such as api.example.org, *.example.org or localhost:8080",
)
_USER: Final = worded(rf"\*|{NAME.pattern}", "'*' or a component's name")
_TOPIC: Final = worded(r"[^\0\r\n]{1,200}", "a topic: up to 200 characters on one line")
_PRINTABLE: Final = worded(r"[\x20-\x7e]*", "printable ASCII")
_LINE: Final = worded(rf"{NAME.pattern}=[0-9]{{1,4}}", "NAME=LINE, such as led=17")
_VEHICLE_URL: Final = worded(
    r"(udpin|udpout|tcp):[A-Za-z0-9.:\[\]-]{1,253}:[0-9]{1,5}|/[\x21-\x2b\x2d-\x7e]{1,250},[0-9]{2,8}",
    "a link such as udpin:127.0.0.1:14550, tcp:192.168.4.1:5760 or /dev/ttyACM0,57600",
)
_ORDER: Final = worded(
    r"arm|disarm|force_arm|force_disarm|mode|takeoff|land|rtl|goto|set_parameter"
    r"|set_mission|clear_mission|start_mission|MAV_CMD_[A-Z0-9_]{1,80}",
    "arm, disarm, force_arm, force_disarm, mode, takeoff, land, rtl, goto, set_parameter, set_mission,"
    " clear_mission, start_mission or the name of a MAV_CMD_...",
)
_WS_URL: Final = worded(r"wss?://[\x21-\x7e]{1,1000}", "a ws:// or wss:// URL")


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """kind = "http": requests to granted hosts."""

    hosts: Annotated[
        tuple[str, ...], Texts('that may be asked: "api.example.org", "*.example.org", with ":8080"', _HOST)
    ] = ()
    url: Annotated[str, Text("what a request's relative url starts from; empty: none", _PRINTABLE)] = ""
    token_file: Annotated[
        Path | None,
        FilePath("file with a bearer token that every request to the host of url carries", optional=True),
    ] = None
    timeout_s: Annotated[float, Number("of one request, redirects included", 0.05, 3600)] = 10.0
    request_kib: Annotated[int, Whole("body of a request", 1, 65_536)] = 256
    answer_kib: Annotated[int, Whole("body of an answer; more is refused while it is read", 1, 65_536)] = 1024


@dataclass(frozen=True, slots=True)
class MqttOptions:
    """kind = "mqtt": a broker; inbound ports with a topic are served by every service of this kind."""

    host: BrokerHost
    tcp_port: BrokerPort = 0
    tls: Annotated[bool, Flag("encrypt, and check the broker's certificate")] = False
    ca_file: BrokerCaFile = None
    username: BrokerUser = ""
    password_file: Annotated[Path | None, FilePath("its first line is the password", optional=True)] = None
    subscribe: Annotated[
        tuple[str, ...], Texts("topic filters whose messages become events named 'message'", _TOPIC)
    ] = ()
    publish: Annotated[tuple[str, ...], Texts("topic filters that may be published to; '#': all", _TOPIC)] = (
        "#",
    )
    qos: Annotated[int, Whole("of what is published and subscribed", 0, 1)] = 1
    message_kib: Annotated[int, Whole("a longer message is dropped, and counted", 1, 1024)] = 256


@dataclass(frozen=True, slots=True)
class FilesOptions:
    """kind = "files": one folder; no way leads out of it."""

    folder: Annotated[Path, FilePath("all that can be reached")]
    write: Annotated[bool, Flag("allow write and delete")] = False
    file_kib: Annotated[int, Whole("one file, read or written", 1, 65_536)] = 1024
    entries: Annotated[int, Whole("names in one listing", 1, 100_000)] = 1000
    total_kib: Annotated[int, Whole("all that was written here together", 1, 1024 * 1024 * 1024)] = 64 * 1024


@dataclass(frozen=True, slots=True)
class TimerOptions:
    """kind = "timer": an event at times of day, or every so often."""

    cron: Annotated[
        str, Text("minute hour day month weekday, in UTC: '*/5 * * * *'; empty: use every_s", _PRINTABLE)
    ] = ""
    every_s: Annotated[float, Number("seconds between events; 0: use cron", 0, 86_400 * 366)] = 0.0
    event: Annotated[str, Text("the event's name; empty: the service's own name, then '.tick'", EVENT)] = ""


@dataclass(frozen=True, slots=True)
class SerialOptions:
    """kind = "serial": lines of text to and from a device."""

    device_path: Annotated[Path, FilePath("such as /dev/ttyUSB0")]
    baud: Annotated[int, Whole("bits a second", 50, 12_000_000)] = 115_200
    ending: Annotated[str, Choice("of a line", ("lf", "crlf", "cr"))] = "lf"
    line_bytes: Annotated[int, Whole("a longer line is dropped, and counted", 1, 65_536)] = 1024


@dataclass(frozen=True, slots=True)
class WebSocketOptions:
    """kind = "websocket": one connection that is kept up."""

    url: Annotated[str, Text("ws:// or wss://", _WS_URL)]
    token_file: Annotated[
        Path | None, FilePath("file with a bearer token for the handshake; empty: none", optional=True)
    ] = None
    message_kib: Annotated[int, Whole("a longer message ends the connection", 1, 16_384)] = 256


@dataclass(frozen=True, slots=True)
class GpioOptions:
    """kind = "gpio": pins of the machine."""

    chip: Annotated[Path, FilePath("the chip")] = Path("/dev/gpiochip0")
    inputs: Annotated[
        tuple[str, ...],
        Texts('"NAME=LINE"; each change is an event', _LINE),
    ] = ()
    outputs: Annotated[tuple[str, ...], Texts('"NAME=LINE"', _LINE)] = ()


@dataclass(frozen=True, slots=True)
class MavlinkOptions:
    """kind = "mavlink": a vehicle whose autopilot speaks MAVLink."""

    url: Annotated[
        str,
        Text("udpin:ADDRESS:PORT, udpout:HOST:PORT, tcp:HOST:PORT, or a serial DEVICE,BAUD", _VEHICLE_URL),
    ] = "udpin:127.0.0.1:14550"
    commands: Annotated[
        tuple[str, ...],
        Texts(
            "what the vehicle may be told, each by its name; nothing that moves it unless it is here", _ORDER
        ),
    ] = ()
    vehicle_id: Annotated[int, Whole("the vehicle's MAVLink system; 0: the first that is heard", 0, 255)] = 0
    system_id: Annotated[int, Whole("this host's own MAVLink system", 1, 255)] = 255
    component_id: Annotated[int, Whole("this host's own MAVLink component", 1, 255)] = 190
    telemetry_s: Annotated[float, Number("seconds between events with telemetry, at least", 0.1, 3600)] = 1.0
    silent_s: Annotated[float, Number("without a heartbeat for so long, the vehicle is lost", 0.5, 600)] = 5.0
    altitude_most_m: Annotated[float, Number("above home, of takeoff, goto and missions", 1, 100_000)] = 120.0
    distance_most_m: Annotated[float, Number("from the vehicle, of goto and missions", 1, 1e7)] = 1000.0
    signing_key_file: Annotated[
        Path | None,
        FilePath("64 hexadecimal digits or a passphrase: frames are signed, others refused", optional=True),
    ] = None


@dataclass(frozen=True, slots=True)
class DeviceOptions:
    """kind = "device": functions of the component on a microcontroller."""

    device: Annotated[str, Text("one of [devices]", NAME)]
    component: Annotated[str, Text("that runs there", NAME)]
    functions: Annotated[
        tuple[str, ...], Texts("its exports that may be called; a port of the same name calls it", EXPORT)
    ]


#: The value of ``kind`` and the keys that come with it.
KINDS: Final[Mapping[str, type]] = {
    "http": HttpOptions,
    "mqtt": MqttOptions,
    "files": FilesOptions,
    "timer": TimerOptions,
    "serial": SerialOptions,
    "websocket": WebSocketOptions,
    "gpio": GpioOptions,
    "device": DeviceOptions,
    "mavlink": MavlinkOptions,
}


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """[services.NAME]: something that adapters can be bound to."""

    kind: str
    allow: Annotated[
        tuple[str, ...],
        Texts(
            "adapters that may be bound to it, and models that reach it by the adapter 'direct'; '*': all",
            _USER,
        ),
    ] = ("*",)
    options: Any = field(default=None, kw_only=True)  # one of KINDS, or a plug-in's table as it stands


def read_services(table: SpecReader, folder: Path) -> Mapping[str, ServiceSettings]:
    """The services by name; a kind that is not ours must be one of an installed package."""
    return types.MappingProxyType(
        {each.name: _read_service(each, folder) for each in table.tables(pattern=NAME)}
    )


def read_bindings(table: SpecReader) -> Mapping[str, str]:
    """``"model.port" = "adapter"`` and ``adapter = "service"``."""
    bindings = {}
    for what in table.names():
        bindings[what] = table.text(what)
        try:
            require_binding(what, bindings[what])
        except RefusedError as problem:
            raise table.refused(what, problem.message, hint=problem.hint) from None
    return types.MappingProxyType(bindings)


def _read_service(table: SpecReader, folder: Path) -> ServiceSettings:
    kind = table.text("kind", pattern=NAME)
    if kind in KINDS:
        options: Any = read_settings(KINDS[kind], table, folder)
        settings = read_settings(ServiceSettings, table, folder, kind=kind, options=options)
        table.refuse_unknown()
        return settings
    from importlib.metadata import entry_points  # noqa: PLC0415 - 1 MB, for kinds that others bring

    plugins = entry_points(group=ENTRY_POINTS).names
    if kind not in plugins:
        raise table.refused(
            "kind",
            f"is '{kind}', which neither edgehost nor an installed package brings.",
            hint=did_you_mean(kind, [*KINDS, *plugins]),
        )
    theirs = {name: table.anything(name) for name in table.names() if name not in {"kind", "allow"}}
    return read_settings(ServiceSettings, table, folder, kind=kind, options=types.MappingProxyType(theirs))
