"""Bind a port to an adapter, or an adapter to a service, while both are in use.

A call looks its route up when it begins and keeps it to its end, so the table can change in one assignment:
calls on their way finish where they began, the next ones go the new way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from edgehost.domain.binding import MOST_BINDINGS, BindingTable, require_binding
from edgehost.domain.errors import NotFoundError, TooLargeError
from edgehost.domain.port_events import PortBound
from edgehost.ports.binding_store import BindingStore
from edgehost.ports.clock import Clock
from edgehost.ports.event_bus import EventBus


class Bindings:
    """The bindings of this moment; those of the operator are durable before they hold."""

    def __init__(self, store: BindingStore, bus: EventBus, clock: Clock, config: Mapping[str, str]) -> None:
        for what, target in config.items():
            require_binding(what, target)
        self._store, self._bus, self._clock = store, bus, clock
        self._table = BindingTable(config=dict(config))
        self._turn = asyncio.Lock()

    @property
    def table(self) -> BindingTable:
        """The table of this moment; it never changes, another takes its place."""
        return self._table

    async def load(self) -> None:
        """Read what operators bound before.

        Raises:
            DamagedError: the stored bytes are not what was written.
        """
        self._table = BindingTable(dict(await self._store.load()), self._table.config)

    async def bind(self, what: str, target: str) -> None:
        """Let ``MODEL.PORT`` lead to an adapter, or an adapter to a service, from the next call on.

        Raises:
            RefusedError: one of the two is no name.
            TooLargeError: there are too many bindings.
            StorageFullError: it could not be kept; nothing has changed.
        """
        require_binding(what, target)
        async with self._turn:
            operator = {**self._table.operator, what: target}
            if len(operator) > MOST_BINDINGS:
                raise TooLargeError(
                    f"There are {MOST_BINDINGS} bindings already.", hint="Take one back first."
                )
            if operator != dict(self._table.operator):  # a deployment binds again what has come back
                await self._replace(operator)
        self._bus.publish(PortBound(at=self._clock.now(), what=what, target=target))

    async def unbind(self, what: str) -> None:
        """Take an operator's binding back: configuration and specification hold again.

        Raises:
            NotFoundError: no operator bound it.
            StorageFullError: as for bind.
        """
        async with self._turn:
            operator = dict(self._table.operator)
            if operator.pop(what, None) is None:
                raise NotFoundError(
                    f"No operator bound '{what[:130]}'.", hint="'edgehost bind' lists what leads where."
                )
            await self._replace(operator)
        self._bus.publish(PortBound(at=self._clock.now(), what=what, target=""))

    async def _replace(self, operator: Mapping[str, str]) -> None:
        await self._store.keep(operator)
        self._table = BindingTable(operator, self._table.config)
