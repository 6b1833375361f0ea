"""What leads where on this host, and how it is: for operators, the API and the dashboard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from edgehost.domain.binding import DIRECT
from edgehost.domain.call_policy import breaker_rules
from edgehost.domain.component_spec import Kind
from edgehost.domain.port_spec import Direction, PortSpec
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.port_rooms import PortRooms


def ports_view(rooms: PortRooms) -> list[dict[str, Any]]:
    """Every port of every live model: direction, where it leads, its breakers."""
    models = sorted(rooms.models.table.by_name.values(), key=lambda model: model.spec.name)
    rooms.breakers.forget_others(
        frozenset((model.spec.name, port) for model in models for port in model.spec.ports)
    )
    return [
        _port(rooms, model, port, spec) for model in models for port, spec in sorted(model.spec.ports.items())
    ]


def adapters_view(rooms: PortRooms) -> list[dict[str, Any]]:
    """Every adapter that runs here, and the service that it is bound to when its port does not say another."""
    found = (rooms.directory.find(name) for name in sorted(rooms.directory.names()))
    view = []
    for each in found:
        if each is None or each.spec.kind is not Kind.ADAPTER:
            continue
        declared = each.spec.adapter.service if each.spec.adapter is not None else ""
        binding = rooms.bindings.table.service_of(each.spec.name, declared)
        view.append(
            {
                "adapter": each.spec.name,
                "version": each.spec.version,
                "service": binding.target,
                "by": str(binding.origin),
                "there": is_service(rooms, binding.target),
            }
        )
    return view


def services_view(rooms: PortRooms) -> list[dict[str, Any]]:
    """Every service: the host's own with their health, and the components that are services."""
    view = [
        {
            "service": name,
            "kind": hosted.kind,
            "functions": dict(hosted.service.functions),
            "events": dict(hosted.service.events),
            "allow": list(hosted.allow),
            **asdict(hosted.service.health()),
        }
        for name, hosted in sorted(rooms.services.items())
    ]
    for name in sorted(rooms.directory.names()):
        found = rooms.directory.find(name)
        if found is not None and found.spec.service is not None:
            functions = (*found.spec.service.functions, found.spec.service.export)
            view.append(
                {
                    "service": name,
                    "kind": "component",
                    "functions": {function: "" for function in dict.fromkeys(functions) if function},
                    "events": {},
                    "allow": ["*"],
                    "state": "ok",
                    "detail": f"version {found.spec.version}",
                    "hint": "",
                }
            )
    return view


def bindings_view(rooms: PortRooms) -> Mapping[str, Any]:
    """All of it, with the operator's bindings as they stand."""
    return {
        "ports": ports_view(rooms),
        "adapters": adapters_view(rooms),
        "services": services_view(rooms),
        "bound": dict(rooms.bindings.table.operator),
    }


def is_service(rooms: PortRooms, name: str) -> bool:
    """Whether a service of this name is here."""
    found = rooms.directory.find(name)
    return name in rooms.services or (found is not None and found.spec.service is not None)


def is_adapter(rooms: PortRooms, name: str) -> bool:
    """Whether an adapter of this name is here."""
    found = rooms.directory.find(name)
    return name == DIRECT or (found is not None and found.spec.kind is Kind.ADAPTER)


def _port(rooms: PortRooms, model: LiveModel, port: str, spec: PortSpec) -> dict[str, Any]:
    name = model.spec.name
    view: dict[str, Any] = {
        "model": name,
        "port": port,
        "direction": str(spec.direction),
        "enabled": spec.enabled,
        "description": spec.description,
        "consumes": spec.consumes,
        "produces": spec.produces,
        "undo": spec.undo,
        "timeout_ms": spec.timeout_ms,
        "retries": spec.retries,
        "breakers": rooms.breakers.state_of(name, port, breaker_rules(spec), rooms.keeping.clock.monotonic()),
    }
    if spec.direction is Direction.INBOUND:
        return view | {"export": spec.export or port, "methods": list(spec.methods), "topic": spec.topic}
    route = rooms.route(model, port, spec)
    return view | {
        "adapter": route.adapter.target,
        "adapter_by": str(route.adapter.origin),
        "service": route.service.target,
        "service_by": str(route.service.origin),
        "there": is_adapter(rooms, route.adapter.target) and is_service(rooms, route.service.target),
    }
