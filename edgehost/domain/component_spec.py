"""What a component says about itself: its specification.

It is written as ``component.toml``, embedded as CBOR in the custom section ``edgehost.component`` of the
``.wasm`` by ``edgehost build``, and therefore signed with the code. The same reader serves both, so a host
refuses what the builder would have refused.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import semver

from edgehost.domain.model_consistency import require_consistent_model
from edgehost.domain.model_spec import ModelSpec, read_model
from edgehost.domain.names import EXPORT, NAME, worded
from edgehost.domain.spec_reader import SpecReader

#: Functions that a guest may be granted, and what each lets it do (imports from ``extism:host/user``).
HOST_FUNCTIONS: Final[dict[str, str]] = {
    "readings": "read this machine's load, memory, temperature, disk and network figures",
    "save": "create or update a record of a granted model",
    "get": "read one record of a granted model",
    "find": "query the records of a granted model",
    "delete": "delete a record of a granted model",
    "call": "call a command or export of a granted component",
    "notify": "publish an event of its own",
    "now": "read the host's clock",
    "port": "call an outbound port of its own model",
    "related": "follow a relation of its own model, or create across it",
    "service": "call the service that this adapter is bound to",
}
_HTTP_HOST: Final = worded(
    r"(\*\.)?[a-z0-9.-]{1,253}(:[0-9]{1,5})?",
    "a host such as api.example.org, *.example.org or localhost:8080",
)


class Kind(enum.StrEnum):
    """The three kinds of component."""

    MODEL = "model"
    ADAPTER = "adapter"
    SERVICE = "service"


class Abi(enum.StrEnum):
    """The calling convention between host and guest."""

    EXTISM = "extism"
    PLAIN = "plain"
    AEGIS = "aegis"  # the seed's AssemblyScript convention


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """A service: an export that the host calls on its own, every ``every_s`` seconds (0: only when called)."""

    export: str = ""
    every_s: float = 0.0
    functions: tuple[str, ...] = ()  # exports that adapters bound to it may call


@dataclass(frozen=True, slots=True)
class AdapterSpec:
    """An adapter: an export that carries a port's call to a service and its answer back."""

    export: str = "invoke"
    service: str = ""  # the service that it is bound to at first, unless the port or the host says otherwise


@dataclass(frozen=True, slots=True)
class ProbeSpec:
    """The call that a new instance must answer before it takes traffic; without one, its exports compile."""

    export: str = ""
    input: str = ""
    deadline_ms: int = 2000


@dataclass(frozen=True, slots=True)
class Limits:
    """What an instance may spend. The host's own limits are applied on top: the smaller one holds."""

    memory_kib: int = 4096  # linear memory; a page is 64 KiB
    stack_kib: int = 64  # the interpreter's stack
    deadline_ms: int = 1000  # wall time of one call, nested calls included
    input_kib: int = 256
    output_kib: int = 256
    instances_min: int = 1
    instances_max: int = 2
    queue: int = 64  # calls that may wait for an instance
    host_calls: int = 10_000  # calls back into the host during one call
    log_lines: int = 1000  # during one call


@dataclass(frozen=True, slots=True)
class Grants:
    """What a component may reach; nothing by default."""

    functions: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    components: tuple[str, ...] = ()  # whom it may call
    http_hosts: tuple[str, ...] = ()  # host names for Extism's http_request; "*.example.org" for sub-domains


@dataclass(frozen=True, slots=True)
class ComponentSpec:
    """The whole specification of one release of a component."""

    name: str
    version: str
    kind: Kind
    abi: Abi = Abi.EXTISM
    description: str = ""
    device_classes: tuple[str, ...] = ("any",)
    model: ModelSpec | None = None
    service: ServiceSpec | None = None
    adapter: AdapterSpec | None = None
    probe: ProbeSpec = ProbeSpec()
    limits: Limits = Limits()
    grants: Grants = Grants()
    config: Mapping[str, str] = field(default_factory=dict)

    def exports_used(self) -> tuple[str, ...]:
        """Every export that the specification names; the module must have them all."""
        names = [self.probe.export]
        if self.model is not None:
            names += self.model.exports_used()
        if self.service is not None:
            names += [self.service.export, *self.service.functions]
        if self.adapter is not None:
            names += [self.adapter.export]
        return tuple(dict.fromkeys(name for name in names if name))


def read_component_spec(document: Mapping[str, Any]) -> ComponentSpec:
    """The specification in a TOML or CBOR document.

    Raises:
        InvalidSpecificationError: a key is unknown, missing, of the wrong type or out of range; the message
            gives its dotted path and, for an unknown key, the closest known one.
    """
    return read_tables(SpecReader(document))


def read_tables(top: SpecReader) -> ComponentSpec:
    """As ``read_component_spec``, with a reader that may do more than read.

    Raises:
        InvalidSpecificationError: as the reader refuses.
    """
    kind = Kind(top.choice("kind", Kind))
    name = top.text("name", pattern=NAME)
    spec = ComponentSpec(
        name=name,
        version=_read_version(top),
        kind=kind,
        abi=Abi(top.choice("abi", Abi, default=Abi.EXTISM)),
        description=top.text("description", default="", longest=500),
        device_classes=top.texts("device_classes", pattern=NAME, default=("any",)),
        model=_read_model(top.table("model"), name) if top.has("model") else None,
        service=_read_service(top.table("service")) if top.has("service") else None,
        adapter=_read_adapter(top.table("adapter")) if kind is Kind.ADAPTER or top.has("adapter") else None,
        probe=_read_probe(top.table("probe")),
        limits=_read_limits(top.table("limits")),
        grants=_read_grants(top.table("grants")),
        config=top.text_map("config", longest=65_536),
    )
    top.refuse_unknown()
    _require_consistent(top, spec)
    return spec


