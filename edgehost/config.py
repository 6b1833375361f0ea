"""One TOML file becomes frozen dataclasses; unknown keys are refused, every limit has a unit and a reason.

The annotation of a field is the whole truth about its key: bounds, and the reason that ``edgehost init``
writes beside it. Reader and template both walk the dataclasses, so that they cannot drift apart.
"""

from __future__ import annotations

import difflib
import os
import re
import stat
import tomllib
import types
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from edgehost.config_events import EventSettings, PipelineSettings, SinkSettings, read_pipelines, read_sinks
from edgehost.config_services import ServiceSettings, read_bindings, read_services
from edgehost.config_settings import (
    Choice,
    FilePath,
    Flag,
    Number,
    Text,
    Texts,
    Whole,
    read_settings,
    settings_of,
)
from edgehost.config_sources import BUILT_IN, SourceSettings, read_sources
from edgehost.config_traffic import TrafficSettings, read_traffic
from edgehost.domain.component_spec import HOST_FUNCTIONS
from edgehost.domain.errors import InvalidConfigError, NotFoundError, RefusedError, TooLargeError
from edgehost.domain.names import NAME, worded
from edgehost.domain.spec_reader import SpecReader
from edgehost.domain.version_range import VersionRange

CONFIG_FILE_NAME: Final = "edgehost.toml"
KIB: Final = 1024
MIB: Final = 1024 * KIB

#: A configuration is written by people: a file beyond this is some other file.
_MOST_FILE_BYTES: Final = 1 * MIB
#: The kernel's sun_path holds 108 bytes with the final zero.
_MOST_SOCKET_PATH_BYTES: Final = 107
_Table = TypeVar("_Table")
_EVERY_COMPONENT: Final = "*"
#: From here on a word is a host function that was mistyped; models, components and hosts can be denied too.
_MISSPELT: Final = 0.85
_SOURCE: Final = worded(rf"|{NAME.pattern}", "the name of a source")
_FOLLOW: Final = worded(rf"\*|{NAME.pattern}", "'*' or a component's name")
_ADDRESS: Final = worded(r"[A-Za-z0-9.:_-]{1,253}", "a host's name or address")
_ADDRESS_OR_NONE: Final = worded(rf"|{_ADDRESS.pattern}", "an address of this machine, or empty")
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
    body_kib: Annotated[int, Whole("a larger request body is refused while it is read", 1, 64 * KIB)] = 1024
    aegis_prefix: Annotated[
        bool, Flag("answer the paths of AEGIS below /aegis/api too, with the replies that it documents")
    ] = False
    allowed_hosts: Annotated[
        tuple[str, ...],
        Texts("names in the Host header besides the address; stops DNS rebinding by web pages", _ADDRESS),
    ] = ()


@dataclass(frozen=True, slots=True)
class MqttCarrier:
    """What a remote over MQTT needs."""

    host: Annotated[str, Text("the broker", _ADDRESS)]
    tcp_port: Annotated[int, Whole("0: 1883, or 8883 with tls", 0, 65_535)] = 0
    tls: Annotated[bool, Flag("encrypt; the releases are signed either way")] = False
    ca_file: Annotated[
        Path | None, FilePath("who signs the broker's certificate; empty: the system's list", optional=True)
    ] = None
    username: Annotated[str, Text("empty: none")] = ""
    password_file: Annotated[
        Path | None,
        FilePath("file whose first line is the password, so that this file holds no secret", optional=True),
    ] = None


@dataclass(frozen=True, slots=True)
class FolderCarrier:
    """What a remote in a folder needs: a disk, a USB stick, a network share."""

    path: Annotated[Path, FilePath("the folder that 'edgehost publish' wrote")]


