"""The configuration file that ``edgehost init`` writes: every key, its default, its reason."""

from __future__ import annotations

import dataclasses
import json
import textwrap
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from edgehost.config_boards import BoardSettings
from edgehost.config_certificates import CertificateSettings
from edgehost.config_coap import ShelfSettings
from edgehost.config_devices import DeviceSettings
from edgehost.config_events import EventSettings, PipelineSettings, SinkSettings
from edgehost.config_fleet import FleetSettings, OperatorSettings
from edgehost.config_services import KINDS, ServiceSettings
from edgehost.config_settings import settings_of
from edgehost.config_sources import SourceSettings
from edgehost.config_tables import (
    TRANSPORTS,
    ApiSettings,
    ComponentSettings,
    HostSettings,
    KeepSettings,
    LimitSettings,
    ProbationSettings,
    RemoteSettings,
    SecuritySettings,
)
from edgehost.config_traffic import TrafficSettings
from edgehost.config_upstream import KINDS as UPSTREAM_KINDS
from edgehost.config_upstream import BrokerSettings, FigureSettings, UpstreamSettings

_WIDTH: Final = 100
#: Numbers from here on are easier to read in groups of three digits.
_GROUPED: Final = 10_000
_HEAD: Final = """\
# edgehost.toml: the configuration of one edgehost.
#
# Every key is here with its default; delete what you do not change. Relative paths start at this file's
# folder. Unknown keys are refused. 'edgehost doctor' checks the file and the machine.
"""
_REMOTES: Final = """\
# Where releases come from. One [[remotes]] table each; take the number signs away to use one.
"""
_LABELS: Final = """\
# Words about this host; deployments and fleets choose hosts by them.
"""
_OPERATORS: Final = """\
# Who may command this host when commands = "signed". One [[fleet.operators]] table each.
"""
_SOURCES: Final = """\
# Where records can be kept beside the host's own journal; components choose one by source.
"""
_SERVICES: Final = """\
# What adapters can be bound to, one [services.NAME] table each. 'edgehost bind' shows and changes what is bound.
"""
_BINDINGS: Final = """\
# What leads where, where it is not to be as the components say: a port to an adapter, an adapter to a service.
"""
_DEVICES: Final = """\
# Microcontrollers on this machine's lines, with edgehost's firmware, one [devices.NAME] table each.
"""
_CERTIFICATES: Final = """\
# Client certificates that this host renews before they end. One [[certificates]] table each, for files that
# [fleet], [[remotes]] or [upstream.NAME] name.
"""
_UPSTREAM: Final = """\
# Systems that are shown this host and its devices, one [upstream.NAME] table each.
"""
_COMPONENTS: Final = """\
# What this host wants of one component; without a table it gets the newest release and all its grants.
"""
_SINKS: Final = """\
# Where events go when they leave the host. One [[sinks]] table each.
"""
_PIPELINES: Final = """\
# Components in a row, the answer of each the input of the next; called, or started by an event.
"""
#: Keys without a default, as an example.
_EXAMPLES: Final = {
    "name": "fleet",
    "root": Path("root.json"),
    "host": "broker.local",
    "path": Path("/media/usb/remote"),
    "to": "file",
    "steps": ("geofence.validate", "greeter.greet"),
    "url_file": Path("far.url"),
    "folder": Path("files"),
    "device_path": Path("/dev/ttyUSB0"),
    "url": "wss://example.org/feed",
    "cert_file": Path("host.crt"),
    "key_file": Path("host.key"),
    "key": "operator.pub",
    "line": "/dev/ttyACM0",
    "device": "lamp",
    "component": "device-blink",
    "functions": ("set",),
}
#: What a key stands for in the example of one transport.
_TRANSPORT_EXAMPLES: Final = {
    "http": {"url": "https://example.org/remote"},
    "coap": {"host": "gateway.local"},
    "tree": {"owner": "example", "repo": "fleet"},
}


