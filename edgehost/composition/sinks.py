"""The sinks that the configuration names."""

from __future__ import annotations

from edgehost.adapters.services.event_file import EventFile
from edgehost.composition.rooms import Rooms
from edgehost.config_events import SinkSettings
from edgehost.config_tables import KIB
from edgehost.domain.errors import InvalidConfigError
from edgehost.domain.suggestion import did_you_mean
from edgehost.ports.event_sink import EventSink
from edgehost.usecases.forward_events import EventForwarder, Forwarding
from edgehost.usecases.service_sink import ServiceSink


def make_sinks(rooms: Rooms) -> tuple[EventForwarder, ...]:
    """One forwarder for each sink.

    Raises:
        InvalidConfigError: a sink names a service that is not configured, or a function that it does not have.
    """
    return tuple(
        EventForwarder(
            Forwarding(settings.name, settings.on, settings.where, settings.waiting),
            _sink(rooms, settings),
            rooms.bus,
            rooms.clock,
            source=f"urn:edgehost:host:{rooms.config.host.name}",
        )
        for settings in rooms.config.sinks
    )


def _sink(rooms: Rooms, settings: SinkSettings) -> EventSink:
    if settings.path is not None:
        return EventFile(settings.path, settings.file_kib * KIB, settings.files)
    hosted = rooms.ports.services.get(settings.to)
    if hosted is None:
        raise InvalidConfigError(
            f"The sink '{settings.name}' goes to '{settings.to}', which is no service of this host.",
            hint=did_you_mean(settings.to, rooms.ports.services)
            or f"Configure [services.{settings.to}], or use to = 'file'.",
        )
    if settings.function and settings.function not in hosted.service.functions:
        raise InvalidConfigError(
            f"The sink '{settings.name}': '{settings.to}' has no function '{settings.function}'.",
            hint=did_you_mean(settings.function, hosted.service.functions),
        )
    return ServiceSink(hosted.service, hosted.kind, settings.function, settings.given)
