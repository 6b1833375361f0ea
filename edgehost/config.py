"""One TOML file becomes frozen dataclasses; unknown keys are refused, every limit has a unit and a reason.

The annotation of a field is the whole truth about its key: bounds, and the reason that ``edgehost init``
writes beside it. Reader and template both walk the dataclasses, so that they cannot drift apart.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, TypeVar

from edgehost.config_boards import BoardSettings
from edgehost.config_carriers import HttpCarrier
from edgehost.config_certificates import CertificateSettings, read_certificates, require_shown
from edgehost.config_coap import CoapCarrier, ShelfSettings
from edgehost.config_devices import DeviceSettings, read_devices
from edgehost.config_events import EventSettings, PipelineSettings, SinkSettings, read_pipelines, read_sinks
from edgehost.config_fleet import FleetSettings, read_fleet
from edgehost.config_remotes import carriers_of, read_remote, require_remotes
from edgehost.config_services import DeviceOptions, ServiceSettings, read_bindings, read_services
from edgehost.config_settings import (
    read_settings,
)
from edgehost.config_sources import BUILT_IN, SourceSettings, read_sources
from edgehost.config_tables import (
    KIB,
    ApiSettings,
    ComponentSettings,
    HostSettings,
    KeepSettings,
    LimitSettings,
    MqttCarrier,
    ProbationSettings,
    RemoteSettings,
    SecuritySettings,
)
from edgehost.config_traffic import read_traffic
from edgehost.config_upstream import BrokerSettings, UpstreamSettings, read_upstreams, require_upstreams
from edgehost.domain.component_spec import HOST_FUNCTIONS
from edgehost.domain.errors import InvalidConfigError, NotFoundError, RefusedError, TooLargeError
from edgehost.domain.names import NAME, words_for
from edgehost.domain.spec_reader import SpecReader
from edgehost.domain.suggestion import closest, did_you_mean
from edgehost.domain.version_range import VersionRange

CONFIG_FILE_NAME: Final = "edgehost.toml"

#: A configuration is written by people: a file beyond this is some other file.
_MOST_FILE_BYTES: Final = 1024 * KIB
#: The kernel's sun_path holds 108 bytes with the final zero.
_MOST_SOCKET_PATH_BYTES: Final = 107
_Table = TypeVar("_Table")
#: What may show a client certificate.
CertificateCarrier = FleetSettings | BrokerSettings | MqttCarrier | HttpCarrier | CoapCarrier
#: From here on a word is a host function that was mistyped; models, components and hosts can be denied too.
_MISSPELT: Final = 0.85


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration; every path is absolute."""

    host: HostSettings
    api: ApiSettings
    limits: LimitSettings
    probation: ProbationSettings
    keep: KeepSettings
    security: SecuritySettings = field(default_factory=SecuritySettings)
    shelf: ShelfSettings = field(default_factory=ShelfSettings)
    events: EventSettings = field(default_factory=EventSettings)
    fleet: FleetSettings = field(default_factory=FleetSettings)
    boards: BoardSettings = field(default_factory=BoardSettings)
    devices: Mapping[str, DeviceSettings] = field(default_factory=lambda: types.MappingProxyType({}))
    upstream: Mapping[str, UpstreamSettings] = field(default_factory=lambda: types.MappingProxyType({}))
    sinks: tuple[SinkSettings, ...] = ()
    pipelines: Mapping[str, PipelineSettings] = field(default_factory=lambda: types.MappingProxyType({}))
    certificates: tuple[CertificateSettings, ...] = ()
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

    def certificate_carriers(self) -> Iterator[tuple[str, CertificateCarrier]]:
        """The connections that can show a client certificate, and where in the configuration they are."""
        yield "fleet", self.fleet
        for name, upstream in self.upstream.items():
            yield f"upstream.{name}", upstream.carrier
        for index, remote in enumerate(self.remotes):
            for where, carrier in carriers_of(index, remote):
                if isinstance(carrier, MqttCarrier | HttpCarrier | CoapCarrier):
                    yield where, carrier

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
    return parse_config(read_config_file(path), path)


