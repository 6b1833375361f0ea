"""How often and how long a port's call is tried, and for which errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from edgehost.domain import errors
from edgehost.domain.backoff import Backoff
from edgehost.domain.errors import EdgehostError, GuestFailedError
from edgehost.domain.port_spec import BreakerRule, Direction, PortSpec

#: Errors that guests can speak of; others are the host's own.
_TOLD: Final[Mapping[str, type[EdgehostError]]] = {
    kind.code: kind
    for kind in (
        errors.UnavailableError,
        errors.BusyError,
        errors.RemoteUnreachableError,
        errors.StorageFullError,
        errors.PortTimeoutError,
        errors.PortUnboundError,
        errors.DeadlineExceededError,
        errors.GuestFailedError,
        errors.GuestTrapError,
        errors.SandboxDiedError,
        errors.RefusedError,
        errors.TooLargeError,
        errors.InvalidRecordError,
        errors.NotGrantedError,
        errors.NotFoundError,
        errors.ConflictError,
        errors.RevisionConflictError,
    )
}
#: What the world may get over: asked again, it may answer.
_TRANSIENT: Final = (errors.UnavailableError, errors.DeadlineExceededError, errors.SandboxDiedError)
#: These are told at once: another try within the same call finds the same.
_SETTLED: Final = (errors.CircuitOpenError, errors.PortUnboundError)
#: What says that the other side is ill. A refusal is an answer, and says that it is well.
_ILLNESS: Final = (
    errors.UnavailableError,
    errors.DeadlineExceededError,
    errors.SandboxDiedError,
    errors.GuestTrapError,
)
#: A call without any time-out of its own or of its caller still ends.
LONGEST_CALL_S: Final = 3600.0
#: The part of its own time that a caller keeps for itself.
_RESERVED: Final = 0.1
_LONGEST_RESERVE_S: Final = 0.25
#: The rule of a port that declares none.
STANDARD_BREAKER: Final[Mapping[str, BreakerRule]] = {"default": BreakerRule()}


@dataclass(frozen=True, slots=True)
class CallPolicy:
    """Bounds of one call of a port, its retries included."""

    try_s: float  # of one try
    retries: int
    backoff: Backoff
    direction: Direction = Direction.OUTBOUND

    @property
    def budget_s(self) -> float:
        """All tries and the pauses between them; the caller's own deadline holds on top."""
        return min(LONGEST_CALL_S, (self.retries + 1) * self.try_s + self.retries * self.backoff.cap_s)

    def pause_s(self, tries: int, error: EdgehostError, *, left_s: float, chance: float) -> float | None:
        """The pause before the next try, after ``tries`` have failed; None: no more tries."""
        if tries > self.retries or not may_repeat(error, self.direction):
            return None
        pause = self.backoff.delay_s(tries - 1, chance)
        return pause if pause < left_s else None


def before(deadline: float, now: float) -> float:
    """Somewhat before a caller's deadline, so that it hears of the failure and can act on it, and is not ended."""
    return deadline - min(_LONGEST_RESERVE_S, max(0.0, deadline - now) * _RESERVED)


def policy_of(port: PortSpec) -> CallPolicy:
    """The policy that the port declares."""
    return CallPolicy(
        try_s=port.timeout_ms / 1000 if port.timeout_ms else LONGEST_CALL_S,
        retries=port.retries,
        backoff=Backoff(port.backoff_ms / 1000, max(port.backoff_ms, port.backoff_most_ms) / 1000),
        direction=port.direction,
    )


def may_repeat(error: EdgehostError, direction: Direction) -> bool:
    """Whether another try makes sense: never after a refusal.

    A guest that answers an inbound port acts on the world, so that call is repeated only when it was never begun.
    """
    if direction is Direction.INBOUND:
        return isinstance(error, errors.BusyError)
    return isinstance(error, _TRANSIENT) and not isinstance(error, _SETTLED)


def breaker_rules(port: PortSpec) -> Mapping[str, BreakerRule]:
    """The rules of the port's breakers, by class of errors."""
    return port.breaker or STANDARD_BREAKER


def is_illness(error: EdgehostError) -> bool:
    """Whether the error says that the other side is ill, as against a refusal or a port that leads nowhere."""
    return isinstance(error, _ILLNESS) and not isinstance(error, _SETTLED)


def error_class(error: EdgehostError, rules: Mapping[str, BreakerRule]) -> str:
    """The breaker that the error counts against: its own class, the closest one above, or ``default``; "" for none."""
    for kind in type(error).__mro__:
        code = getattr(kind, "code", "")
        if "code" in vars(kind) and code in rules:
            return str(code)
    return "default" if "default" in rules and is_illness(error) else ""


def told_error(code: str, message: str) -> EdgehostError:
    """What an adapter or service said in ``{"error": {"code", "message"}}``, as the error that it means."""
    kind = _TOLD.get(code)
    return kind(message) if kind is not None else GuestFailedError(f"{message} ({code})" if code else message)
