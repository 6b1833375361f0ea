"""What the host's doctor says of its place in the fleet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from edgehost.adapters.fleet.fleet_view import MqttFleetView
from edgehost.adapters.fleet.mqtt_fleet import MqttFleet
from edgehost.usecases.finding import finding
from edgehost.usecases.run_fleet_commands import FleetCommands

#: A host keeps some dozens of topics there, and a hundred commands.
_USUALLY_SHOWN: Final = 1024


def order_findings(view: MqttFleetView | None) -> Iterator[Mapping[str, Any]]:
    """Of orders to rollouts, for the host's doctor."""
    if view is not None and view.orders.refused:
        yield finding(
            "rollout orders",
            "warning",
            f"{view.orders.refused} were not obeyed. The last: {view.orders.last_refusal}",
            view.orders.refusal_hint,
        )


def fleet_findings(link: MqttFleet, commands: FleetCommands | None) -> Iterator[Mapping[str, Any]]:
    """For the host's doctor."""
    if link.namesakes.others:
        role = (
            "It keeps silent until the other is gone" if link.namesakes.yields else "It speaks for the name"
        )
        yield finding(
            "namesake",
            "failed",
            f"Another host answers to this name ({link.namesakes.shown}). {role}.",
            "Give one of them another [host] name.",
        )
    if link.trouble or not link.connected:
        yield finding(
            "fleet",
            "warning",
            link.trouble or "not connected",
            "What runs keeps running; check [fleet] and the broker.",
        )
    else:
        yield finding("fleet", "ok", f"connected over MQTT {link.protocol}", "")
    if link.refused_filters:
        refused = ", ".join(sorted(link.refused_filters))
        yield finding(
            "fleet topics", "warning", f"The broker refuses {refused}.", "Allow it in its access list."
        )
    if link.shown > _USUALLY_SHOWN:
        below = f"{link.topics.registration}/#"
        yield finding(
            "fleet topics",
            "warning",
            f"When this host connected, the broker retained {link.shown} messages below {below}, which are not its own.",
            f"See who may publish there; \"mosquitto_sub -v --retained-only -t '{below}'\" shows them.",
        )
    if commands is not None and (commands.refusals.count or commands.dropped):
        yield finding(
            "fleet commands",
            "warning",
            f"{commands.refusals.count} were not genuine or stale, {commands.dropped} came too fast. "
            f"The last: {commands.refusals.last or 'none'}",
            "See who may publish at the broker.",
        )
