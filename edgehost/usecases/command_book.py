"""The durable memory of commands: what is in it has happened, what is not has not."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace

from edgehost.domain.errors import EdgehostError, RefusedError
from edgehost.domain.fleet_journal import Entry, Journal, journal_document, read_journal
from edgehost.domain.fleet_rules import Replays
from edgehost.ports.clock import Clock
from edgehost.ports.fleet_link import TableStore

log = logging.getLogger("edgehost.fleet")


@dataclass(slots=True)
class CommandBook:
    """A journal in a store; writes are one after another."""

    store: TableStore
    clock: Clock
    journal: Journal = field(default_factory=Journal)
    _one_write: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def open(self) -> None:
        """Read what an earlier run has left.

        A damaged journal is told; nobody can say then what was done, so all that was issued until now is refused.
        """
        try:
            self.journal = read_journal(await self.store.load())
        except RefusedError as error:
            log.error("The journal of commands is lost: %s", error)  # noqa: TRY400 - a sentence, not a traceback
            now = self.clock.now()
            self.journal = Journal(replays=Replays(lost_at=now, newest=now), orders_floor=now)

    def entry(self, command_id: str) -> Entry | None:
        """What is known of a command."""
        return self.journal.entries.get(command_id)

    async def keep(self, entry: Entry, *, replays: Replays | None = None) -> tuple[Entry, ...]:
        """Note it durably; only then it is so. Returns the outcomes that had to go.

        Raises:
            EdgehostError: it could not be noted, and is not so.
        """
        async with self._one_write:
            journal, gone = self.journal.with_entry(entry)
            if replays is not None:
                journal = replace(journal, replays=replays)
            await self.store.keep(journal_document(journal))
            self.journal = journal
        return gone

    def show(self, entry: Entry) -> None:
        """Until the next write, for what a restart makes untrue."""
        self.journal, _ = self.journal.with_entry(entry)

    def forget(self, command_id: str) -> None:
        """It goes with the next write."""
        self.journal = self.journal.without(command_id)

    async def tidy(self) -> None:
        """Write what was forgotten; when that does not work, it is forgotten again after a restart."""
        async with self._one_write:
            try:
                await self.store.keep(journal_document(self.journal))
            except EdgehostError as error:
                log.warning("The journal of commands was not written: %s", error)

    async def note_order(self, deployment: str, issued_at: float) -> None:
        """Remember the newest order to a rollout that was obeyed, so that an older one cannot be replayed.

        Raises:
            EdgehostError: it could not be noted; the order must not be obeyed.
        """
        async with self._one_write:
            journal = self.journal.with_order(deployment, issued_at)
            await self.store.keep(journal_document(journal))
            self.journal = journal
