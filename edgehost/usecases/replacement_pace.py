"""How long an instance's replacement waits, so that a release that does not stay up costs little."""

from __future__ import annotations

from typing import Final

from edgehost.domain.errors import (
    DeadlineExceededError,
    EdgehostError,
    GuestProtocolError,
    GuestTrapError,
    SandboxDiedError,
)

_FIRST_DELAY_S: Final = 0.01
_LONGEST_DELAY_S: Final = 5.0  # between tries to start an instance that does not stay up
_LONGEST_TRAP_DELAY_S: Final = 0.2  # a trap may be the caller's doing: others must not wait long for it


class ReplacementPace:
    """Twice as long after each fault in a row; a call that succeeds ends the row."""

    def __init__(self) -> None:
        self._faults = 0
        self._longest_s = _LONGEST_DELAY_S

    @property
    def delay_s(self) -> float:
        """What the next replacement waits; the first one comes at once."""
        if self._faults <= 1:
            return 0.0
        return min(_FIRST_DELAY_S * 2.0 ** min(self._faults, 20), self._longest_s)

    def note(self, error: EdgehostError) -> None:
        """A call ended so; what is no fault of the instance changes nothing."""
        match error:
            case GuestTrapError() | DeadlineExceededError():
                self._faults += 1
                self._longest_s = _LONGEST_TRAP_DELAY_S
            case SandboxDiedError() | GuestProtocolError():
                self.note_failed_start()
            case _:
                pass

    def note_failed_start(self) -> None:
        """An instance did not start, or did not stay up."""
        self._faults += 1
        self._longest_s = _LONGEST_DELAY_S

    def note_success(self) -> None:
        """A call was answered."""
        self._faults = 0
