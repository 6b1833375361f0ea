"""What every upstream system at an MQTT broker has: one kept connection, and nodes that are told when they change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import aiomqtt

from edgehost.domain.upstream_node import UpstreamNode
from remotes.mqtt_connection import ConnectionKeeper, Link
from remotes.owned_tasks import owned_tasks

_GOODBYE_S: Final = 1.0


@dataclass(slots=True)
class AtBroker:
    """The part of Upstream that does not depend on what is spoken; the keeper is the subclass's to make."""

    nodes: dict[str, UpstreamNode] = field(default_factory=dict, init=False)
    _dirty: dict[str, None] = field(default_factory=dict, init=False)
    _work: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _keeper: ConnectionKeeper = field(init=False)

    @property
    def connected(self) -> bool:
        """Whether what is shown arrives."""
        return self._keeper.connected

    @property
    def trouble(self) -> str:
        """Why it is not connected."""
        return self._keeper.trouble

    def show(self, node: UpstreamNode) -> None:
        """This is how the node is now."""
        self.nodes[node.name] = node
        self._dirty[node.name] = None
        self._work.set()

    async def run(self) -> None:
        """Keep a connection until cancelled."""
        await self._keeper.run()

    async def _show_changed(self, link: Link) -> None:
        """Show every node that is not as it was told."""
        while self._dirty:
            name = next(iter(self._dirty))
            del self._dirty[name]
            await self._show(link, self.nodes[name])

    async def _show(self, link: Link, node: UpstreamNode) -> None:
        raise NotImplementedError


@asynccontextmanager
async def read_beside(reader: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Read while the block writes; what ends one of them ends both, and is raised as itself."""
    try:
        async with owned_tasks() as spawn:
            spawn(reader, "edgehost.upstream.read")
            yield
    except ExceptionGroup as group:  # the reader and the writer fail of the same
        raise _first_of(group) from None


async def say_goodbye(link: Link, topic: str, payload: bytes, *, retain: bool) -> None:
    """Publish what the will says, which is for those who cannot; only when this host ends in order."""
    task = asyncio.current_task()
    if task is None or not task.cancelling() or link.gone.done():
        return
    try:
        async with asyncio.timeout(_GOODBYE_S):
            await link.client.publish(topic, payload, qos=1, retain=retain)
    except (TimeoutError, aiomqtt.MqttError):
        return


def _first_of(group: BaseExceptionGroup[Any]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
