"""The calls that wait for an instance of a pool, first come first served."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from edgehost.domain.errors import EdgehostError
from edgehost.ports.sandbox import Sandbox


class WaitingCalls:
    """Hands instances to calls in their order."""

    def __init__(self) -> None:
        self._waiters: deque[asyncio.Future[Sandbox]] = deque()

    def __len__(self) -> int:
        return len(self._waiters)

    async def wait(self, until: float, give_back: Callable[[Sandbox], None]) -> Sandbox:
        """An instance, once it is this call's turn; one that comes too late for it is given back.

        Raises:
            TimeoutError: none was free until then, in seconds of the loop's clock.
            UnavailableError: the call was turned away.
        """
        waiter: asyncio.Future[Sandbox] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout_at(until):
                return await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                give_back(waiter.result())
            elif waiter in self._waiters:
                self._waiters.remove(waiter)
            raise

    def hand_over(self, sandbox: Sandbox) -> bool:
        """Give an instance to the first that still waits; False when nobody does."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(sandbox)
                return True
        return False

    def turn_away(self, error: Callable[[], EdgehostError]) -> None:
        """End all that wait, each with an error of its own."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(error())
        self._waiters.clear()
