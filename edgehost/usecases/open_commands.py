"""Commands at work: each has its turn, ends in an outcome, and is gone on with after a restart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from edgehost.domain.errors import EdgehostError, RefusedError
from edgehost.domain.fleet_command import CommandState, Operation
from edgehost.domain.fleet_journal import Entry
from edgehost.ports.clock import Clock
from edgehost.usecases.fleet_operation import FleetOperation, RunningCommand
from edgehost.usecases.fleet_turns import Turns
from edgehost.usecases.shown_commands import ShownCommands

log = logging.getLogger("edgehost.fleet")
#: States say how far a command is this often; a terminal follows no faster.
_TELL_S: Final = 0.5


@dataclass(slots=True)
class _Work:
    running: RunningCommand
    task: asyncio.Task[None]
    cancelled_by: str = ""
    told_at: float = float("-inf")


@dataclass(slots=True)
class OpenCommands:
    """Those of one host; ``received`` are the bytes of bundles that came as messages, by the command's id."""

    shown: ShownCommands
    operations: Mapping[Operation, FleetOperation]
    clock: Clock
    received: dict[str, bytes]
    _work: dict[str, _Work] = field(default_factory=dict)
    _turns: Turns = field(default_factory=Turns)

    def __len__(self) -> int:
        return len(self._work)

    def __contains__(self, command_id: str) -> bool:
        return command_id in self._work

    def is_free(self, turn: str | None) -> bool:
        """Whether a command of this turn would begin at once."""
        return self._turns.is_free(turn)

    def begin(self, tasks: asyncio.TaskGroup, entry: Entry, *, resumed: bool) -> None:
        """Let it run in a task of its own."""
        command_id = entry.command.id

        async def remember(memo: Mapping[str, Any]) -> None:
            await self.shown.keep(replace(self.shown.book.journal.entries[command_id], memo=dict(memo)))

        running = RunningCommand(
            entry.command, entry.begun, entry.memo, lambda how_far: self._tell(command_id, how_far), remember
        )
        task = tasks.create_task(self._run(running, resumed=resumed), name=f"edgehost.command.{command_id}")
        self._work[command_id] = _Work(running, task)

    async def _run(self, running: RunningCommand, *, resumed: bool) -> None:
        command, work = running.command, self._work[running.command.id]
        state, reason, result = CommandState.FAILED, "", dict[str, Any]()
        try:
            result = await self._in_turn(running, resumed=resumed)
            state = CommandState.SUCCESSFUL
        except asyncio.CancelledError:
            if not work.cancelled_by:
                raise  # the host ends; its next run goes on
            work.task.uncancel()
            reason = f"{work.cancelled_by} cancelled it."
        except EdgehostError as error:
            reason = str(error)
        except Exception as error:  # an operation must not take the others with it
            log.exception("The command %s failed in an unforeseen way.", command.id)
            reason = f"Something that should not happen did: {type(error).__name__}."
        finally:
            del self._work[command.id]
            self.let_go(command.id)
        await self._finish(command.id, state, reason, result)

    async def _in_turn(self, running: RunningCommand, *, resumed: bool) -> dict[str, Any]:
        command = running.command
        operation = self.operations.get(command.operation)
        if operation is None:
            raise RefusedError(f"This host can no longer do '{command.operation}'.")
        turn = operation.turn(command.arguments)
        async with self._turns.taken(turn, command.id, lambda other: self._wait_for(command.id, other)):
            if resumed:
                await self._note_begun(running)
                return dict(await operation.resume(running))
            if not running.begun:
                if command.expires_at <= self.clock.now():
                    raise RefusedError("It expired while it waited for its turn.")
                await self._note_begun(running)
                self._tell(command.id, "", at_once=True)
            return dict(await operation.run(running))

    async def _note_begun(self, running: RunningCommand) -> None:
        running.begun += 1
        await self.shown.keep(
            replace(self.shown.book.journal.entries[running.command.id], begun=running.begun)
        )

    def _wait_for(self, command_id: str, other: str) -> None:
        entry = self.shown.book.entry(other)
        who = f" by {entry.command.by[:8]}" if entry is not None and entry.command.by else ""
        what = f"'{entry.command.operation}' " if entry is not None else ""
        self._tell(command_id, f"It waits for {what}{other}{who}.", at_once=True)

    async def _finish(
        self, command_id: str, state: CommandState, reason: str, result: dict[str, Any]
    ) -> None:
        entry = self.shown.book.journal.entries[command_id]
        shown = self.shown.results.shown(entry.record, result)
        record = replace(entry.record, state=state, reason=reason, result=shown, changed_at=self.clock.now())
        entry = replace(entry, record=record)
        try:
            await self.shown.keep(entry)
        except (
            EdgehostError
        ) as error:  # it is done, and said; after a restart it is gone on with and ends again
            log.warning("The outcome of %s could not be noted: %s", command_id, error)
            self.shown.book.show(entry)
        self.shown.show(entry)
        self.shown.publish(entry)

    def stop(self, entry: Entry, who: str) -> None:
        """Cancel it, unless it is past its last moment."""
        work = self._work.get(entry.command.id)
        if work is None:
            return
        if work.running.committed:
            self._tell(entry.command.id, "It can no longer be cancelled; it ends by itself.", at_once=True)
            return
        work.cancelled_by = who
        work.task.cancel()

    def _tell(self, command_id: str, how_far: str, *, at_once: bool = False) -> None:
        """Show how far an open command is; not durably, since a restart makes it untrue."""
        entry, work = self.shown.book.entry(command_id), self._work.get(command_id)
        now = self.clock.monotonic()
        if entry is None or not entry.is_open:
            return
        if work is not None:
            if not at_once and now - work.told_at < _TELL_S:
                return
            work.told_at = now
        record = replace(entry.record, reason=how_far, changed_at=self.clock.now())
        self.shown.book.show(replace(entry, record=record))
        self.shown.show(self.shown.book.journal.entries[command_id])

    def let_go(self, bundle_id: str) -> None:
        """The bytes are not needed any more, here and at the broker."""
        if self.received.pop(bundle_id, None) is not None:
            self.shown.link.put(self.shown.topics.bundle(bundle_id), b"", expires_s=0)