def _read_version(top: SpecReader) -> str:
    version = top.text("version")
    try:
        semver.Version.parse(version)
    except ValueError:
        top.refuse(
            "version", f"is {version[:80]!r}, which is no semantic version.", hint="Write it as '1.2.3'."
        )
    return version


def _read_model(table: SpecReader, component: str) -> ModelSpec:
    model = read_model(table, component)
    require_consistent_model(table, model)
    return model


def _read_service(table: SpecReader) -> ServiceSpec:
    service = ServiceSpec(
        export=table.text("export", pattern=EXPORT, default=""),
        every_s=table.number("every_s", default=0.0, least=0.0, most=86_400.0),
        functions=table.texts("functions", pattern=EXPORT),
    )
    table.refuse_unknown()
    if service.every_s and not service.export:
        table.refuse("every_s", "is set but service.export is not.", hint="Name the export.")
    if 0 < service.every_s < 0.05:  # noqa: PLR2004 - 20 calls a second, so that a timer cannot eat a core
        table.refuse("every_s", "is below 0.05 seconds.", hint="Use 0.05 or more.")
    return service


def _read_adapter(table: SpecReader) -> AdapterSpec:
    adapter = AdapterSpec(
        export=table.text("export", pattern=EXPORT, default="invoke"),
        service=table.text("service", pattern=NAME, default=""),
    )
    table.refuse_unknown()
    return adapter


def _read_probe(table: SpecReader) -> ProbeSpec:
    probe = ProbeSpec(
        export=table.text("export", pattern=EXPORT, default=""),
        input=table.text("input", default="", longest=65_536),
        deadline_ms=table.whole("deadline_ms", default=2000, least=1, most=60_000),
    )
    table.refuse_unknown()
    return probe


def _read_limits(table: SpecReader) -> Limits:
    standard = Limits()
    limits = Limits(
        memory_kib=table.whole("memory_kib", default=standard.memory_kib, least=64, most=1_048_576),
        # wasm3 0.5.0 crashes natively on deep recursion with a 1 MiB stack and traps cleanly up to 256 KiB.
        stack_kib=table.whole("stack_kib", default=standard.stack_kib, least=8, most=256),
        deadline_ms=table.whole("deadline_ms", default=standard.deadline_ms, least=1, most=600_000),
        input_kib=table.whole("input_kib", default=standard.input_kib, least=1, most=65_536),
        output_kib=table.whole("output_kib", default=standard.output_kib, least=1, most=65_536),
        instances_min=table.whole("instances_min", default=standard.instances_min, least=1, most=64),
        instances_max=table.whole("instances_max", default=standard.instances_max, least=1, most=64),
        queue=table.whole("queue", default=standard.queue, least=0, most=10_000),
        host_calls=table.whole("host_calls", default=standard.host_calls, least=0, most=10_000_000),
        log_lines=table.whole("log_lines", default=standard.log_lines, least=0, most=100_000),
    )
    table.refuse_unknown()
    if limits.instances_max < limits.instances_min:
        table.refuse(
            "instances_max", "is below limits.instances_min.", hint="Raise the one or lower the other."
        )
    return limits


def _read_grants(table: SpecReader) -> Grants:
    grants = Grants(
        functions=table.choices("functions", HOST_FUNCTIONS),
        models=table.texts("models", pattern=NAME),
        components=table.texts("components", pattern=NAME),
        http_hosts=table.texts("http_hosts", pattern=_HTTP_HOST),
    )
    table.refuse_unknown()
    return grants


def _require_consistent(top: SpecReader, spec: ComponentSpec) -> None:
    if spec.kind is Kind.MODEL and spec.model is None:
        top.refuse("kind", "is 'model' but there is no [model] table.", hint="Add one.")
    if spec.kind is Kind.SERVICE and spec.service is None:
        top.refuse("kind", "is 'service' but there is no [service] table.", hint="Add one.")
    if spec.kind is not Kind.MODEL and spec.model is not None:
        top.refuse("model", f"is there, a [model] table, but kind is '{spec.kind}'.", hint="Drop one.")
    if spec.kind is not Kind.ADAPTER and spec.adapter is not None:
        top.refuse("adapter", f"is there, an [adapter] table, but kind is '{spec.kind}'.", hint="Drop one.")
    if spec.abi is Abi.PLAIN and spec.kind is Kind.MODEL:
        top.refuse(
            "abi",
            "is 'plain', which a model cannot use: its exports take and return numbers only.",
            hint="Use abi = 'extism' for models.",
        )
    for name, component in spec.model.dependencies.items() if spec.model is not None else ():
        if component not in spec.grants.components:
            top.refuse(
                f"model.dependencies.{name}",
                f"is '{component}', which the component may not call.",
                hint=f"Add '{component}' to grants.components.",
            )
        if f"dependency.{name}" in spec.config:
            top.refuse(f"config.dependency.{name}", "is set beside model.dependencies.", hint="Drop it here.")
