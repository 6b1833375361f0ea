"""What an operator orders about bindings, and what is worth telling about ports and services."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgehost.domain.binding import DIRECT, read_port_name, require_binding, split_target
from edgehost.domain.errors import NotFoundError
from edgehost.domain.port_spec import Direction
from edgehost.domain.suggestion import did_you_mean
from edgehost.usecases.finding import finding
from edgehost.usecases.invoke_port import require_port
from edgehost.usecases.port_rooms import PortRooms
from edgehost.usecases.view_ports import (
    adapters_view,
    bindings_view,
    is_adapter,
    is_service,
    ports_view,
    services_view,
)


async def order_binding(rooms: PortRooms, what: str, target: str) -> Mapping[str, Any]:
    """Bind, or take a binding back with an empty target; returns what leads where then.

    Raises:
        RefusedError: one of the two is no name.
        NotFoundError: there is no such port, adapter or service here, or nothing to take back.
        StorageFullError: it could not be kept; nothing has changed.
    """
    if not target:
        await rooms.bindings.unbind(what)
        return bindings_view(rooms)
    require_binding(what, target)
    port = read_port_name(what)
    if port is not None:
        require_port(rooms.models.table.named(port[0]), port[1], Direction.OUTBOUND)
        adapter, service = split_target(target)
        _require_adapter(rooms, adapter)
        if service:
            _require_service(rooms, service)
    else:
        _require_adapter(rooms, what)
        _require_service(rooms, target)
    await rooms.bindings.bind(what, target)
    return bindings_view(rooms)


def is_led(rooms: PortRooms, what: str, target: str) -> bool:
    """Whether what a binding leads to is here."""
    if read_port_name(what) is None:
        return is_service(rooms, target)
    adapter, service = split_target(target)
    return is_adapter(rooms, adapter) and (not service or is_service(rooms, service))


def port_findings(rooms: PortRooms) -> list[dict[str, str]]:
    """What of ports and services needs a look, as findings of the doctor."""
    findings = [
        finding(
            f"service {service['service']}",
            service["state"],
            service["detail"] or service["kind"],
            service["hint"],
        )
        for service in services_view(rooms)
        if service["kind"] != "component"
    ]
    for port in ports_view(rooms):
        name = f"{port['model']}.{port['port']}"
        if port["direction"] == Direction.OUTBOUND and port["enabled"] and not port["there"]:
            findings.append(
                finding(
                    f"port {name}",
                    "warning",
                    f"It leads to '{port['adapter']}' and '{port['service'] or 'no service'}', not all of it here.",
                    "Deploy or configure what is missing, or bind another with 'edgehost bind'.",
                )
            )
        for error_class, breaker in port["breakers"].items():
            if breaker["position"] != "closed":
                findings.append(
                    finding(
                        f"port {name}",
                        "warning",
                        f"Its breaker ({error_class}) is {breaker['position']}.",
                        f"It is tried again in {breaker['retest_in_s']:g} s.",
                    )
                )
    return findings


def _require_adapter(rooms: PortRooms, name: str) -> None:
    if not is_adapter(rooms, name):
        known = [DIRECT, *(each["adapter"] for each in adapters_view(rooms))]
        raise NotFoundError(f"No adapter '{name}' runs on this host.", hint=did_you_mean(name, known))


def _require_service(rooms: PortRooms, name: str) -> None:
    if not is_service(rooms, name):
        known = [each["service"] for each in services_view(rooms)]
        raise NotFoundError(
            f"There is no service '{name}' on this host.",
            hint=did_you_mean(name, known) or f"Deploy one, or configure [services.{name}].",
        )
