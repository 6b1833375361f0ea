"""Who works on a model's records; whoever changes the form of all of them waits for these and keeps others out.

Rule 1: what began before a gate closes ends before it is closed, the writes that its guests ask for included.
Rule 2: what a closed gate keeps out waits, and fails only by its own deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from edgehost.domain.errors import UnavailableError

#: Set in the task that holds a gate closed: its own reads pass.
_HOLDS: ContextVar[bool] = ContextVar("edgehost.holds-gate", default=False)


@dataclass(slots=True, eq=False)
class _Gate:
    users: int = 0
    closing: bool = False
    closed: bool = False
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)


class ModelGates:
    """Gates that exist only while somebody works on a model's records."""

    def __init__(self) -> None:
        self._gates: dict[str, _Gate] = {}
        self._shut = 0  # gates that are closed now: mostly none, and then nobody looks further

    def __len__(self) -> int:
        return len(self._gates)

    @asynccontextmanager
    async def working(self, model: str, *, nested: bool) -> AsyncIterator[None]:
        """Write records of the model; ``nested`` says that a guest asks for it during its own call.

        A nested write does not wait for a gate that is only closing: the call that it is part of may be one of
        those that the gate waits for.
        """
        gate = self._gates.setdefault(model, _Gate())
        while gate.closed or (gate.closing and not nested):
            await gate.opened.wait()
            gate = self._gates.setdefault(model, _Gate())
        gate.users += 1
        gate.idle.clear()
        try:
            yield
        finally:
            gate.users -= 1
            if gate.users == 0:
                gate.idle.set()
                self._drop(model, gate)

    async def passed(self, model: str) -> None:
        """Wait while the model's records are between two forms."""
        while self._shut and not _HOLDS.get():
            gate = self._gates.get(model)
            if gate is None or not gate.closed:
                return
            await gate.opened.wait()

    @asynccontextmanager
    async def closed(self, model: str, *, timeout_s: float) -> AsyncIterator[None]:
        """Keep everybody else from the model's records; one at a time for each model.

        Raises:
            UnavailableError: those who work on them did not end in time.
        """
        gate = await self._closing(model, timeout_s)
        try:
            gate.closed = True
            self._shut += 1
            with _holding():
                yield
        finally:
            self._shut -= 1
            self._open(model, gate)

    async def _closing(self, model: str, timeout_s: float) -> _Gate:
        """The gate, when nobody is inside any more."""
        gate: _Gate | None = None
        try:
            async with asyncio.timeout(timeout_s):
                while (other := self._gates.setdefault(model, _Gate())).closing:
                    await other.opened.wait()
                gate = other
                gate.closing = True
                while gate.users:
                    await gate.idle.wait()
        except BaseException as error:
            if gate is not None:
                self._open(model, gate)
            if isinstance(error, TimeoutError):
                raise UnavailableError(
                    f"Calls that write records of '{model}' did not end within {timeout_s:.0f} s.",
                    hint="It is tried again.",
                ) from None
            raise
        return gate

    def _open(self, model: str, gate: _Gate) -> None:
        gate.closing = gate.closed = False
        gate.opened.set()
        gate.opened = asyncio.Event()
        self._drop(model, gate)

    def _drop(self, model: str, gate: _Gate) -> None:
        if not gate.users and not gate.closing and self._gates.get(model) is gate:
            del self._gates[model]


@contextmanager
def _holding() -> Iterator[None]:
    token = _HOLDS.set(True)
    try:
        yield
    finally:
        _HOLDS.reset(token)
