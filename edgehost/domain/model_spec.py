"""A model: where it is served, what its records look like, what guards its writes, how it meets the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from edgehost.domain.names import EVENT_PATTERN, EXPORT, FIELD_PATH, MEMBER, NAME, worded, words_for
from edgehost.domain.port_spec import METHODS, PortSpec, read_ports
from edgehost.domain.property_spec import PropertySpec, read_properties
from edgehost.domain.relation_spec import RelationSpec, read_relations
from edgehost.domain.route_path import ROUTE_PATH, read_route_path
from edgehost.domain.spec_reader import SpecReader

#: In front of the name of a role, where access rules name who may.
ROLE: Final = "role:"
_WHO: Final = worded(
    rf"\*|{NAME.pattern}|{ROLE}{NAME.pattern}", f"'*', a component's name, or {ROLE}NAME for a role"
)

#: What an access rule can be about.
PERMISSIONS: Final = ("read", "create", "update", "delete", "command", "port", "relation")


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """A named operation on a record: the guest export that carries it out."""

    export: str
    description: str = ""
    acl: tuple[str, ...] = ("command",)  # permissions that the caller needs, all of them
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class HandlerSpec:
    """An export that is called for events; ``where`` compares members of the event's data."""

    on: str  # an event type or pattern
    export: str
    where: Mapping[str, Any] = field(default_factory=dict)
    once: bool = False  # only the first that matches since the release went live
    replay: int = 0  # so many of the last matching events first


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """Where the model's records live; "" is the host's default."""

    adapter: str = ""  # memory, tinydb, mongo
    indexes: tuple[str, ...] = ()  # dotted paths
    cache: int = 0  # records kept in memory in front of a source that is not here; 0: the host decides
    text: tuple[str, ...] = ()  # fields of the full-text index


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """A route of the model's own, below the API root; the export gets method, path, query and body."""

    path: str
    export: str
    methods: tuple[str, ...] = ("GET",)


@dataclass(frozen=True, slots=True)
class AccessRule:
    """Who else may do what: ``allow`` names components, or roles as ``role:NAME``, or ``*``; ``deny`` wins."""

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SerializerSpec:
    """What becomes of a member on its way out: masked, left out, or as an export says."""

    on: str  # "network" or "storage"
    key: str
    action: str  # "omit", "mask" or "export"
    export: str = ""
    read_export: str = ""  # storage: the way back


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """All that a model declares."""

    name: str
    endpoint: str
    schema: Mapping[str, Any] = field(default_factory=dict)  # JSON Schema 2020-12; {} allows any object
    domain: str = ""  # bounded context; "": the model's own name
    factory: str = ""  # export that makes a record's data of a create request
    validate: str = ""  # export asked before a record is created or updated
    on_update: str = ""  # export that may complete an update
    on_delete: str = ""  # export that may veto a delete
    migrate: str = ""  # export that brings a record of the release before into this one's form
    dependencies: Mapping[str, str] = field(
        default_factory=dict
    )  # name to component, given to the guest as config
    commands: Mapping[str, CommandSpec] = field(default_factory=dict)
    ports: Mapping[str, PortSpec] = field(default_factory=dict)
    relations: Mapping[str, RelationSpec] = field(default_factory=dict)
    properties: Mapping[str, PropertySpec] = field(default_factory=dict)
    handlers: tuple[HandlerSpec, ...] = ()
    source: SourceSpec = SourceSpec()
    routes: tuple[RouteSpec, ...] = ()
    access: Mapping[str, AccessRule] = field(default_factory=dict)  # by permission
    serializers: tuple[SerializerSpec, ...] = ()

    def exports_used(self) -> tuple[str, ...]:
        """Every export that the model names, in the order of the specification, with repetitions."""
        names = [self.factory, self.validate, self.on_update, self.on_delete, self.migrate]
        names += [command.export for command in self.commands.values()]
        for name, port in self.ports.items():
            inbound = port.export or name if port.direction == "inbound" else ""
            undo = "" if port.undo in self.ports else port.undo
            names += [inbound, port.callback, undo, *(rule.fallback for rule in port.breaker.values())]
        names += [relation.export for relation in self.relations.values()]
        names += [export for each in self.properties.values() for export in (each.computed, each.updated)]
        names += [handler.export for handler in self.handlers]
        names += [route.export for route in self.routes]
        names += [export for each in self.serializers for export in (each.export, each.read_export)]
        return tuple(name for name in names if name)


