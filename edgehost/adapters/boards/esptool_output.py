"""What esptool says while it writes, and what its last lines mean when it fails (esptool 5.6: cmds.py, loader.py)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from edgehost.adapters.boards.esp_errors import no_loader
from edgehost.adapters.boards.flash_run import FlashRun
from edgehost.adapters.boards.line_holders import way_in
from edgehost.adapters.boards.tool_process import ToolEnd
from edgehost.domain.errors import (
    ChipMismatchError,
    DeviceError,
    EdgehostError,
    FlashFailedError,
    LineBusyError,
    LineDeniedError,
    LineLostError,
    NoLineError,
    NoSyncError,
    UnavailableError,
    VerifyFailedError,
)
from edgehost.domain.flashing import BoardState, FlashJob, Phase

_CHIP: Final = re.compile(r"^Connected to (?P<chip>\S+) on ")
_AT: Final = re.compile(r"^Writing at 0x(?P<address>[0-9a-f]+)")
_WROTE: Final = re.compile(r"^Wrote \d+ bytes.* at 0x(?P<address>[0-9a-f]+) in ")
_SKIPPED: Final = re.compile(r" at 0x(?P<address>[0-9a-f]+) already in flash, skipping")
_OTHER_CHIP: Final = re.compile(r"This chip is (?P<chip>\S+), not ")
_ERROR: Final = re.compile(
    r"(?:A fatal error occurred|A serial exception error occurred|Error)\W*(?P<what>.+)"
)
_HINT: Final = "Hold BOOT (IO0), press and release EN (RST), then release BOOT; then try again."


class EsptoolOutput:
    """Turns its lines into phases and bytes. Pieces are verified one by one as they are written, and told at the end."""

    def __init__(self, run: FlashRun, pieces: Sequence[tuple[int, bytes]]) -> None:
        self._run, self._pieces = run, pieces
        self.total = sum(len(data) for _, data in pieces)
        self.chip = ""
        self.skipped = 0
        self.was_reset = True  # until it says that it could not
        self._done = self._verified = 0
        self._is_writing = False

    @property
    def verified(self) -> bool:
        """Whether every piece was compared."""
        return self.skipped + self._verified == self.total

    def take(self, line: str) -> None:
        """One line."""
        run = self._run
        if found := _CHIP.match(line):
            self.chip = found["chip"]
            run.tell(Phase.CONNECT, detail=self.chip)
        elif line.startswith("Erasing flash memory"):
            run.state = BoardState.PARTIAL
            run.tell(Phase.ERASE, 0, self.total)
        elif line.startswith("Flash memory erased"):
            run.tell(Phase.ERASE, self.total, self.total)
        elif line.startswith("Flash will be erased"):
            run.state = BoardState.RESUMABLE
            self._reach(self._done)
        elif found := _AT.match(line):
            self._reach(self._before(int(found["address"], 16)))
        elif found := _WROTE.match(line):
            self._reach(self._behind(int(found["address"], 16)))
        elif found := _SKIPPED.search(line):
            self.skipped += self._size(int(found["address"], 16))
            self._reach(self._behind(int(found["address"], 16)))
        elif "Chip was NOT reset" in line:
            self.was_reset = False
        elif line.startswith("Hash of data verified"):
            self._verified = self._done - self.skipped

    def end(self, *, is_started: bool) -> None:
        """It ended well, and has reset the board into its firmware or left it as it is."""
        self._reach(self.total)
        if self.verified:
            self._run.tell(Phase.VERIFY, self.total, self.total)
        else:
            self._run.tell(Phase.VERIFY, detail="this chip does not let its flash be compared: not verified")
        if is_started:
            self._run.tell(Phase.RESTART)

    def _reach(self, done: int) -> None:
        """Never backwards: after a lost connection it begins its piece again."""
        reached = max(self._done, min(done, self.total))
        if reached != self._done or not self._is_writing:
            self._is_writing = True
            self._run.tell(Phase.WRITE, reached, self.total)
        self._done = reached
        if self._done == self.total:
            self._run.state = BoardState.WRITTEN

    def _before(self, address: int) -> int:
        return sum(min(max(address - start, 0), len(data)) for start, data in self._pieces)

    def _behind(self, address: int) -> int:
        return self._before(address + self._size(address))

    def _size(self, address: int) -> int:
        return next((len(data) for start, data in self._pieces if start == address), 0)


def failure_of(end: ToolEnd, job: FlashJob, *, has_answered: bool = False) -> EdgehostError:
    """What its last lines mean; ``has_answered``: the chip was there before."""
    hint = job.board.recovery or _HINT
    if other := next((found for line in end.lines if (found := _OTHER_CHIP.search(line))), None):
        return ChipMismatchError(
            f"The board '{job.board.id}' has the chip {job.board.flash.chip}; {other['chip']} answers.",
            hint="Choose the right board, or the line that this one is on.",
        )
    if end.said("No such option"):
        return UnavailableError(
            "The esptool that is installed is too old: it cannot leave out what the flash holds.",
            hint="pip install -U 'edgehost[esptool]'",
        )
    if has_answered and end.said("Could not open"):
        return LineLostError(f"{job.line} is gone.", hint="Was it unplugged? Plug it in and try again.")
    return _of_line(end, job) or _of_loader(end, job.line, hint) or _of_write(end)


def _of_line(end: ToolEnd, job: FlashJob) -> EdgehostError | None:
    if not end.said("Could not open"):
        return None
    if end.said("Permission denied"):
        return LineDeniedError(f"This user may not open {job.line}.", hint=way_in(job.line))
    if end.said("exclusively lock", "Resource busy", "Resource temporarily unavailable"):
        return LineBusyError(f"{job.line} is in use by another program.", hint="End that program.")
    return NoLineError(
        f"{job.line} cannot be opened.",
        hint="Plug the board in; 'edgehost boards detect' shows what is there.",
    )


def _of_loader(end: ToolEnd, line: str, hint: str) -> DeviceError | None:
    if end.said("getting no sync reply"):
        return NoSyncError(
            "The chip waits for its image, and does not hear.", hint="Check the line to its RX."
        )
    if end.said("Wrong boot mode detected"):
        return NoSyncError("The chip started its firmware instead of its loader.", hint=hint)
    if end.said("Failed to connect to"):
        return no_loader(line, hint, was_heard=not end.said("No serial data received"))
    if end.said("Failed to start stub flasher"):
        return FlashFailedError(
            "The helper that esptool loads into the chip's RAM does not start.",
            hint="Try --tool built-in, which needs none, or a lower --baud.",
        )
    return None


def _of_write(end: ToolEnd) -> DeviceError:
    if end.said("does not match data in flash", "the written flash region is empty"):
        return VerifyFailedError(
            "What was written is not in the flash, as its MD5 shows.",
            hint="Flash again; if it stays so, the flash chip or the supply is weak.",
        )
    said = next((found["what"] for line in reversed(end.lines) if (found := _ERROR.search(line))), end.last)
    if end.said("serial exception", "No more data to read", "device disconnected"):
        return LineLostError(f"The line was lost: {said}", hint="A short cable; a supply that gives 500 mA.")
    return FlashFailedError(
        f"esptool ended with {end.status}: {said}", hint="Try a lower --baud, or --tool built-in."
    )