def read_config_file(path: Path) -> bytes:
    """The file's bytes.

    Raises:
        NotFoundError: there is no such file.
        TooLargeError, InvalidConfigError: it is no configuration by its size, or no regular file.
    """
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
    return content


def parse_config(content: bytes, path: Path) -> Config:
    """The configuration in a text; relative paths start at the folder of ``path``, which messages name.

    Raises:
        TooLargeError: it is no configuration by its size.
        InvalidConfigError: the message gives the line, or the key with its dotted path.
    """
    if len(content) > _MOST_FILE_BYTES:
        raise TooLargeError(f"A configuration has at most {_MOST_FILE_BYTES} bytes.")
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
        host=_read_host(top.table("host"), folder),
        api=_read_table(ApiSettings, top.table("api"), folder),
        limits=_read_table(LimitSettings, top.table("limits"), folder),
        probation=_read_table(ProbationSettings, top.table("probation"), folder),
        keep=_read_table(KeepSettings, top.table("keep"), folder),
        security=_read_table(SecuritySettings, top.table("security"), folder),
        shelf=_read_table(ShelfSettings, top.table("shelf"), folder),
        events=_read_table(EventSettings, top.table("events"), folder),
        fleet=read_fleet(top.table("fleet"), folder),
        boards=_read_table(BoardSettings, top.table("boards"), folder),
        devices=read_devices(top.table("devices"), folder),
        upstream=read_upstreams(top.table("upstream"), folder),
        certificates=read_certificates(top, folder),
        remotes=tuple(read_remote(table, folder) for table in top.table_list("remotes")),
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


def _read_host(table: SpecReader, folder: Path) -> HostSettings:
    labels = types.MappingProxyType(table.text_map("labels", longest=128))
    for name in labels:
        if not NAME.fullmatch(name):
            raise table.refused(f"labels.{name[:80]}", f"is no name: it must be {words_for(NAME)}.")
    settings = read_settings(HostSettings, table, folder, labels=labels)
    table.refuse_unknown()
    return settings


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
    require_remotes(config.remotes)
    _require_devices(config)
    config.shelf.require_consistent()
    require_upstreams(config.upstream, config.devices)
    shown = [(f"{at}.key_file", each.cert_file, each.key_file) for at, each in config.certificate_carriers()]
    shelf = config.shelf
    shown.append(("shelf.coap_key_file", shelf.coap_cert_file, shelf.coap_key_file))
    require_shown(config.certificates, shown)
    for name, component in config.components.items():
        known = (*BUILT_IN, *config.sources)
        if component.source and component.source not in known:
            raise InvalidConfigError(
                f"components.{name}.source is '{component.source}', which is no source of this host.",
                hint=f"Known: {', '.join(known)}. Describe others under [sources.NAME].",
            )
        for denied in component.deny:
            close = closest(denied, HOST_FUNCTIONS, likeness=_MISSPELT)
            if close and denied not in {*HOST_FUNCTIONS, *config.components}:
                raise InvalidConfigError(
                    f"components.{name}.deny holds {denied[:80]!r}, which is no host function.",
                    hint=f"Did you mean '{close}'? A component of this name needs a table of its own here.",
                )
    # Nothing but loopback is open without a credential.
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


def _require_devices(config: Config) -> None:
    for name, service in config.services.items():
        if not isinstance(service.options, DeviceOptions):
            continue
        device = service.options.device
        if device not in config.devices:
            raise InvalidConfigError(
                f"services.{name}.device is '{device}', which is no device of this host.",
                hint=did_you_mean(device, config.devices) or "Describe it under [devices.NAME].",
            )
        if not service.options.functions:
            raise InvalidConfigError(
                f"services.{name}.functions is empty, so nothing can be called.", hint="Name the exports."
            )


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches the address."""
    if address == "localhost":
        return True
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
