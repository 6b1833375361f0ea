"""Remotes over CoAP, and the shelf served by CoAP; imported by hosts that have either."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack

from edgehost.composition.rooms import Rooms
from edgehost.config_coap import CoapCarrier
from remotes.coap_options import CoapServing
from remotes.coap_server import open_coap_server
from remotes.coap_transport import open_coap_transport
from remotes.served_repository import ServedRepository
from remotes.shelf_repository import open_shelf_repository
from remotes.transport import Source

log = logging.getLogger("edgehost.host")
#: What this host came to trust is told to its observers within this time; a look costs some stats.
_SHELF_LOOK_S = 2.0


async def open_coap_remote(name: str, carrier: CoapCarrier, stack: AsyncExitStack) -> Source:
    """A repository on a CoAP server."""
    return await stack.enter_async_context(open_coap_transport(carrier.repository or name, carrier.options()))


async def serve_shelf(rooms: Rooms, serving: CoapServing, stack: AsyncExitStack) -> tuple[str, ...]:
    """What this host trusts and has of each remote, until the stack closes; the addresses."""
    repositories = await shelf_repositories(rooms, stack)
    served = await stack.enter_async_context(open_coap_server(repositories, serving))
    log.info("The shelf is served at %s.", ", ".join(served.addresses))
    return served.addresses


async def shelf_repositories(rooms: Rooms, stack: AsyncExitStack) -> dict[str, ServedRepository]:
    """The remotes of this host by name, as others may read them here."""
    return {
        remote.name: await stack.enter_async_context(
            open_shelf_repository(
                rooms.config.host.data / "remotes" / remote.name / "trusted",
                rooms.shelf,
                poll_s=_SHELF_LOOK_S,
            )
        )
        for remote in rooms.config.remotes
    }