def read_model(table: SpecReader, component: str) -> ModelSpec:
    """The model in a specification's ``[model]`` table.

    Raises:
        InvalidSpecificationError: as for every specification.
    """
    name = table.text("name", pattern=NAME, default=component)
    model = ModelSpec(
        name=name,
        endpoint=table.text("endpoint", pattern=NAME, default=name),
        schema=table.document("schema"),
        domain=table.text("domain", pattern=NAME, default=""),
        factory=table.text("factory", pattern=EXPORT, default=""),
        validate=table.text("validate", pattern=EXPORT, default=""),
        on_update=table.text("on_update", pattern=EXPORT, default=""),
        on_delete=table.text("on_delete", pattern=EXPORT, default=""),
        migrate=table.text("migrate", pattern=EXPORT, default=""),
        dependencies=_read_dependencies(table),
        commands={each.name: _read_command(each) for each in table.table("commands").tables(pattern=NAME)},
        ports=read_ports(table.table("ports")),
        relations=read_relations(table.table("relations")),
        properties=read_properties(table.table("properties")),
        handlers=tuple(_read_handler(each) for each in table.table_list("handlers")),
        source=_read_source(table.table("source")),
        routes=tuple(_read_route(each) for each in table.table_list("routes")),
        access=_read_access(table.table("access")),
        serializers=tuple(_read_serializer(each) for each in table.table_list("serializers")),
    )
    table.refuse_unknown()
    return model


def _read_dependencies(table: SpecReader) -> dict[str, str]:
    dependencies = table.text_map("dependencies", pattern=NAME)
    for name in dependencies:
        if not NAME.fullmatch(name):
            table.refuse(f"dependencies.{name[:80]}", f"is no name: it must be {words_for(NAME)}.")
    return dependencies


def _read_command(table: SpecReader) -> CommandSpec:
    command = CommandSpec(
        export=table.text("export", pattern=EXPORT, default=table.name),
        description=table.text("description", default="", longest=500),
        acl=table.choices("acl", PERMISSIONS) if table.has("acl") else ("command",),
        enabled=table.flag("enabled", default=True),
    )
    table.refuse_unknown()
    return command


def _read_handler(table: SpecReader) -> HandlerSpec:
    handler = HandlerSpec(
        on=table.text("on", pattern=EVENT_PATTERN),
        export=table.text("export", pattern=EXPORT),
        where=table.document("where"),
        once=table.flag("once", default=False),
        replay=table.whole("replay", default=0, least=0, most=1000),
    )
    table.refuse_unknown()
    return handler


def _read_source(table: SpecReader) -> SourceSpec:
    source = SourceSpec(
        adapter=table.text("adapter", pattern=NAME, default=""),
        indexes=table.texts("indexes", pattern=FIELD_PATH),
        cache=table.whole("cache", default=0, least=0, most=10_000_000),
        text=table.texts("text", pattern=FIELD_PATH),
    )
    table.refuse_unknown()
    return source


def _read_route(table: SpecReader) -> RouteSpec:
    route = RouteSpec(
        path=table.text("path", pattern=ROUTE_PATH, longest=200),
        export=table.text("export", pattern=EXPORT),
        methods=table.choices("methods", METHODS) or ("GET",),
    )
    table.refuse_unknown()
    if ROUTE_PATH.fullmatch(route.path):
        table.require("path", lambda: read_route_path(route.path))
    return route


def _read_access(table: SpecReader) -> dict[str, AccessRule]:
    rules = {}
    for permission in PERMISSIONS:
        rule = table.table(permission)
        if table.has(permission):
            rules[permission] = AccessRule(
                rule.texts("allow", pattern=_WHO), rule.texts("deny", pattern=_WHO)
            )
            rule.refuse_unknown()
    table.refuse_unknown()
    return rules


def _read_serializer(table: SpecReader) -> SerializerSpec:
    serializer = SerializerSpec(
        on=table.choice("on", ("network", "storage")),
        key=table.text("key", pattern=MEMBER),
        action=table.choice("action", ("omit", "mask", "export")),
        export=table.text("export", pattern=EXPORT, default=""),
        read_export=table.text("read_export", pattern=EXPORT, default=""),
    )
    table.refuse_unknown()
    if serializer.on == "storage" and serializer.action != "export":
        table.refuse("action", "must be 'export' for storage: what is left out there is lost.")
    elif serializer.action == "export" and not serializer.export:
        table.refuse("export", "is missing: action is 'export'.")
    elif serializer.on == "storage" and not serializer.read_export:
        table.refuse("read_export", "is missing: what goes to storage has to come back.")
    if serializer.action != "export" and serializer.export:
        table.refuse("export", f"has no meaning: action is '{serializer.action}'.", hint="Drop it.")
    if serializer.on == "network" and serializer.read_export:
        table.refuse("read_export", "has no meaning on the network.", hint="Drop it.")
    return serializer
