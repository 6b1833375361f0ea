"""Commands from the fleet: each is taken once, done once, and driven to its end over any number of restarts.

The requester owns ``init``. From the durable note that it was taken on, the host alone writes the state, and puts it
back when somebody writes over it. What is not genuine, or stale, leaves no trace here but a count: it is answered
``failed`` where nothing of this host's stands, a bounded number of times, and uses up neither id nor nonce.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from edgehost.domain.errors import BusyError, ConflictError, EdgehostError, RefusedError
from edgehost.domain.fleet_command import CommandRecord, CommandState, FleetCommand, Operation
from edgehost.domain.fleet_journal import MOST_OPEN, Entry
from edgehost.domain.fleet_messages import read_submission
from edgehost.domain.fleet_rules import ANYBODY, Operator
from edgehost.domain.fleet_topics import CommandTopic, HostTopics
from edgehost.domain.json_text import write_json
from edgehost.ports.clock import Clock
from edgehost.ports.event_bus import EventBus
from edgehost.ports.fleet_link import FleetLink
from edgehost.usecases.admit_commands import SIGNED, Admission
from edgehost.usecases.command_book import CommandBook
from edgehost.usecases.fleet_operation import FleetOperation
from edgehost.usecases.fleet_refusals import Refusals
from edgehost.usecases.open_commands import OpenCommands
from edgehost.usecases.shown_commands import ShownCommands

log = logging.getLogger("edgehost.fleet")
#: Messages that wait to be looked at: a host that wakes has a handful, a flood has more.
_INBOX: Final = 512
#: After a flood, the broker is asked again this often.
_ASK_S: Final = 60.0


@dataclass(slots=True)
class FleetCommands:
    """The commands of one host."""

    topics: HostTopics
    boot: str  # of this run of the host
    admission: Admission
    book: CommandBook
    operations: Mapping[Operation, FleetOperation]
    link: FleetLink
    clock: Clock
    bus: EventBus
    dropped: int = 0  # what came too fast
    received: dict[str, bytes] = field(default_factory=dict)  # bundles
    _inbox: deque[tuple[str, bytes]] = field(default_factory=deque)
    _filled: asyncio.Event = field(default_factory=asyncio.Event)
    _passed_over: bool = False
    _asked_at: float = float("-inf")
    refusals: Refusals = field(init=False)
    _shown: ShownCommands = field(init=False)
    _open: OpenCommands = field(init=False)

    def __post_init__(self) -> None:
        self.refusals = Refusals(self.topics, self.boot, self.link, self.clock, self.bus)
        self._shown = ShownCommands(self.topics, self.boot, self.book, self.link, self.bus)
        self._open = OpenCommands(self._shown, self.operations, self.clock, self.received)

    def take(self, topic: str, payload: bytes) -> None:
        """A message on the topic of a command; never waits."""
        if len(self._inbox) >= _INBOX:
            self.dropped += 1
            self._passed_over = True
            return
        self._inbox.append((topic, payload))
        self._filled.set()

    def take_bundle(self, bundle_id: str, content: bytes) -> None:
        """A bundle that came as a message; never waits. One at a time: they are large."""
        if self.received or any(topic == self.topics.bundle(bundle_id) for topic, _ in self._inbox):
            self.dropped += 1
            where = CommandTopic(Operation.BUNDLE, bundle_id)
            if bundle_id not in self.book.journal.entries:
                self.refusals.answer(
                    where, BusyError("Another bundle is being taken.", hint="Send it again later.")
                )
            return
        self.take(self.topics.bundle(bundle_id), content)

    def settled(self, seen: frozenset[str], *, lost: bool) -> None:
        """The link is up and the broker has shown what it holds; ``lost`` when it had forgotten this host.

        Outcomes that are gone while the rest is there were cleared by their requesters.
        """
        for entry in tuple(self.book.journal.entries.values()):
            if entry.is_open or lost or self._shown.topic(entry) in seen:
                self._shown.show(entry)
            else:
                self._shown.forget(entry)

    async def run(self) -> None:
        """Take commands until cancelled; what an earlier run has left comes first."""
        async with asyncio.TaskGroup() as tasks:
            for operation, each in self.operations.items():
                self.link.keep(self.topics.capability(operation), write_json(dict(each.capability)))
            for entry in self.book.journal.open_entries():
                self._open.begin(tasks, entry, resumed=entry.begun > 0)
            while True:
                await self._filled.wait()
                self._filled.clear()
                while self._inbox:
                    topic, payload = self._inbox.popleft()
                    try:
                        await self._look_at(tasks, topic, payload)
                    except Exception:  # whatever a broker brings must not end the host
                        log.exception("A message on %s could not be dealt with.", topic)
                self._ask_again()

    def _ask_again(self) -> None:
        """A flood may have carried a command away."""
        now = self.clock.monotonic()
        if self._passed_over and now - self._asked_at >= _ASK_S:
            self._passed_over, self._asked_at = False, now
            self.link.ask_again()

    async def _look_at(self, tasks: asyncio.TaskGroup, topic: str, payload: bytes) -> None:
        bundle_id, where = self.topics.bundle_in(topic), self.topics.command_in(topic)
        if bundle_id is not None:
            await self._admit_bundle(tasks, bundle_id, payload)
        if where is None:
            return
        entry = self.book.entry(where.id)
        if entry is not None and entry.command.operation is not where.operation:
            if payload:
                self.refusals.answer(
                    where, ConflictError(f"The id was used for '{entry.command.operation}'.")
                )
        elif not payload:
            await self._cleared(entry)
        else:
            try:
                await self._consider(tasks, where, entry, payload)
            except EdgehostError as error:
                if entry is None:
                    self.refusals.answer(where, error)
                else:
                    self._shown.show(entry, again=True)
                    self.refusals.note(where, error)

    async def _consider(
        self, tasks: asyncio.TaskGroup, where: CommandTopic, entry: Entry | None, payload: bytes
    ) -> None:
        submission = read_submission(payload)
        if submission is None:
            self._compare(where, entry, payload)
            return
        command, operator = await self.admission.genuine(submission, where)
        if submission.cancels:
            await self._cancel(entry, command, operator)
        elif entry is not None:  # the same again, or another under its id: a command is done once
            self._shown.show(entry, again=True)
        else:
            await self._admit(tasks, command, operator)

    async def _admit(self, tasks: asyncio.TaskGroup, command: FleetCommand, operator: Operator) -> None:
        """Take a genuine command, durably; from here on it has an outcome."""
        self.admission.require_timely(command, self.book.journal.replays)
        now = self.clock.now()
        record = CommandRecord(
            command.id, command.operation, CommandState.EXECUTING, by=command.by, changed_at=now
        )
        entry = Entry(command, record)
        try:
            operation = self._require_allowed(command, operator)
            entry = replace(entry, begun=int(self._open.is_free(operation.turn(command.arguments))))
        except EdgehostError as error:
            entry = replace(entry, record=replace(record, state=CommandState.FAILED, reason=str(error)))
        await self._shown.keep(entry, replays=self.book.journal.replays.with_taken(command, now))
        self._shown.show(entry)
        self._shown.publish(entry)
        if entry.is_open:
            self._open.begin(tasks, entry, resumed=False)
            await asyncio.sleep(0)  # it takes its turn before the next one asks whether that is free

    async def _admit_bundle(self, tasks: asyncio.TaskGroup, bundle_id: str, content: bytes) -> None:
        """A bundle needs no operator: its publisher's signatures are checked by the remote that it is for."""
        where = CommandTopic(Operation.BUNDLE, bundle_id)
        entry = self.book.entry(bundle_id)
        if entry is not None:
            self._shown.show(entry, again=True)
            return
        command = self.admission.bundle_command(bundle_id, content)
        self.received[bundle_id] = content
        try:
            await self._admit(tasks, command, ANYBODY)
        except EdgehostError as error:
            self.refusals.answer(where, error)
        if bundle_id not in self._open:
            self._open.let_go(bundle_id)

    def _require_allowed(self, command: FleetCommand, operator: Operator) -> FleetOperation:
        operation = self.operations.get(command.operation)
        if operation is None:
            raise RefusedError(f"This host cannot do '{command.operation}'.")
        operator.require(command.operation, operation.about(command.arguments))
        if len(self._open) >= MOST_OPEN:
            raise BusyError(f"{MOST_OPEN} commands are open already.", hint="Try again when some have ended.")
        return operation

    async def _cancel(self, entry: Entry | None, command: FleetCommand, operator: Operator) -> None:
        """Take a command back; one that has not come yet will find itself cancelled."""
        self.admission.require_timely(command, self.book.journal.replays)
        operation = self.operations.get(command.operation)
        if operation is not None and entry is not None:
            operator.require(command.operation, operation.about(entry.command.arguments))
        replays = self.book.journal.replays.with_taken(command, self.clock.now())
        if entry is None:
            operator.require(command.operation)  # whatever it will be about: nobody has seen it yet
            reason = f"{operator.shown} cancelled it before it came."
            state = CommandState.FAILED
            record = CommandRecord(
                command.id, command.operation, state, reason, {}, command.by, self.clock.now()
            )
            entry = Entry(command, record)
            await self._shown.keep(entry, replays=replays)
            self._shown.publish(entry)
        elif entry.is_open:
            await self._shown.keep(entry, replays=replays)
            self._open.stop(entry, operator.shown)
        self._shown.show(self.book.journal.entries[command.id], again=True)

    async def _cleared(self, entry: Entry | None) -> None:
        """The requester has taken the topic away: an outcome is forgotten, an open command goes on or is cancelled."""
        if entry is None:
            return
        if not entry.is_open:
            self._shown.forget(entry)
            await self.book.tidy()
        elif self.admission.mode == SIGNED:
            self._shown.show(
                entry, again=True
            )  # anybody may write nothing; taking a command back must be signed
        else:
            self._open.stop(entry, "Its requester")
            self._shown.show(self.book.journal.entries[entry.command.id], again=True)

    def _compare(self, where: CommandTopic, entry: Entry | None, payload: bytes) -> None:
        """A state that stands there: this host's own, or somebody wrote over it."""
        if entry is None:
            if payload.startswith(b'{"status":"executing"'):
                self.refusals.answer(where, ConflictError("This host does not know the command any more."))
        elif payload != self._shown.payload(entry):
            self._shown.show(entry, again=True)
