"""One repository in several places: its own, mirrors, and neighbours that have some of it.

Nobody here needs to be trusted. A chunk is named by its digest, so a wrong one is noticed at once and asked for in the
next place; metadata comes from one place at a time, the leader, and whoever checks it says when it does not hold. A
place that lied or did not answer is asked last for a while, so that one bad mirror does not cost a time-out for each chunk.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from edgehost.domain.errors import EdgehostError, RemoteUnreachableError, TooLargeError
from remotes.change_signals import ChangeSignals
from remotes.owned_tasks import owned_tasks
from remotes.transport import CHUNK_BYTES, TIMESTAMP, Source, require_path
from remotes.unchecked_version import version_of

_LOG: Final = logging.getLogger(__name__)
#: How long a place that failed is asked last.
_PENANCE_S: Final = 60.0
_TIMESTAMP_MOST_BYTES: Final = 16_384


@dataclass(slots=True, eq=False)
class Place:
    """One place and how it has behaved."""

    source: Source
    near: bool = False  # on this site: chunks are asked for here before anywhere else
    asked_last_until: float = 0.0
    lies: int = 0
    served_bytes: int = field(default=0)  # of chunks


class MirroredSource:
    """Meets Source. The first place is the repository's own; open it with open_mirrored_source."""

    def __init__(self, places: Sequence[Place], now: Callable[[], float]) -> None:
        self.places = tuple(places)
        self._now = now
        self._leader = self.places[0]
        self._order = self.places  # in which they lead, one after another
        self._tellers: list[Place] = []  # those whose news nobody has looked at, the last teller last
        self._heard: list[Place] = []  # those whose news is being looked at
        self._signals = ChangeSignals()
        self._link_signals = ChangeSignals()

    @property
    def address(self) -> str:
        """The first place's; the others are counted."""
        return f"{self.places[0].source.address} (and {len(self.places) - 1} more)"

    @property
    def connected(self) -> bool:
        """Whether any of the places is in touch."""
        return any(place.source.connected for place in self.places)

    def changes(self) -> AsyncIterator[None]:
        """See Source; news of any place is news."""
        return self._signals.listen()

    def link_changes(self) -> AsyncIterator[None]:
        """See Source."""
        return self._link_signals.listen()

    async def fetch(self, path: str, *, most_bytes: int) -> bytes | None:
        """See Source. A chunk has the digest that its path says, or is not returned."""
        kind, _, name = require_path(path).partition("/")
        if kind == "chunk":
            return await self._chunk(path, name, most_bytes)
        return await self._metadata(path, most_bytes)

    async def follow_news(self) -> None:
        """Before a look: let the place lead whose news is the newest, then those with older news, then the others.

        Several may tell of news before anybody looks; the newest is so by its own word, and a liar is led on from.
        """
        self._heard, self._tellers = self._tellers[::-1], []
        tellers = list(self._heard)
        if not tellers:
            return
        if len(tellers) > 1:
            claims = {place: await self._claim(place) for place in tellers}
            tellers.sort(key=claims.__getitem__, reverse=True)
        self._order = (*tellers, *(place for place in self.places if place not in tellers))
        self._leader = tellers[0]

    async def _claim(self, place: Place) -> int:
        """The version of its timestamp, unchecked; 0 where there is none to be had."""
        try:
            return version_of(await place.source.fetch(TIMESTAMP, most_bytes=_TIMESTAMP_MOST_BYTES))
        except TooLargeError:
            return 0
        except RemoteUnreachableError:
            self._note_silence(place)
            return 0

    def _note_silence(self, place: Place) -> None:
        """What it told of is still to be looked at."""
        if place in self._heard and place not in self._tellers:
            self._tellers.insert(0, place)
        self._blame(place, "does not answer")

    def _note_news(self, place: Place) -> None:
        self._tellers = [each for each in self._tellers if each is not place] + [place]

    def lead_on(self) -> None:
        """What the leader served was not trusted: let the next place lead."""
        self._blame(self._leader, "served metadata that does not hold")
        self._leader = self._order[(self._order.index(self._leader) + 1) % len(self._order)]

    async def _metadata(self, path: str, most_bytes: int) -> bytes | None:
        start = self._order.index(self._leader)
        failure: EdgehostError | None = None
        for place in (*self._order[start:], *self._order[:start]):
            try:
                found = await place.source.fetch(path, most_bytes=most_bytes)
            except RemoteUnreachableError as error:
                failure = failure or error
                self._note_silence(place)
                continue
            self._leader = place
            return found
        raise failure or RemoteUnreachableError(f"Nobody serves {path}.")

    async def _chunk(self, path: str, digest: str, most_bytes: int) -> bytes | None:
        failure: EdgehostError | None = None
        missing = False
        for place in self._by_worth():
            try:
                found = await place.source.fetch(path, most_bytes=min(most_bytes, CHUNK_BYTES))
            except (RemoteUnreachableError, TooLargeError) as error:
                failure = failure or error
                self._blame(
                    place,
                    "does not answer" if isinstance(error, RemoteUnreachableError) else "serves too much",
                )
                continue
            if found is None:
                missing = True
            elif hashlib.sha256(found).hexdigest() == digest:
                place.served_bytes += len(found)
                return found
            else:
                place.lies += 1
                self._blame(place, f"serves other bytes as {path}")
                failure = failure or RemoteUnreachableError(
                    f"{place.source.address} serves other bytes as {path}.",
                    hint="Nobody else has it; try again later.",
                )
        if missing and failure is None:
            return None
        raise failure or RemoteUnreachableError(f"Nobody serves {path}.")

    def _by_worth(self) -> list[Place]:
        now = self._now()
        return sorted(self.places, key=lambda place: (now < place.asked_last_until, not place.near))

    def _blame(self, place: Place, what: str) -> None:
        if self._now() >= place.asked_last_until:
            _LOG.warning("%s %s; it is asked last for a while.", place.source.address, what)
        place.asked_last_until = self._now() + _PENANCE_S

    async def listen_to(self, place: Place) -> None:
        """Pass its news on until it closes."""
        async for _ in place.source.changes():
            self._note_news(place)
            self._signals.fire()

    async def watch_link_of(self, place: Place) -> None:
        """Pass it on when its link comes or goes."""
        async for _ in place.source.link_changes():
            self._link_signals.fire()

    def close(self) -> None:
        """End the listeners."""
        self._signals.close()
        self._link_signals.close()


@asynccontextmanager
async def open_mirrored_source(
    places: Sequence[Place], *, now: Callable[[], float]
) -> AsyncIterator[MirroredSource]:
    """The places as one source; they are opened and closed by whoever made them. ``now`` is monotonic."""
    async with owned_tasks() as spawn:
        mirrored = MirroredSource(places, now)
        for number, place in enumerate(mirrored.places):
            spawn(mirrored.listen_to(place), f"edgehost.remote.mirror.{number}.changes")
            spawn(mirrored.watch_link_of(place), f"edgehost.remote.mirror.{number}.link")
        try:
            yield mirrored
        finally:
            mirrored.close()
