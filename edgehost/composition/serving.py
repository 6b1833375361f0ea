"""The application, its control routes and its addresses."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from dataclasses import asdict

from edgehost import __version__
from edgehost.api.access import AccessPolicy, read_token_file
from edgehost.api.app import ApiOptions, HostApp, make_app
from edgehost.api.server import ServedAt
from edgehost.composition.rooms import Rooms
from edgehost.config import Config
from edgehost.config_services import MqttOptions
from edgehost.config_tables import KIB
from edgehost.usecases.control_host import ControlHost, HostIdentity
from edgehost.usecases.manage_components import ComponentManager
from edgehost.usecases.view_host import HostViews
from edgehost.usecases.watch_traffic import TrafficWatch


def make_control(rooms: Rooms, manager: ComponentManager, traffic: TrafficWatch) -> ControlHost:
    """What answers an operator."""
    config = rooms.config
    return ControlHost(
        identity=HostIdentity(
            name=config.host.name,
            version=__version__,
            device_class=config.host.device_class,
            pid=os.getpid(),
            started_at=rooms.clock.now(),
        ),
        manager=manager,
        traffic_watch=traffic,
        clock=rooms.clock,
        confinement=rooms.sandboxes.confinement,
        storage=lambda: asdict(rooms.records.statistics()),
        request_stop=rooms.stopping.set,
        guest_lines=rooms.guest_lines,
        ports=rooms.ports,
        views=HostViews(rooms.models, rooms.running, rooms.ports, rooms.places, traffic),
    )


def make_host_app(rooms: Rooms, control: ControlHost) -> HostApp:
    """The application behind the TCP port and the Unix socket."""
    api = rooms.config.api
    access = AccessPolicy(
        tokens={} if api.token_file is None else read_token_file(api.token_file),
        allowed_hosts=api.allowed_hosts,
    )
    options = ApiOptions(
        root=api.root,
        host_name=rooms.config.host.name,
        version=__version__,
        body_bytes=api.body_kib * KIB,
        brokers=_brokers(rooms.config),
        aegis_prefix=api.aegis_prefix,
        coap_base=f"coap://127.0.0.1:{api.coap_port}{api.root}/" if api.coap_port else "",
    )
    return make_app(
        rooms.keeping,
        rooms.models,
        host=control,
        access=access,
        options=options,
        ports=rooms.ports,
        relations=rooms.relations,
    )


async def open_coap(rooms: Rooms, app: HostApp, stack: AsyncExitStack) -> tuple[str, ...]:
    """The application over CoAP as well, where the configuration asks for it; the addresses that it adds.

    Raises:
        UnavailableError: the port cannot be had.
    """
    api = rooms.config.api
    if not api.coap_port:
        return ()
    from edgehost.api.coap_gateway import CoapGateway, serving_coap  # noqa: PLC0415 - aiocoap, for those who ask

    gateway = CoapGateway(app, rooms.models, root=api.root, body_bytes=api.body_kib * KIB)
    base = await stack.enter_async_context(serving_coap(gateway, api.coap_port))
    return (base + api.root,)


async def open_shelf(rooms: Rooms, stack: AsyncExitStack) -> None:
    """What this host has for its neighbours, where the configuration asks for it.

    Raises:
        UnavailableError: the port cannot be had.
    """
    serving = rooms.config.shelf.coap_serving()
    if serving is not None:
        from edgehost.composition.coap_remotes import serve_shelf  # noqa: PLC0415 - as above

        await serve_shelf(rooms, serving, stack)


def urls_of(config: Config, served_at: ServedAt) -> tuple[str, ...]:
    """Where the API is reached."""
    tcp = (served_at.url + config.api.root,) if served_at.url else ()
    return (*tcp, f"unix:{served_at.unix_socket}")


def _brokers(config: Config) -> tuple[str, ...]:
    """The brokers whose topics reach inbound ports."""
    brokers = (each.options for each in config.services.values() if isinstance(each.options, MqttOptions))
    return tuple(
        f"{'mqtts' if each.tls else 'mqtt'}://{each.host}:{each.tcp_port or (8883 if each.tls else 1883)}"
        for each in brokers
    )
