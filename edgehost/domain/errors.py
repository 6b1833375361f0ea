"""What can go wrong, named by what the caller can do about it.

EdgehostError
    RefusedError            the input is wrong: change it
        InvalidConfigError, InvalidSpecificationError, InvalidComponentError,
        InvalidRecordError, InvalidQueryError, TooLargeError
        UntrustedReleaseError, IncompatibleReleaseError, QuarantinedReleaseError
        NotGrantedError
        InvalidImageError
    NotFoundError           there is no such thing
        NoLineError
    ConflictError           the state has moved on: read again, then decide
        RevisionConflictError, EndpointTakenError, IdempotencyConflictError
    UnavailableError        not now: the same call may succeed later
        BusyError, RemoteUnreachableError, StorageFullError, KeyLostError
        CircuitOpenError, PortTimeoutError, PortUnboundError
    GuestError              the component, not the host, failed
        GuestTrapError, GuestFailedError, GuestProtocolError,
        DeadlineExceededError, SandboxDiedError, CallDepthError
    DamagedError            stored bytes are not what was written
    DeviceError             a device on a line, or the line, failed
        LineBusyError, LineDeniedError, LineLostError, NoSyncError, ChipMismatchError,
        VerifyFailedError, FlashFailedError
"""

from __future__ import annotations

from typing import ClassVar, Final


class EdgehostError(Exception):
    """What happened, with a hint for what to do next."""

    #: Stable machine word, used in problem documents and ``--json`` output.
    code: ClassVar[str] = "error"
    #: Of a port's call: what it leads to was asked before, and may have done something.
    acted: bool = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip() if self.hint else self.message


class RefusedError(EdgehostError):
    """The input is wrong and will stay wrong until somebody changes it."""

    code = "refused"
    #: Of a document: the dotted path of the key that is wrong, for whoever can show the line.
    path: str = ""


class InvalidConfigError(RefusedError):
    """The configuration file says something that the host does not understand."""

    code = "invalid-config"


class InvalidSpecificationError(RefusedError):
    """A component specification is incomplete or contradicts itself."""

    code = "invalid-specification"


class InvalidComponentError(RefusedError):
    """The bytes are not a component that this host can run."""

    code = "invalid-component"


class InvalidRecordError(RefusedError):
    """A record does not fit its model; ``problems`` holds one (pointer, message) pair per fault."""

    code = "invalid-record"

    def __init__(self, message: str, *, hint: str = "", problems: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.problems = problems


class InvalidQueryError(RefusedError):
    """A filter, cursor or limit cannot be understood."""

    code = "invalid-query"


class TooLargeError(RefusedError):
    """An input passes its limit in bytes or in depth."""

    code = "too-large"


class UntrustedReleaseError(RefusedError):
    """A signature, digest, version or date does not hold; nothing of the release was used."""

    code = "untrusted-release"


class IncompatibleReleaseError(RefusedError):
    """The release is genuine but not for this host (device class, ABI, sequence)."""

    code = "incompatible-release"


class QuarantinedReleaseError(RefusedError):
    """The digest has misbehaved here and is not tried again."""

    code = "quarantined-release"


class NotGrantedError(RefusedError):
    """The component asked for something that its specification was not granted."""

    code = "not-granted"


class InvalidImageError(RefusedError):
    """A firmware file is damaged, or does not fit the board; no device was touched."""

    code = "invalid-image"


class NotFoundError(EdgehostError):
    """There is no such model, record, release or component."""

    code = "not-found"


class NoLineError(NotFoundError):
    """No line leads to the board, or several may."""

    code = "no-line"


class ConflictError(EdgehostError):
    """The state has moved on since the caller looked."""

    code = "conflict"


class RevisionConflictError(ConflictError):
    """The record has another revision than the caller expects."""

    code = "revision-conflict"


class EndpointTakenError(ConflictError):
    """Another live component already serves this endpoint."""

    code = "endpoint-taken"


class IdempotencyConflictError(ConflictError):
    """The idempotency key was used before with another body."""

    code = "idempotency-conflict"


class UnavailableError(EdgehostError):
    """Not now; the same request may succeed later."""

    code = "unavailable"


class BusyError(UnavailableError):
    """Every instance is busy and the queue is full."""

    code = "busy"


class RemoteUnreachableError(UnavailableError):
    """The transport of a remote did not answer; what runs keeps running."""

    code = "remote-unreachable"


class StorageFullError(UnavailableError):
    """The disk or the quota is full; nothing was changed."""

    code = "storage-full"


class KeyLostError(UnavailableError):
    """Something was encrypted under a key that is not in the key file."""

    code = "key-lost"


class CircuitOpenError(UnavailableError):
    """The port's circuit breaker is open: what it leads to failed too often of late and is left alone."""

    code = "circuit-open"


class PortTimeoutError(UnavailableError):
    """What a port leads to did not answer within the port's time-out; the call was cancelled."""

    code = "port-timeout"


class PortUnboundError(UnavailableError):
    """The port leads nowhere: its adapter, or that adapter's service, is not here."""

    code = "port-unbound"


class GuestError(EdgehostError):
    """The component failed; the host did not."""

    code = "guest-error"


class GuestTrapError(GuestError):
    """The guest hit a WebAssembly trap; its instance is replaced."""

    code = "guest-trap"


class GuestFailedError(GuestError):
    """The guest said so itself (for Extism: a non-zero return, with its error text)."""

    code = "guest-failed"


class GuestProtocolError(GuestError):
    """The guest answered with something that its specification does not allow."""

    code = "guest-protocol"


class DeadlineExceededError(GuestError):
    """The guest did not answer in time and was killed."""

    code = "deadline-exceeded"


class SandboxDiedError(GuestError):
    """The sandbox process ended during the call (a forbidden system call, out of memory, an engine fault)."""

    code = "sandbox-died"


class CallDepthError(GuestError):
    """Components call each other too deeply, or in a circle."""

    code = "call-depth"


class DamagedError(EdgehostError):
    """Stored bytes are not what was written; the message says where and what was kept."""

    code = "damaged"


class DeviceError(EdgehostError):
    """A device on a line, or the line itself, failed."""

    code = "device-error"
    #: Of a flash: the ``BoardState`` that the board was left in; "" when nothing was being flashed.
    state: str = ""


class LineBusyError(DeviceError):
    """Somebody else has the line open."""

    code = "line-busy"


class LineDeniedError(DeviceError):
    """This user may not open the line."""

    code = "line-denied"


class LineLostError(DeviceError):
    """The line was unplugged, or closed from the other end."""

    code = "line-lost"


class NoSyncError(DeviceError):
    """Nothing on the line answers in the bootloader's tongue."""

    code = "no-sync"


class ChipMismatchError(DeviceError):
    """Another chip answers than the board has."""

    code = "chip-mismatch"


class VerifyFailedError(DeviceError):
    """What was read back is not what was written."""

    code = "verify-failed"


class FlashFailedError(DeviceError):
    """The device refused a step, or broke off; the message says in what state it is."""

    code = "flash-failed"


def _codes(kind: type[EdgehostError]) -> set[str]:
    return {kind.code}.union(*(_codes(each) for each in kind.__subclasses__()))


#: The stable words of all that can go wrong here.
ERROR_CODES: Final = tuple(sorted(_codes(EdgehostError) - {EdgehostError.code}))