#: The value of ``transport`` and the keys that come with it.
TRANSPORTS: Final[Mapping[str, type[MqttCarrier | FolderCarrier]]] = {
    "mqtt": MqttCarrier,
    "folder": FolderCarrier,
}


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
    carrier: MqttCarrier | FolderCarrier = field(kw_only=True)

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


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration; every path is absolute."""

    host: HostSettings
    api: ApiSettings
    limits: LimitSettings
    probation: ProbationSettings
    keep: KeepSettings
    security: SecuritySettings = SecuritySettings()
    events: EventSettings = field(default_factory=EventSettings)
    sinks: tuple[SinkSettings, ...] = ()
    pipelines: Mapping[str, PipelineSettings] = field(default_factory=lambda: types.MappingProxyType({}))
    remotes: tuple[RemoteSettings, ...] = ()
    components: Mapping[str, ComponentSettings] = field(default_factory=lambda: types.MappingProxyType({}))
    sources: Mapping[str, SourceSettings] = field(default_factory=lambda: types.MappingProxyType({}))
    services: Mapping[str, ServiceSettings] = field(default_factory=lambda: types.MappingProxyType({}))
    bindings: Mapping[str, str] = field(default_factory=lambda: types.MappingProxyType({}))
    path: Path | None = None  # the file it came from

    @classmethod
    def default(cls, folder: Path) -> Config:
        """What an empty configuration file in this folder means."""
        return read_config({}, folder=folder)

    @property
    def unix_socket(self) -> Path:
        """Where the command line meets the host."""
        return self.api.unix_socket or self.host.data / "edgehost.sock"

    def component(self, name: str) -> ComponentSettings:
        """What is wanted of this component; defaults when the file does not name it."""
        return self.components.get(name, ComponentSettings())


def load_config(path: Path) -> Config:
    """The configuration in a TOML file.

    Raises:
        NotFoundError: there is no such file.
        TooLargeError: it is no configuration by its size.
        InvalidConfigError: the message gives the line, or the key with its dotted path.
    """
    path = Path(os.path.abspath(path))  # noqa: PTH100 - a symlink is the operator's way to name the file
    try:
        # A pipe would be waited for until somebody writes.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise InvalidConfigError(f"{path} is no regular file.", hint="Name a file.")
            content = file.read(_MOST_FILE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(
            f"There is no configuration file {path}.", hint="'edgehost init' writes one."
        ) from None
    except OSError as problem:
        raise InvalidConfigError(f"{path} cannot be read: {problem.strerror}.") from None
    if len(content) > _MOST_FILE_BYTES:
        raise TooLargeError(f"{path} has more than {_MOST_FILE_BYTES} bytes.", hint="Is it the right file?")
    try:
        document = tomllib.loads(content.decode())
        return replace(read_config(document, folder=path.parent), path=path)
    except (ValueError, RecursionError) as problem:
        raise InvalidConfigError(f"{path} is no TOML: {problem}.") from None
    except RefusedError as problem:
        raise InvalidConfigError(f"{path}: {problem.message}", hint=problem.hint) from None


def read_config(document: Mapping[str, Any], *, folder: Path) -> Config:
    """The configuration in a document; relative paths start at ``folder``."""
    top = SpecReader(document, error=InvalidConfigError)
    config = Config(
        host=_read_table(HostSettings, top.table("host"), folder),
        api=_read_table(ApiSettings, top.table("api"), folder),
        limits=_read_table(LimitSettings, top.table("limits"), folder),
        probation=_read_table(ProbationSettings, top.table("probation"), folder),
        keep=_read_table(KeepSettings, top.table("keep"), folder),
        security=_read_table(SecuritySettings, top.table("security"), folder),
        events=_read_table(EventSettings, top.table("events"), folder),
        remotes=tuple(_read_remote(table, folder) for table in top.table_list("remotes")),
        components=types.MappingProxyType(
            {
                table.name: _read_component(table, folder)
                for table in top.table("components").tables(pattern=NAME)
            }
        ),
        sources=read_sources(top.table("sources"), folder),
        services=read_services(top.table("services"), folder),
        sinks=read_sinks(top, folder),
        pipelines=read_pipelines(top.table("pipelines"), folder),
        bindings=read_bindings(top.table("bindings")),
    )
    top.refuse_unknown()
    if not config.host.name:
        config = replace(config, host=replace(config.host, name=_machine_name()))
    _require_consistent(config)
    return config


def _read_table(settings: type[_Table], table: SpecReader, folder: Path) -> _Table:
    values = read_settings(settings, table, folder)
    table.refuse_unknown()
    return values


def _read_remote(table: SpecReader, folder: Path) -> RemoteSettings:
    transport = table.choice("transport", TRANSPORTS)
    for name, other in TRANSPORTS.items():
        if name == transport:
            continue
        for each, _ in settings_of(other):
            if table.has(each.name):
                raise table.refused(
                    each.name,
                    f"belongs to transport '{name}'; this remote's is '{transport}'.",
                    hint="Drop the key, or change the transport.",
                )
    carrier = read_settings(TRANSPORTS[transport], table, folder)
    remote = read_settings(RemoteSettings, table, folder, carrier=carrier)
    table.refuse_unknown()
    return remote


def _read_component(table: SpecReader, folder: Path) -> ComponentSettings:
    config = table.table("config")
    overrides = {key: config.text(key, longest=64 * KIB) for key in config.names()}
    settings = read_settings(
        ComponentSettings,
        table,
        folder,
        config=types.MappingProxyType(overrides),
        traffic=read_traffic(table.table("traffic"), folder),
    )
    table.refuse_unknown()
    try:
        VersionRange.parse(settings.version)
    except RefusedError as problem:
        raise table.refused("version", f"is {settings.version[:80]!r}.", hint=problem.hint) from None
    return settings


def _machine_name() -> str:
    """The machine's name as a DNS label, so that it fits topics and URLs."""
    label = re.sub(r"[^a-z0-9-]+", "-", os.uname().nodename.partition(".")[0].lower()).strip("-")[:63]
    return label if NAME.fullmatch(label) else f"host-{label}".rstrip("-")[:63]


