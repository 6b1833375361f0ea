"""What a sandbox reports, as errors of the domain."""

from __future__ import annotations

import signal
from typing import Final

from edgehost.adapters.sandbox import wire
from edgehost.domain.errors import (
    EdgehostError,
    GuestFailedError,
    GuestProtocolError,
    GuestTrapError,
    InvalidComponentError,
    NotFoundError,
    RefusedError,
    SandboxDiedError,
    TooLargeError,
)

_ERRORS: Final[dict[int, type[EdgehostError]]] = {
    wire.TRAP: GuestTrapError,
    wire.FAILED: GuestFailedError,
    wire.NO_EXPORT: NotFoundError,
    wire.TOO_LARGE: TooLargeError,
    wire.INVALID: InvalidComponentError,
    wire.REFUSED: RefusedError,
    wire.PROTOCOL: GuestProtocolError,
    wire.ENGINE: SandboxDiedError,
}
_SIGNALS: Final = {
    signal.SIGSYS: "it made a forbidden system call",
    signal.SIGSEGV: "the engine crashed (segmentation fault)",
    signal.SIGBUS: "the engine crashed (bus error)",
    signal.SIGABRT: "the engine aborted",
    signal.SIGILL: "the engine crashed (illegal instruction)",
    signal.SIGALRM: "its own timer ended it",
    signal.SIGKILL: "it was killed",
    signal.SIGXFSZ: "it tried to write a file",
}


def error_of(component: str, code: int, message: str, hint: str) -> EdgehostError:
    """The error that a code of the wire stands for."""
    kind = _ERRORS.get(code, GuestProtocolError)
    if kind is GuestTrapError:
        message = f"trap: {message}"
    return kind(f"{component}: {message}", hint=hint)


def died(component: str, exit_code: int | None) -> SandboxDiedError:
    """The process is gone; ``exit_code`` is negative for a signal, None when nobody knows."""
    if exit_code is None:
        why = "its process is gone"
    elif exit_code < 0:
        why = _SIGNALS.get(signal.Signals(-exit_code), f"signal {-exit_code} ended it")
    else:
        why = f"it ended with status {exit_code}"
    return SandboxDiedError(f"{component}: the sandbox died: {why}.", hint="Its instance is replaced.")
