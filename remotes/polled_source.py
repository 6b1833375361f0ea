"""What sources have in common that cannot tell of news: they are looked at now and then."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, TypeVar

from edgehost.domain.errors import EdgehostError, UnavailableError
from remotes.change_signals import ChangeSignals
from remotes.owned_tasks import keep_running, owned_tasks

_NOT_YET: Final = object()
#: Waits until it is time for the next look.
Pause = Callable[[], Awaitable[None]]


class PolledSource(ABC):
    """A Source without ``fetch``, which the classes below it bring."""

    def __init__(self) -> None:
        self._signals = ChangeSignals()
        self._link_signals = ChangeSignals()
        self._connected = True  # until a request fails
        self._seen: object = _NOT_YET

    @property
    def connected(self) -> bool:
        """See Source."""
        return self._connected

    def changes(self) -> AsyncIterator[None]:
        """See Source."""
        return self._signals.listen()

    def link_changes(self) -> AsyncIterator[None]:
        """See Source."""
        return self._link_signals.listen()

    @abstractmethod
    async def look(self) -> object:
        """What is another when something changed; None for nothing there.

        Raises:
            EdgehostError: it cannot be seen now.
        """

    async def watch(self, pause: Pause) -> None:
        """Look after every pause."""
        while True:
            await pause()
            try:
                found = await self.look()
            except EdgehostError:
                continue  # whoever fetches is told why
            self.note_first(found)
            if found not in (None, self._seen):
                self._seen = found
                self._signals.fire()

    def note_first(self, found: object) -> None:
        """What somebody saw before the watcher looked for the first time: from there on, another one is news."""
        if self._seen is _NOT_YET:
            self._seen = found

    @asynccontextmanager
    async def noting_the_link(self) -> AsyncIterator[None]:
        """Around a request: whether it was answered is what ``connected`` says from then on.

        Only around what every look asks for: one file that a server cannot serve is no lost link, and a link that came
        and went with each try would have the follower try without a pause.
        """
        try:
            yield
        except UnavailableError:
            self._note(connected=False)
            raise
        self._note(connected=True)

    def _note(self, *, connected: bool) -> None:
        if connected != self._connected:
            self._connected = connected
            self._link_signals.fire()

    def close(self) -> None:
        """End the listeners."""
        self._signals.close()
        self._link_signals.close()


Polled = TypeVar("Polled", bound=PolledSource)


@asynccontextmanager
async def watched(source: Polled, *, look_s: float, pause: Pause | None, name: str) -> AsyncIterator[Polled]:
    """The source, looked at every ``look_s`` seconds, or after each ``pause`` when one is given."""

    async def sleep() -> None:
        await asyncio.sleep(look_s)

    async with owned_tasks() as spawn:
        keep_running(spawn, partial(source.watch, pause or sleep), name)
        try:
            yield source
        finally:
            source.close()
