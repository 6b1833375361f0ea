"""Remotes as the configuration names them, each over what carries it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AsyncExitStack

from edgehost.adapters.services.system_clock import SystemClock
from edgehost.composition.broker_options import broker_options
from edgehost.config import Config
from edgehost.config_carriers import HttpCarrier, StickCarrier, TreeCarrier
from edgehost.config_coap import CoapCarrier
from edgehost.config_tables import KIB, FolderCarrier, MqttCarrier, RemoteSettings, SourceCarrier
from edgehost.ports.remote import Remote
from remotes.clock_floor import signed_time
from remotes.folder_transport import open_folder_transport
from remotes.remote import RemoteOptions, open_trusted_remote
from remotes.transport import Source

#: A folder costs one stat per look; a stick or share is noticed within this time.
_FOLDER_LOOK_S = 1.0


async def open_remote(
    config: Config,
    settings: RemoteSettings,
    stack: AsyncExitStack,
    *,
    require_room: Callable[[int, int], None] = lambda _bytes, _inodes: None,
) -> Remote:
    """A configured remote over its transport; the stack closes both. ``require_room`` refuses what would fill the disk."""
    folder = config.host.data / "remotes" / settings.name
    # The machine's own: the remote keeps a floor of its own.
    now = SystemClock().now if config.host.trust_clock else signed_time(folder / "trusted")
    options = RemoteOptions(
        component_most_bytes=config.limits.component_bytes,
        bytes_per_s=settings.kib_per_s * KIB,
        window=settings.parallel,
        require_room=require_room,
    )
    if isinstance(settings.carrier, StickCarrier):
        from edgehost.composition.stick_remotes import open_stick  # noqa: PLC0415 - where there is one

        return await open_stick(
            config, settings, settings.carrier, stack, state=folder, now=now, options=options
        )
    return await stack.enter_async_context(
        open_trusted_remote(
            settings.name,
            await _open_source(settings, settings.carrier, stack),
            folder=folder,
            root_file=settings.root,
            now=now,
            options=options,
        )
    )


async def _open_source(settings: RemoteSettings, carrier: SourceCarrier, stack: AsyncExitStack) -> Source:
    """Where the repository is read from: one place, or several as one."""
    first = await _open_transport(settings, carrier, stack)
    if not settings.mirrors:
        return first
    from remotes.mirrored_source import Place, open_mirrored_source  # noqa: PLC0415 - for those with mirrors

    others = [
        Place(await _open_transport(settings, mirror.carrier, stack), near=mirror.near)
        for mirror in settings.mirrors
        if not isinstance(mirror.carrier, StickCarrier)  # which the configuration refuses
    ]
    return await stack.enter_async_context(open_mirrored_source([Place(first), *others], now=time.monotonic))


async def _open_transport(settings: RemoteSettings, carrier: SourceCarrier, stack: AsyncExitStack) -> Source:
    match carrier:
        case FolderCarrier(path):
            return await stack.enter_async_context(open_folder_transport(path, poll_s=_FOLDER_LOOK_S))
        case MqttCarrier() as broker:
            from remotes.lean_mqtt import load_lean  # noqa: PLC0415 - paho only where it is used

            load_lean()
            from remotes.mqtt_transport import open_mqtt_transport  # noqa: PLC0415 - likewise

            return await stack.enter_async_context(open_mqtt_transport(settings.name, broker_options(broker)))
        case HttpCarrier() as web:
            from edgehost.composition.web_remotes import open_http  # noqa: PLC0415 - h11 only where it is used

            return await open_http(web, stack)
        case TreeCarrier() as tree:
            from edgehost.composition.web_remotes import open_tree  # noqa: PLC0415 - likewise

            return await open_tree(tree, stack)
        case CoapCarrier() as coap:
            from edgehost.composition.coap_remotes import open_coap_remote  # noqa: PLC0415 - aiocoap, for those who ask

            return await open_coap_remote(settings.name, coap, stack)
