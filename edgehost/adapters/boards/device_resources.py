"""What a device's resources take and answer: CBOR into the domain's words, refusals into its errors."""

from __future__ import annotations

import re
from math import isfinite
from typing import Any, Final

import cbor2

from edgehost.domain.device import DeviceIdentity, DeviceSlots, read_slots
from edgehost.domain.errors import (
    ConflictError,
    DeadlineExceededError,
    EdgehostError,
    GuestFailedError,
    GuestTrapError,
    IncompatibleReleaseError,
    NotFoundError,
    QuarantinedReleaseError,
    RefusedError,
    TooLargeError,
    UnavailableError,
    UntrustedReleaseError,
)
from edgehost.domain.json_text import read_json
from firmware_bridge.coap_exchange import CBOR, Response
from firmware_bridge.coap_message import Code, code_text

_MOST_WORDS: Final = 300
_SEGMENT: Final = re.compile(r"[\x21-\x2e\x30-\x7e]{1,64}")
_WORD: Final = re.compile(r"([a-z]+): (.*)", re.DOTALL)
#: The stable words of refusals (device/PROTOCOL.md), as errors.
_REFUSALS: Final[dict[str, type[EdgehostError]]] = {
    "malformed": RefusedError,
    "signature": UntrustedReleaseError,
    "digest": UntrustedReleaseError,
    "sequence": IncompatibleReleaseError,
    "size": IncompatibleReleaseError,
    "board": IncompatibleReleaseError,
    "abi": IncompatibleReleaseError,
    "memory": IncompatibleReleaseError,
    "features": IncompatibleReleaseError,
    "audience": IncompatibleReleaseError,
    "quarantine": QuarantinedReleaseError,
    "active": ConflictError,
    "budget": DeadlineExceededError,
}


def encoded(document: dict[str, Any]) -> bytes:
    """The document in CBOR."""
    content: bytes = cbor2.dumps(document, canonical=True)
    return content


def document_of(response: Response) -> Any:  # noqa: ANN401 - CBOR
    """The answer's document.

    Raises:
        RefusedError: it is none. As require_done.
    """
    require_done(response)
    if response.format != CBOR:
        raise RefusedError("The device answered in another format than CBOR.")
    try:
        return cbor2.loads(response.payload)
    except (cbor2.CBORError, ValueError, TypeError, RecursionError, OverflowError, MemoryError):
        raise RefusedError("The device answered with something that is no CBOR.") from None


def slots_of(response: Response) -> DeviceSlots:
    """What ``/slot`` says."""
    return read_slots(document_of(response))


def telemetry_of(response: Response) -> dict[str, Any]:
    """What ``/tel`` says: numbers, and the component's own telemetry, as JSON where it is.

    Raises:
        RefusedError: it is no map.
    """
    found = document_of(response)
    if not isinstance(found, dict):
        raise RefusedError("The device told no map.")
    telemetry = {str(name)[:64]: value for name, value in list(found.items())[:64] if _is_plain(value)}
    if not isinstance(telemetry.get("up_ms", 0), int):
        del telemetry["up_ms"]
    text = telemetry.get("component")
    if isinstance(text, str):
        try:
            telemetry["component"] = read_json(text.encode())
        except RefusedError:
            telemetry["component"] = text
    return telemetry


def transfer_of(response: Response, size_bytes: int) -> int:
    """How much of a transfer the device has; a gap (4.08) is no error, for it says where to go on.

    Raises:
        As require_done; RefusedError: it answers with something else.
    """
    if response.code == Code.INCOMPLETE and response.format == CBOR:
        response = Response(Code.CHANGED, response.payload, response.format)
    found = document_of(response)
    have = found.get("have") if isinstance(found, dict) else None
    if type(have) is not int or not 0 <= have <= size_bytes:
        raise RefusedError("The device does not say how much of the component it has.")
    return have


def call_path(component: str, function: str) -> str:
    """Where an export is called.

    Raises:
        RefusedError: one of the two cannot be part of a path.
    """
    for name in (component, function):
        if not _SEGMENT.fullmatch(name):
            raise RefusedError(
                f"{name[:80]!r} cannot be asked for on a device.", hint="Use a name without '/'."
            )
    return f"call/{component}/{function}"


def require_body(payload: bytes, identity: DeviceIdentity) -> None:
    """Check that a call's input fits the device.

    Raises:
        TooLargeError.
    """
    if len(payload) > identity.body_bytes:
        raise TooLargeError(
            f"The input has {len(payload)} bytes; this device takes {identity.body_bytes}.",
            hint="Send less at a time.",
        )


def require_done(response: Response) -> None:
    """Turn a refusal into its error.

    Raises:
        EdgehostError: the device refused, or failed.
    """
    if response.is_success:
        return
    words = _words(response)
    match = _WORD.fullmatch(words)
    if match is not None and match[1] in _REFUSALS:
        raise _REFUSALS[match[1]](f"The device refuses it ({match[1]}): {match[2]}")
    if response.code == Code.NOT_FOUND:
        raise NotFoundError(f"The device has no such thing. {words}".strip())
    if response.code == Code.TOO_LARGE:
        raise TooLargeError(f"The device takes less: {words or 'the message is too large'}")
    if response.code == Code.SERVER_ERROR:
        raise GuestTrapError(f"The component failed on the device: {words}")
    if response.code == Code.UNAVAILABLE:
        raise UnavailableError(f"The device cannot do it now: {words}")
    raise RefusedError(f"The device answers {code_text(response.code)}: {words or 'without a word'}")


def require_called(response: Response, device: str) -> bytes:
    """What a call put out.

    Raises:
        As require_done; GuestFailedError: in the guest's own words.
    """
    if response.code == Code.UNPROCESSABLE:
        raise GuestFailedError(_words(response) or f"The component on '{device}' refused.")
    require_done(response)
    return response.payload


def _words(response: Response) -> str:
    return "".join(each if each.isprintable() else " " for each in response.text[:_MOST_WORDS])


def _is_plain(value: object) -> bool:
    """What JSON and other programs can hold."""
    match value:
        case bool() | str():
            return True
        case int():
            return abs(value) < 2**63
        case float():
            return isfinite(value)
        case _:
            return False