def config_template() -> str:
    """A whole configuration that means the same as an empty one."""
    tables = {
        "host": HostSettings,
        "api": ApiSettings,
        "limits": LimitSettings,
        "probation": ProbationSettings,
        "keep": KeepSettings,
        "security": SecuritySettings,
        "shelf": ShelfSettings,
        "events": EventSettings,
        "boards": BoardSettings,
    }
    parts = [_HEAD]
    parts += [f"{_title(settings)}[{name}]\n{_keys(settings)}" for name, settings in tables.items()]
    parts += [
        _LABELS,
        _commented('[host.labels]\nsite = "north"\n'),
        f"{_title(FleetSettings)}[fleet]\n{_keys(FleetSettings)}",
        _OPERATORS,
        "".join(
            (
                _commented("[[fleet.operators]]\n"),
                _commented(_keys(OperatorSettings).replace("may = []", 'may = ["deploy", "rollback"]')),
            )
        ),
        _REMOTES,
        *(_remote(transport) for transport in TRANSPORTS),
        _SOURCES,
        "".join((_commented("[sources.far]\n"), _commented(_keys(SourceSettings)))),
        _SERVICES,
        *(
            "".join(
                (
                    _commented(f'[services.my-{kind}]\nkind = "{kind}"\n'),
                    _commented(_keys(ServiceSettings)),
                    _commented(_keys(options)),
                )
            )
            for kind, options in KINDS.items()
        ),
        _BINDINGS,
        _commented('[bindings]\n"model.port" = "adapter"\nadapter = "my-http"\n'),
        _SINKS,
        "".join(
            (
                _commented("[[sinks]]\n"),
                _commented(_keys(SinkSettings).replace('path = ""', 'path = "events.ndjson"')),
                _commented("# members that an event must have\nwhere = {}\n"),
                _commented("# service: what the function gets beside the event\ngiven = {}\n"),
            )
        ),
        _PIPELINES,
        "".join(
            (
                _commented("[pipelines.risk]\n"),
                _commented(_keys(PipelineSettings)),
                _commented("# members that an event must have to start it\nwhere = {}\n"),
            )
        ),
        _DEVICES,
        "".join((_commented("[devices.lamp]\n"), _commented(_keys(DeviceSettings)))),
        _UPSTREAM,
        *(
            "".join(
                (
                    _commented(f'[upstream.my-{kind}]\nkind = "{kind}"\n'),
                    _commented(_keys(BrokerSettings)),
                    _commented(_keys(UpstreamSettings)),
                    _commented(_keys(options)),
                    _commented(f'[upstream.my-{kind}.figures."component.temperature"]\n'),
                    _commented(_keys(FigureSettings)),
                )
            )
            for kind, options in UPSTREAM_KINDS.items()
        ),
        _CERTIFICATES,
        "".join(
            (
                _commented("[[certificates]]\n"),
                _commented(
                    _keys(CertificateSettings, {"name": "broker"}).replace(
                        'url = ""', 'url = "https://est.example.org"'
                    )
                ),
            )
        ),
        _COMPONENTS,
        "".join(
            (
                _commented("[components.telemetry]\n"),
                _commented(_keys(ComponentSettings)),
                _commented("# values that override the component's own configuration\n"),
                _commented("config = {}\n"),
                _commented("[components.telemetry.traffic]\n"),
                _commented(_keys(TrafficSettings)),
            )
        ),
    ]
    return "\n".join(parts)


def _title(settings: type) -> str:
    """What the table is about, from the dataclass's own sentence."""
    sentence = (settings.__doc__ or "").partition(": ")[2]
    return f"# {sentence[:1].upper()}{sentence[1:]}\n"


def _remote(transport: str) -> str:
    """A remote of this kind; the first one has the keys that all have."""
    if transport == next(iter(TRANSPORTS)):
        head = _keys(RemoteSettings)
    else:
        head = f'name = "{transport}"\nroot = "root.json"\n'
    keys = _keys(TRANSPORTS[transport], _TRANSPORT_EXAMPLES.get(transport, {}))
    return _commented(f'[[remotes]]\n{head}transport = "{transport}"\n{keys}')


def _keys(settings: type, examples: Mapping[str, object] = types.MappingProxyType({})) -> str:
    examples = {**_EXAMPLES, **examples}
    lines = []
    for each, setting in settings_of(settings):
        lines += textwrap.wrap(setting.why, _WIDTH, initial_indent="# ", subsequent_indent="# ")
        default = examples[each.name] if each.default is dataclasses.MISSING else each.default
        lines.append(f"{each.name} = {_toml(default)}")
    return "".join(f"{line}\n" for line in lines)


def _commented(text: str) -> str:
    """Keys lose their effect; sentences stay as they are."""
    return "".join(line if line.startswith("#") else f"#{line}" for line in text.splitlines(keepends=True))


def _toml(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return f"{value:_}" if value >= _GROUPED else str(value)
        case tuple():
            return f"[{', '.join(_toml(item) for item in value)}]"
        case None:
            return '""'
        case float():
            return repr(value)
        case _:
            return json.dumps(str(value), ensure_ascii=False)
