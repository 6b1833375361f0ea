"""What calling ports needs: the services that this host is configured with, bindings, breakers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from importlib import import_module
from typing import Any, Final, cast

from edgehost.adapters.storage.binding_file import BindingFile
from edgehost.composition.spared_table import SparedTable
from edgehost.config import Config
from edgehost.config_services import ENTRY_POINTS, KINDS, ServiceSettings
from edgehost.domain.circuit_breaker import Position
from edgehost.domain.errors import EdgehostError, UnavailableError
from edgehost.domain.port_events import BreakerMoved, ServiceNotified
from edgehost.ports.service import Service, ServiceNotice
from edgehost.ports.topic_source import TopicSource
from edgehost.usecases.bind_port import Bindings
from edgehost.usecases.live_models import LiveModels
from edgehost.usecases.local_directory import LocalDirectory
from edgehost.usecases.port_breakers import PortBreakers
from edgehost.usecases.port_rooms import HostService, PortRooms
from edgehost.usecases.record_keeping import RecordKeeping
from edgehost.usecases.running_components import RunningComponents

log = logging.getLogger("edgehost.services")

#: The kind whose services bring messages on topics.
_TOPICS: Final = "mqtt"

_Opener = Callable[[str, Any, ServiceNotice], AbstractAsyncContextManager[Service]]


async def open_ports(
    config: Config,
    keeping: RecordKeeping,
    models: LiveModels,
    running: RunningComponents,
    stack: AsyncExitStack,
    *,
    safe: bool = False,
) -> PortRooms:
    """Ports with their bindings and services; the stack closes the services.

    Raises:
        UnavailableError: a service cannot be opened at all.
        DamagedError: the kept bindings are not what was written, and the host is not in safe mode.
    """

    def told(model: str, port: str, error_class: str, position: Position) -> None:
        keeping.bus.publish(
            BreakerMoved(
                at=keeping.clock.now(),
                model=model,
                port=port,
                error_class=error_class,
                position=str(position),
            )
        )

    kept = BindingFile(config.host.data / "bindings.json")
    bindings = Bindings(SparedTable(kept) if safe else kept, keeping.bus, keeping.clock, config.bindings)
    await bindings.load()
    services = {}
    for name, settings in config.services.items():
        service = await stack.enter_async_context(_opened(name, settings, keeping))
        services[name] = HostService(service, settings.kind, settings.allow)
    return PortRooms(
        keeping=keeping,
        models=models,
        directory=LocalDirectory(running),
        bindings=bindings,
        breakers=PortBreakers(told),
        services=services,
    )


def _opened(
    name: str, settings: ServiceSettings, keeping: RecordKeeping
) -> AbstractAsyncContextManager[Service]:
    def notice(event: str, data: Any) -> None:  # noqa: ANN401 - JSON
        keeping.bus.publish(ServiceNotified(at=keeping.clock.now(), service=name, name=event, data=data))

    try:
        opener = _BUILT_IN[settings.kind]() if settings.kind in _BUILT_IN else _plugin(settings.kind)
        return opener(name, settings.options, notice)
    except EdgehostError:
        raise
    except ModuleNotFoundError as missing:
        from importlib.metadata import metadata  # noqa: PLC0415 - as below

        extras = metadata("edgehost").get_all("Provides-Extra") or ()
        what = (
            f"pip install 'edgehost[{settings.kind}]'" if settings.kind in extras else "Install what it needs"
        )
        raise UnavailableError(
            f"The service '{name}' ({settings.kind}) needs the package {missing.name}, which is not installed.",
            hint=f"{what}, or take [services.{name}] out of the configuration.",
        ) from missing
    except Exception as fault:  # a package that does not even import
        log.exception("The service '%s' cannot be opened.", name)
        raise UnavailableError(
            f"The service '{name}' ({settings.kind}) cannot be opened: {fault}.",
            hint=f"Install what it needs, or take [services.{name}] out of the configuration.",
        ) from fault


def _plugin(kind: str) -> _Opener:
    from importlib.metadata import entry_points  # noqa: PLC0415 - 1 MB, for kinds that others bring

    (found,) = entry_points(group=ENTRY_POINTS, name=kind) or (None,)
    if found is None:
        raise UnavailableError(f"No installed package brings services of kind '{kind}' any more.")
    opener: _Opener = found.load()
    return opener


def _opener_in(module: str, room: str = "services") -> Callable[[], _Opener]:
    def load() -> _Opener:
        opener: _Opener = getattr(
            import_module(f"edgehost.adapters.{room}.{module}_service"), f"open_{module}_service"
        )
        return opener

    return load


#: Each is imported when one of its kind is configured: an idle host stays small.
_BUILT_IN: Final[Mapping[str, Callable[[], _Opener]]] = {
    kind: _opener_in("web_socket" if kind == "websocket" else kind) for kind in KINDS
} | {"mavlink": _opener_in("mavlink", "vehicles")}


def topic_sources(rooms: PortRooms) -> list[TopicSource]:
    """The services that bring messages to inbound ports with a topic."""
    return [cast(TopicSource, hosted.service) for hosted in rooms.services.values() if hosted.kind == _TOPICS]
