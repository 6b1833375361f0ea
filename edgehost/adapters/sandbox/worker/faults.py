"""How code inside a sandbox says that something went wrong."""

from __future__ import annotations

from edgehost.adapters.sandbox import wire


class Fault(Exception):  # noqa: N818 - it becomes an error of the domain on the agent's side
    """Ends a call; ``code`` is one of wire's error codes."""

    def __init__(self, code: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


class Trap(Fault):
    """The guest broke a rule of WebAssembly or of its host functions."""

    def __init__(self, message: str) -> None:
        super().__init__(wire.TRAP, message)


class GuestExit(Exception):  # noqa: N818 - not an error: WASI's proc_exit unwinds the guest this way
    """The guest ended itself with an exit status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def invalid(message: str, hint: str = "") -> Fault:
    """The module cannot be run by this host."""
    return Fault(wire.INVALID, message, hint)