def _require_consistent(config: Config) -> None:
    seen: set[str] = set()
    for index, remote in enumerate(config.remotes):
        if remote.name in seen:
            raise InvalidConfigError(
                f"remotes[{index}].name is '{remote.name}', as another remote's.", hint="Give each its own."
            )
        seen.add(remote.name)
    for name, component in config.components.items():
        known = (*BUILT_IN, *config.sources)
        if component.source and component.source not in known:
            raise InvalidConfigError(
                f"components.{name}.source is '{component.source}', which is no source of this host.",
                hint=f"Known: {', '.join(known)}. Describe others under [sources.NAME].",
            )
        for denied in component.deny:
            close = difflib.get_close_matches(denied, HOST_FUNCTIONS, n=1, cutoff=_MISSPELT)
            if close and denied not in {*HOST_FUNCTIONS, *config.components}:
                raise InvalidConfigError(
                    f"components.{name}.deny holds {denied[:80]!r}, which is no host function.",
                    hint=f"Did you mean '{close[0]}'? A component of this name needs a table of its own here.",
                )
    # [auth-1] nothing but loopback is open without a credential
    if config.api.listen and not is_loopback(config.api.listen) and config.api.token_file is None:
        raise InvalidConfigError(
            f"api.listen is '{config.api.listen}', which other machines reach, and api.token_file is not set.",
            hint="Set api.token_file to a file with a long random token, or listen on 127.0.0.1.",
        )
    if config.api.aegis_prefix and f"{config.api.root}/".startswith("/aegis/api/"):
        raise InvalidConfigError(
            f"api.root is '{config.api.root}', where api.aegis_prefix answers too.",
            hint="Choose another root.",
        )
    if len(os.fsencode(config.unix_socket)) > _MOST_SOCKET_PATH_BYTES:
        raise InvalidConfigError(
            f"api.unix_socket would be {config.unix_socket}, longer than the {_MOST_SOCKET_PATH_BYTES} bytes "
            "that the kernel takes.",
            hint="Set api.unix_socket to a shorter path.",
        )


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches the address."""
    if address == "localhost":
        return True
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
