"""The agent's own life: on which configuration it starts, whether in safe mode, and how its ends are remembered.

Opened before the event loop, so its calls block for a few milliseconds; what runs beside the host goes to a thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from edgehost import __version__
from edgehost.adapters.services.system_clock import SystemClock
from edgehost.adapters.storage.life_files import BootRecordFile, CrashFolder
from edgehost.composition.crash_notes import exception_report
from edgehost.composition.life_withheld import Withheld, withheld_at
from edgehost.config import Config, parse_config, read_config_file
from edgehost.domain.boot_record import BootRecord, Ending
from edgehost.domain.config_generation import Generation, Standing
from edgehost.domain.crash_report import CrashReport
from edgehost.domain.disk_room import READ_ONLY_HINT
from edgehost.domain.errors import ConflictError, DamagedError, InvalidConfigError, UnavailableError
from edgehost.usecases.configuration_generations import Chosen, ConfigurationGenerations

log = logging.getLogger("edgehost.life")

#: Who applies a configuration over these may lose the way to the host by it: the host must be in touch to keep it.
_FROM_AFAR: Final = ("mqtt", "deployment")


@dataclass(slots=True)
class AgentLife:
    """One run of the host. ``life_opening.open_life`` makes it."""

    chosen: Chosen[Config]
    generations: ConfigurationGenerations[Config]
    boots: BootRecordFile
    crashes: CrashFolder
    record: BootRecord  # what the next start will read
    safe: str = field(init=False)  # why this run is in safe mode, until its end; empty when it is not
    previous: Ending = Ending.CLEAN
    withheld: Withheld | None = None  # why nothing of this run is kept; None: it is
    restarting: bool = False
    in_touch: Callable[[], bool] = lambda: True  # whether some remote or broker was reached in this run
    stop: Callable[[], None] = lambda: None  # asks the running host to end
    notice: Callable[[Generation], None] = lambda _generation: None  # told of each move of a generation
    host_lines: Sequence[str] = ()  # the last lines of the host's own log
    _one_change: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.safe = self.record.safe
        if self.withheld is not None:
            what = f"Components are off: {self.safe}" if self.safe else "Components run from what is there."
            self.safe = f"{self.withheld.why} {what}"

    @property
    def config(self) -> Config:
        """What this run is configured by."""
        return self.chosen.config

    @property
    def generation(self) -> Generation:
        """The generation of ``config``."""
        return self.generations.known.require(self.chosen.generation.number)

    @property
    def runs_components(self) -> bool:
        """Whether those that were live are to be started: not after unclean ends, and by order."""
        return not self.record.safe

    def status(self) -> Mapping[str, Any]:
        """For ``status``: the generation, the mode, how the run before ended."""
        known = self.generations.known
        good = known.last_good
        return {
            "generation": self.generation.number,
            "standing": str(self.generation.standing),
            "origin": self.generation.origin,
            "last_good": good.number if good else None,
            "file_refused": self.chosen.refused,
            "safe_mode": self.safe,
            "keeps": self.withheld is None,
            "previous_end": str(self.previous),
            "crash_reports": len(self.crashes.all()),
        }

    def all_generations(self) -> Sequence[Generation]:
        """Oldest first."""
        return self.generations.known.all

    async def text(self, number: int) -> bytes:
        """The text of a generation.

        Raises:
            NotFoundError: there is none, or it is lost.
        """
        return await asyncio.to_thread(self.generations.text, number)

    async def crash_reports(self) -> Sequence[CrashReport]:
        """What is kept, oldest first."""
        return await asyncio.to_thread(self.crashes.all)

    async def apply(self, text: bytes, origin: str, *, restart: bool = True) -> Generation:
        """Keep a configuration as the newest generation and, unless it is the current one, restart on it.

        ``restart=False`` leaves the restart to the caller (``restart``), who has something to say before.

        Raises:
            RefusedError: it cannot be read, or moves what the command line finds the host by; nothing was kept.
            StorageFullError, UnavailableError: nothing was changed.
        """
        async with self._one_change:
            self._require_reachable(parse_config(text, self._path))
            generation = await asyncio.to_thread(self.generations.propose, text, origin)
        if generation.number != self.chosen.generation.number:
            self.notice(generation)
            if restart:
                self.restart()
        return generation

    async def apply_file(self) -> Generation:
        """Apply what the configuration file holds now.

        Raises:
            NotFoundError, RefusedError, StorageFullError, UnavailableError: nothing was changed.
        """
        text = await asyncio.to_thread(read_config_file, self._path)
        async with self._one_change:
            generation = await asyncio.to_thread(lambda: self.generations.propose(text, "file", seen=True))
        if generation.number != self.chosen.generation.number:
            self.notice(generation)
            self.restart()
        return generation

    async def revert(self, reason: str = "An operator went back.", *, restart: bool = True) -> Generation:
        """Go back to the good generation before this one, and restart on it.

        Raises:
            ConflictError: there is none.
        """
        async with self._one_change:
            generation = await asyncio.to_thread(self.generations.revert, reason)
        self.notice(self.generation)
        if restart:
            self.restart()
        return generation

    async def confirm(self) -> Generation:
        """Take the running generation for good before its trial is over."""
        async with self._one_change:
            generation = await asyncio.to_thread(self.generations.confirm, self.chosen.generation.number)
        self.notice(generation)
        return generation

    def restart(self) -> None:
        """End in order, calls in flight included, and start again in place, with the same process id."""
        self.restarting = True
        self.stop()

    async def enter_safe_mode(self, why: str = "An operator asked for it.") -> None:
        """Restart with components off."""
        await self._keep(self.record.entered_safe_mode(why))
        self.restart()

    async def leave_safe_mode(self, *, left_for: str = "", by_itself: bool = False) -> None:
        """Restart with components on.

        Raises:
            ConflictError: the host is not in safe mode.
            UnavailableError: the data folder cannot be written yet.
        """
        if not self.safe:
            raise ConflictError("The host is not in safe mode.")
        if self.withheld is not None:
            await self._require_writable()
            self.restart()  # what the disk says of safe mode holds again
            return
        await self._keep(self.record.left_safe_mode(left_for=left_for, by_itself=by_itself))
        self.restart()

    async def prove(self, down: Sequence[str] = ()) -> None:
        """The host has been well for the time of a trial; ``down`` are live components that do not run."""
        on_trial = self.generation.standing is Standing.TRIAL
        news = sorted({*down} - {*self.record.down.split(",")})
        if on_trial and not self.safe:
            problem = ""
            if news and self.generations.known.last_good is not None:
                problem = f"Components that ran before do not run on it: {', '.join(news)}."
            elif self.generation.origin.startswith(_FROM_AFAR) and not self.in_touch():
                problem = "No remote or broker could be reached on it."
            if problem and await self._failed_trial(problem):
                return
            await self.confirm()
        await self._keep(self.record.proven(down))

    def gives_up_on(self, problem: BaseException) -> bool:
        """Whether an end with this error is the trial's end, and the host is to start again on the last good one."""
        if self.generation.standing is not Standing.TRIAL:
            return False
        try:
            back = self.generations.fail(self.generation.number, str(problem) or type(problem).__name__)
        except UnavailableError as full:
            log.warning("That generation %d failed cannot be kept: %s", self.generation.number, full)
            return False
        if back is None:
            return False
        log.error(
            "Generation %d of the configuration is given up (%s); back to %d.",
            self.generation.number,
            problem,
            back.number,
        )
        return True

    def does_without(self, problem: BaseException) -> bool:
        """Whether the host is to start again in safe mode, which can do without what is damaged."""
        if self.safe or not isinstance(problem, DamagedError):
            return False
        log.error("The host starts without its components: %s", problem)
        self.record = self.record.entered_safe_mode(str(problem))
        self.boots.keep(self.record)
        return True

    def note_crash(self, problem: BaseException) -> None:
        """Keep a report of an error that should not have been."""
        now = SystemClock().now()
        self.crashes.add(
            exception_report(problem, now, __version__, self.generation.number, was_well=self.record.well)
        )
        self.record = replace(self.record, reported=True)
        self.boots.keep(self.record)

    def note_end(self) -> None:
        """The host ends as it should."""
        self.record = self.record.ended()
        self.boots.keep(self.record)

    @property
    def _path(self) -> Path:
        if self.config.path is None:
            raise InvalidConfigError("This host has no configuration file.")
        return self.config.path

    async def _failed_trial(self, problem: str) -> bool:
        number = self.generation.number
        async with self._one_change:
            back = await asyncio.to_thread(self.generations.fail, number, problem)
        if back is None:
            return False
        self.notice(self.generation)
        log.error(
            "Generation %d of the configuration is given up: %s Back to %d.", number, problem, back.number
        )
        self.restart()
        return True

    async def _require_writable(self) -> None:
        data = self.config.host.data
        try:
            still = await asyncio.to_thread(withheld_at, data)
        except OSError as problem:
            raise UnavailableError(
                f"host.data is {data}, which is out of reach: {problem.strerror}. The host stays in safe mode.",
                hint=READ_ONLY_HINT,
            ) from None
        if still is not None:
            raise UnavailableError(f"{still.why} The host stays in safe mode.", hint=still.hint)

    async def _keep(self, record: BootRecord) -> None:
        self.record = record
        await asyncio.to_thread(self.boots.keep, record)

    def _require_reachable(self, wanted: Config) -> None:
        for key, now, then in (
            ("host.data", self.config.host.data, wanted.host.data),
            ("api.unix_socket", self.config.unix_socket, wanted.unix_socket),
            ("api.root", self.config.api.root, wanted.api.root),
        ):
            if now != then:
                raise InvalidConfigError(
                    f"{key} would change from {now} to {then}; it cannot be changed from here.",
                    hint="The command line finds the host by it: change it in the configuration file.",
                )
