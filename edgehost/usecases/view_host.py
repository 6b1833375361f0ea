"""What this host serves and how it is, one view for each kind of thing: from specifications and the live state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from edgehost.domain.errors import NotFoundError
from edgehost.domain.model_spec import ModelSpec
from edgehost.domain.port_spec import Direction
from edgehost.domain.relation_query import leads_to_one
from edgehost.domain.route_table import routes_of
from edgehost.domain.suggestion import did_you_mean
from edgehost.usecases.live_models import LiveModel, LiveModels
from edgehost.usecases.place_records import RecordPlaces
from edgehost.usecases.port_rooms import PortRooms
from edgehost.usecases.run_command import commands_of, permissions_for
from edgehost.usecases.running_components import RunningComponents
from edgehost.usecases.show_record import domain_of
from edgehost.usecases.view_ports import bindings_view, ports_view
from edgehost.usecases.watch_traffic import TrafficWatch

_Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class HostViews:
    """Answers ``config?details=``; what the host does without is an empty view."""

    models: LiveModels
    running: RunningComponents
    ports: PortRooms | None = None
    places: RecordPlaces | None = None
    traffic: TrafficWatch | None = None

    def view(self, details: str, model: str = "") -> Mapping[str, Any]:
        """One view, of one model where it is named.

        Raises:
            NotFoundError: there is no such view or model.
        """
        make = _VIEWS.get(details)
        if make is None:
            raise NotFoundError(
                f"There is no view {details[:80]!r}.",
                hint=did_you_mean(details[:80], _VIEWS) or f"Known: {', '.join(_VIEWS)}.",
            )
        if model:
            self.models.table.named(model)
        return {details: make(self, model)}

    def live(self, model: str) -> list[LiveModel]:
        """The models that a view is about."""
        return [each for each in self.models.table.by_endpoint.values() if model in {"", each.spec.name}]


def _models(views: HostViews, model: str) -> _Rows:
    return [
        {
            "model": live.spec.name,
            "endpoint": live.spec.endpoint,
            "domain": domain_of(live.spec),
            "component": live.component,
            "version": live.version,
            "digest": live.digest,
            "description": live.description,
            "hooks": _hooks(live.spec),
            "schema": live.spec.schema,
            "properties": {name: _without_defaults(each) for name, each in live.spec.properties.items()},
            "access": {name: asdict(rule) for name, rule in live.spec.access.items()},
            "serializers": [asdict(each) for each in live.spec.serializers],
            "dependencies": dict(live.spec.dependencies),
            "routes": [
                {"path": route.path, "methods": sorted(route.answers)}
                for route in routes_of(live.component, live.spec)
            ],
        }
        for live in views.live(model)
    ]


def _hooks(model: ModelSpec) -> dict[str, str]:
    names = ("factory", "validate", "on_update", "on_delete", "migrate")
    return {name: export for name in names if (export := getattr(model, name))}


def _without_defaults(spec: Any) -> dict[str, Any]:  # noqa: ANN401 - a dataclass
    return {name: value for name, value in asdict(spec).items() if value not in (None, False, "", (), {}, [])}


def _ports(views: HostViews, model: str) -> _Rows:
    rows = [] if views.ports is None else ports_view(views.ports)
    return [row for row in rows if model in {"", row["model"]}]


def _events(views: HostViews, model: str) -> _Rows:
    rows: _Rows = []
    for live in views.live(model):
        name = live.spec.name
        rows += [
            {
                "model": name,
                "on": each.on,
                "handler": each.export,
                "where": dict(each.where),
                "once": each.once,
                "replay": each.replay,
            }
            for each in live.spec.handlers
        ]
        for port, spec in live.spec.ports.items():
            if spec.consumes:
                rows.append({"model": name, "on": spec.consumes, "port": port})
            if spec.produces:
                rows.append({"model": name, "produces": spec.produces, "port": port})
    return rows


def _relations(views: HostViews, model: str) -> _Rows:
    return [
        {
            "model": live.spec.name,
            "relation": name,
            "to": relation.model,
            "type": str(relation.type),
            "one": leads_to_one(relation),
            "foreign_key": relation.foreign_key,
            "key": relation.key,
            "array_key": relation.array_key,
            "export": relation.export,
            "description": relation.description,
            "there": relation.model in views.models.table.by_name,
        }
        for live in views.live(model)
        for name, relation in live.spec.relations.items()
    ]


def _bindings(views: HostViews, model: str) -> Mapping[str, Any]:
    if views.ports is None:
        return {"ports": [], "adapters": [], "services": [], "bound": {}}
    view = dict(bindings_view(views.ports))
    outbound = str(Direction.OUTBOUND)
    view["ports"] = [
        row for row in view["ports"] if row["direction"] == outbound and model in {"", row["model"]}
    ]
    return view


def _sandboxes(views: HostViews, model: str) -> _Rows:
    wanted = {live.component for live in views.live(model)}
    return [
        {"component": each.release.component, "version": each.release.version, **instance}
        for each in views.running.everything()
        if not model or each.release.component in wanted
        for instance in each.pool.instances()
    ]


def _commands(views: HostViews, model: str) -> _Rows:
    rows: _Rows = []
    for live in views.live(model):
        for name in commands_of(live.spec):
            spec = live.spec.commands.get(name)
            rows.append(
                {
                    "model": live.spec.name,
                    "command": name,
                    "description": "" if spec is None else spec.description,
                    "acl": list(permissions_for(live.spec, name)),
                }
            )
    return rows


def _sources(views: HostViews, model: str) -> _Rows:
    return [
        {
            "model": live.spec.name,
            "source": "" if views.places is None else views.places.source_of(live.spec.name),
            "wanted": live.spec.source.adapter,
            "indexes": list(live.spec.source.indexes),
            "text": list(live.spec.source.text),
            "cache": live.spec.source.cache,
        }
        for live in views.live(model)
    ]


def _traffic(views: HostViews, model: str) -> _Rows:
    if views.traffic is None:
        return []
    wanted = {live.component for live in views.live(model)}
    components = [each.release.component for each in views.running.all()]
    return [views.traffic.describe(name) for name in components if not model or name in wanted]


#: What ``details`` may be.
_VIEWS: Final[Mapping[str, Callable[[HostViews, str], Any]]] = {
    "models": _models,
    "ports": _ports,
    "events": _events,
    "relations": _relations,
    "bindings": _bindings,
    "sandboxes": _sandboxes,
    "commands": _commands,
    "sources": _sources,
    "traffic": _traffic,
}
