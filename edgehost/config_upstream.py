"""[upstream.NAME]: systems that are shown this host and its devices, over a broker."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

from edgehost.config_brokers import (
    BelievedTls,
    BrokerCaFile,
    BrokerHost,
    BrokerPasswordFile,
    BrokerPort,
    BrokerUser,
    OwnCertFile,
    OwnKeyFile,
)
from edgehost.config_settings import Flag, Number, Text, Texts, read_settings
from edgehost.domain.errors import InvalidConfigError
from edgehost.domain.names import EVENT_PATTERN, FIELD_PATH, NAME, worded
from edgehost.domain.spec_reader import SpecReader
from edgehost.domain.upstream_node import FigureKind

_DEVICE: Final = worded(rf"\*|{NAME.pattern}", "'*' or a device's name")
_TOPIC: Final = worded(r"[^+#\0\x01-\x1f/]+(/[^+#\0\x01-\x1f/]+){0,7}", "a topic without '+' and '#'")
_ID: Final = worded(r"[^+#/\0\x01-\x1f]{1,100}", "an id of Sparkplug: no '+', '#' or '/'")
_ID_OR_NONE: Final = worded(rf"|{_ID.pattern}", "an id of Sparkplug, or empty")
_WORD: Final = worded(r"[a-z0-9_]{0,40}", "a word of Home Assistant, such as temperature")
_SHORT: Final = worded(r"[^\0-\x1f]{0,60}", "up to 60 characters on one line")
#: Each has a connection and a task of its own.
_MOST_UPSTREAMS: Final = 8


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """The broker of an upstream system."""

    host: BrokerHost
    tcp_port: BrokerPort = 0
    tls: BelievedTls = False
    ca_file: BrokerCaFile = None
    cert_file: OwnCertFile = None
    key_file: OwnKeyFile = None
    username: BrokerUser = ""
    password_file: BrokerPasswordFile = None


@dataclass(frozen=True, slots=True)
class HomeAssistantOptions:
    """kind = "home-assistant": devices and entities by MQTT device discovery."""

    discovery_prefix: Annotated[str, Text("where Home Assistant looks for devices", _TOPIC)] = "homeassistant"
    topic_root: Annotated[str, Text("states are below this", _TOPIC)] = "edgehost/upstream"
    buttons: Annotated[
        bool,
        Flag(
            "buttons that restart the host and devices and bring a device's last component back; whoever may publish "
            "on this broker can press them"
        ),
    ] = False


@dataclass(frozen=True, slots=True)
class SparkplugOptions:
    """kind = "sparkplug": an edge node of Sparkplug B 3.0 with its devices."""

    group: Annotated[str, Text("the group of the edge node", _ID)] = "edgehost"
    node: Annotated[str, Text("the edge node's id; empty: the host's name", _ID_OR_NONE)] = ""


KINDS: Final[Mapping[str, type[HomeAssistantOptions | SparkplugOptions]]] = types.MappingProxyType(
    {"home-assistant": HomeAssistantOptions, "sparkplug": SparkplugOptions}
)


@dataclass(frozen=True, slots=True)
class FigureSettings:
    """[upstream.NAME.figures."PATH"]: what a figure is."""

    name: Annotated[str, Text("what people call it; empty: its path", _SHORT)] = ""
    unit: Annotated[str, Text("such as °C; empty: none", _SHORT)] = ""
    device_class: Annotated[str, Text("Home Assistant's class, such as temperature; empty: none", _WORD)] = ""
    state_class: Annotated[
        str, Text("Home Assistant's word for how it moves; empty: measurement, for numbers", _WORD)
    ] = ""


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """[upstream.NAME]: a system that is shown this host and its devices."""

    devices: Annotated[tuple[str, ...], Texts("devices that are shown; '*': all", _DEVICE)] = ("*",)
    interval_s: Annotated[
        float,
        Number("a device's figures are shown no more often; that it comes and goes, at once", 0.1, 86_400),
    ] = 10.0
    measure_s: Annotated[float, Number("the host's own figures are shown this often", 1, 86_400)] = 60.0
    events: Annotated[
        tuple[str, ...], Texts("patterns of events of which the last one is shown; none: none", EVENT_PATTERN)
    ] = ()
    events_per_s: Annotated[float, Number("of these at most; the others are left out", 0.1, 100)] = 1.0
    name: str = field(default="", kw_only=True)
    kind: str = field(default="home-assistant", kw_only=True)
    carrier: BrokerSettings = field(kw_only=True)
    options: HomeAssistantOptions | SparkplugOptions = field(kw_only=True)
    figures: Mapping[str, FigureKind] = field(
        default_factory=lambda: types.MappingProxyType({}), kw_only=True
    )

    def shows(self, device: str) -> bool:
        """Whether this device is shown there."""
        return "*" in self.devices or device in self.devices


def read_upstreams(table: SpecReader, folder: Path) -> Mapping[str, UpstreamSettings]:
    """The upstream systems by name.

    Raises:
        InvalidConfigError: a key is wrong, or two would speak for one name.
    """
    found: dict[str, UpstreamSettings] = {}
    for each in table.tables(pattern=NAME):
        found[each.name] = _read(each, folder)
    if len(found) > _MOST_UPSTREAMS:
        raise InvalidConfigError(f"There are {len(found)} [upstream] tables; {_MOST_UPSTREAMS} are possible.")
    return types.MappingProxyType(found)


def require_upstreams(upstreams: Mapping[str, UpstreamSettings], devices: Mapping[str, object]) -> None:
    """Check what no single table shows.

    Raises:
        InvalidConfigError: a device is named that the configuration does not have, or two speak for one name.
    """
    places: dict[tuple[object, ...], str] = {}
    for name, each in upstreams.items():
        for device in each.devices:
            if device != "*" and device not in devices:
                raise InvalidConfigError(
                    f"upstream.{name}.devices names '{device}', which is no device of this host.",
                    hint=f"Describe it under [devices.{device}], or drop it.",
                )
        broker = (each.kind, each.carrier.host, each.carrier.tcp_port)
        for what in _places(each.options):
            other = places.setdefault((*broker, *what), name)
            if other != name:
                raise InvalidConfigError(
                    f"upstream.{name} and upstream.{other} would speak for this host at one broker in one place.",
                    hint=f"Give each its own {what[0]}.",
                )


def _places(options: HomeAssistantOptions | SparkplugOptions) -> tuple[tuple[str, str], ...]:
    if isinstance(options, SparkplugOptions):
        return (("group or node", f"{options.group}/{options.node}"),)
    return ("discovery_prefix", options.discovery_prefix), ("topic_root", options.topic_root)


def _read(table: SpecReader, folder: Path) -> UpstreamSettings:
    kind = table.choice("kind", KINDS)
    carrier = read_settings(BrokerSettings, table, folder)
    options = read_settings(KINDS[kind], table, folder)
    figures: dict[str, FigureKind] = {}
    paths = table.table("figures")
    for path, each in zip(paths.names(), paths.tables(pattern=FIELD_PATH), strict=True):
        said = read_settings(FigureSettings, each, folder)
        each.refuse_unknown()
        figures[path] = FigureKind(said.name, said.unit, said.device_class, said.state_class)
    settings = read_settings(
        UpstreamSettings,
        table,
        folder,
        name=table.name,
        kind=kind,
        carrier=carrier,
        options=options,
        figures=types.MappingProxyType(figures),
    )
    table.refuse_unknown()
    for key in ("ca_file", "cert_file", "key_file"):
        if getattr(carrier, key) is not None and not carrier.tls:
            raise table.refused(key, "is set, and tls is not.", hint="Set tls = true, or drop it.")
    if (carrier.cert_file is None) != (carrier.key_file is None):
        raise table.refused("cert_file", "goes with key_file.", hint="Set both, or neither.")
    return settings
