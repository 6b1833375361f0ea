"""The tables of the configuration that every host has, its remotes and its components."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

from edgehost.config_brokers import BrokerCaFile, BrokerHost, BrokerPasswordFile, BrokerPort, BrokerUser
from edgehost.config_carriers import HttpCarrier, StickCarrier, TreeCarrier
from edgehost.config_coap import CoapCarrier
from edgehost.config_settings import Choice, FilePath, Flag, Number, Text, Texts, Whole
from edgehost.config_traffic import TrafficSettings
from edgehost.domain.names import ADDRESS, NAME, worded
from edgehost.domain.version_range import VersionRange

KIB: Final = 1024
MIB: Final = 1024 * KIB
_EVERY_COMPONENT: Final = "*"
_SOURCE: Final = worded(rf"|{NAME.pattern}", "the name of a source")
_FOLLOW: Final = worded(rf"\*|{NAME.pattern}", "'*' or a component's name")
_ADDRESS_OR_NONE: Final = worded(rf"|{ADDRESS.pattern}", "an address of this machine, or empty")
_ROOT: Final = worded(r"(/[A-Za-z0-9._~-]+)+", "a path such as /api")
_GRANT: Final = worded(r"[\x21-\x7e]{1,253}", "the name of a grant: printable ASCII, no space")


@dataclass(frozen=True, slots=True)
class HostSettings:
    """[host]: who this host is and where its data lives."""

    name: Annotated[str, Text("name in logs, events and topics; empty: the machine's own name", NAME)] = ""
    device_class: Annotated[
        str, Text("releases published for another class are refused; those for 'any' always fit", NAME)
    ] = "generic"
    data: Annotated[Path, FilePath("everything that must survive a restart")] = Path("data")
    log_level: Annotated[
        str, Choice("what goes to standard error", ("debug", "info", "warning", "error"))
    ] = "info"
    #: [host.labels]: words about this host, such as site = "north"; deployments and fleets choose by them.
    labels: Mapping[str, str] = field(default_factory=lambda: types.MappingProxyType({}))
    config_trial_s: Annotated[
        float,
        Number(
            "a start is well after so long: then a new configuration is good, and before it the host goes back to "
            "the last good one when it is not well; three unclean ends before it lead to safe mode; 0: neither",
            0,
            3600,
        ),
    ] = 60.0
    trust_clock: Annotated[
        bool,
        Flag("false: this machine's clock is never right; expiry is judged by signed times alone"),
    ] = True


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """[api]: where the generated API is served."""

    root: Annotated[str, Text("path in front of every route", _ROOT)] = "/api"
    listen: Annotated[
        str, Text("address; any but loopback needs token_file; empty: the Unix socket only", _ADDRESS_OR_NONE)
    ] = "127.0.0.1"
    tcp_port: Annotated[int, Whole("0 takes any free one", 0, 65_535)] = 8420
    unix_socket: Annotated[
        Path | None,
        FilePath(
            "where the command line meets the host; empty: edgehost.sock in the data folder", optional=True
        ),
    ] = None
    token_file: Annotated[
        Path | None,
        FilePath(
            "file with the bearer tokens that TCP requests must carry, one a line, roles behind; empty: none",
            optional=True,
        ),
    ] = None
    coap_port: Annotated[
        int, Whole("the same API over CoAP, on loopback only since it has no credentials; 0: none", 0, 65_535)
    ] = 0
    body_kib: Annotated[int, Whole("a larger request body is refused while it is read", 1, 64 * KIB)] = 1024
    aegis_prefix: Annotated[
        bool, Flag("answer the paths of AEGIS below /aegis/api too, with the replies that it documents")
    ] = False
    allowed_hosts: Annotated[
        tuple[str, ...],
        Texts("names in the Host header besides the address; stops DNS rebinding by web pages", ADDRESS),
    ] = ()


@dataclass(frozen=True, slots=True)
class MqttCarrier:
    """What a remote over MQTT needs."""

    host: BrokerHost
    tcp_port: BrokerPort = 0
    tls: Annotated[bool, Flag("encrypt; the releases are signed either way")] = False
    ca_file: BrokerCaFile = None
    cert_file: Annotated[
        Path | None,
        FilePath("with tls: this host's certificate, PEM; read anew at each connection", optional=True),
    ] = None
    key_file: Annotated[Path | None, FilePath("the key of cert_file, PEM", optional=True)] = None
    username: BrokerUser = ""
    password_file: BrokerPasswordFile = None


@dataclass(frozen=True, slots=True)
class FolderCarrier:
    """What a remote in a folder needs: a disk, a USB stick, a network share."""

    path: Annotated[Path, FilePath("the folder that 'edgehost publish' wrote")]


#: Carriers of files; a stick is a remote of its own.
SourceCarrier = MqttCarrier | FolderCarrier | HttpCarrier | CoapCarrier | TreeCarrier
Carrier = SourceCarrier | StickCarrier
#: The value of ``transport`` and the keys that come with it.
TRANSPORTS: Final[Mapping[str, type[Carrier]]] = {
    "mqtt": MqttCarrier,
    "folder": FolderCarrier,
    "http": HttpCarrier,
    "stick": StickCarrier,
    "tree": TreeCarrier,
    "coap": CoapCarrier,
}


@dataclass(frozen=True, slots=True)
class MirrorSettings:
    """[[remotes.mirrors]]: another place of the same repository, which need not be trusted; a neighbour for instance."""

    near: Annotated[
        bool, Flag("on this site: chunks are asked for here before anywhere else, one download for the site")
    ] = False
    carrier: Carrier = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class RemoteSettings:
    """[[remotes]]: one repository of signed releases."""

    name: Annotated[str, Text("name in status and logs", NAME)]
    root: Annotated[Path, FilePath("the pinned root.json: the first link of trust, copied by hand once")]
    poll_s: Annotated[
        float,
        Number("looked at this often besides the push; also renews a snapshot before it expires", 1, 86_400),
    ] = 300.0
    follow: Annotated[
        tuple[str, ...], Texts("components deployed by themselves as they are published; '*': all", _FOLLOW)
    ] = (_EVERY_COMPONENT,)
    priority: Annotated[
        int,
        Whole(
            "a component that several remotes offer is taken from the highest; equal: the best of all", 0, 100
        ),
    ] = 0
    kib_per_s: Annotated[
        float,
        Number("components and documents from here take no more of the line; 0: no bound", 0, 1_000_000),
    ] = 0.0
    parallel: Annotated[int, Whole("chunks of 32 KiB asked for at one time", 1, 16)] = 4
    carrier: Carrier = field(kw_only=True)
    mirrors: tuple[MirrorSettings, ...] = field(default=(), kw_only=True)

    def follows(self, component: str) -> bool:
        """Whether a new release of this component is deployed by itself."""
        return _EVERY_COMPONENT in self.follow or component in self.follow


@dataclass(frozen=True, slots=True)
class ComponentSettings:
    """[components.NAME]: what this host wants of one component."""

    version: Annotated[str, Text("wanted versions, such as '^1.0' or '>=1, <2'")] = "*"
    deny: Annotated[
        tuple[str, ...],
        Texts(
            "grants that its specification asks for and that it does not get here",
            _GRANT,
        ),
    ] = ()
    source: Annotated[
        str,
        Text("where its records are kept: tinydb, memory, or one of [sources]; empty: as it wishes", _SOURCE),
    ] = ""
    move_records: Annotated[
        bool, Flag("move its records when its source changes; otherwise that is refused")
    ] = False
    config: Mapping[str, str] = field(default_factory=lambda: types.MappingProxyType({}), repr=False)
    traffic: TrafficSettings = field(default_factory=TrafficSettings)

    @property
    def versions(self) -> VersionRange:
        """The wanted versions, ready to ask."""
        return VersionRange.parse(self.version)


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """[limits]: what components may cost this machine; the smaller of these and a component's own holds."""

    component_bytes: Annotated[
        int,
        Whole("one component file; refused from its signed size, before a byte is fetched", KIB, 256 * MIB),
    ] = 8 * MIB
    shelf_bytes: Annotated[
        int, Whole("all component files together; a release that does not fit is refused", MIB, 1024**4)
    ] = 256 * MIB
    free_bytes: Annotated[
        int,
        Whole(
            "kept free on the data folder's disk for records: below it no component is fetched", 0, 1024**4
        ),
    ] = 32 * MIB
    instances_total: Annotated[
        int, Whole("sandboxes at one time; each has about 2 MB of its own besides its memory", 1, 4096)
    ] = 64
    memory_kib: Annotated[int, Whole("linear memory of one instance", 64, MIB)] = 64 * KIB
    deadline_ms: Annotated[int, Whole("wall time of one call, nested calls included", 1, 600_000)] = 60_000
    event_backlog: Annotated[
        int, Whole("events that wait for a slow listener; then the oldest go, and it is told", 1, 100_000)
    ] = 256


@dataclass(frozen=True, slots=True)
class ProbationSettings:
    """[probation]: how long a new release is watched, and what brings the one before it back."""

    seconds: Annotated[float, Number("after it went live; 0 turns the watch off", 0, 86_400)] = 60.0
    calls_min: Annotated[
        int, Whole("with fewer calls nothing is decided: one failure in two calls proves little", 1, 100_000)
    ] = 20
    error_rate: Annotated[float, Number("share of failed calls that is too much", 0.0, 1.0)] = 0.05


@dataclass(frozen=True, slots=True)
class KeepSettings:
    """[keep]: what stays on the shelf."""

    releases: Annotated[
        int,
        Whole(
            "last releases of each component, for rollback without a network; live ones always stay", 2, 100
        ),
    ] = 3


@dataclass(frozen=True, slots=True)
class SecuritySettings:
    """[security]: what keeps stored data secret."""

    key_file: Annotated[
        Path | None,
        FilePath(
            "keys of 32 random bytes each, the newest last, mode 0600; encrypts what models want encrypted; empty: none",
            optional=True,
        ),
    ] = None
