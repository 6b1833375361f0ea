"""COSE_Sign1 with Ed25519 (RFC 9052 section 4.2, RFC 9053 section 2.2): what an operator signs and a host checks.

The libraries for COSE need older releases of cbor2 than the boards' protocol does; of the standard this is one shape:
EdDSA in the protected header, the key's id in the other one, the payload inside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from edgehost.domain.errors import RefusedError, TooLargeError, UntrustedReleaseError

_TAG: Final = 18
_ALGORITHM, _KEY_ID = 1, 4  # labels of the headers, RFC 9052 section 3.1
_EDDSA: Final = -8
_PARTS: Final = 4
_KEY_BYTES: Final = 32
_SIGNATURE_BYTES: Final = 64


class UntrustedCommandError(UntrustedReleaseError):
    """The signature does not hold, or nobody here knows the key; nothing was done."""

    code = "untrusted-command"


def sign(payload: bytes, *, key_id: bytes, sign_ed25519: Callable[[bytes], bytes], context: bytes) -> bytes:
    """A tagged COSE_Sign1; ``context`` is the external_aad, so that what is signed for one purpose serves no other."""
    import cbor2  # noqa: PLC0415 - not every host takes commands

    protected = cbor2.dumps({_ALGORITHM: _EDDSA})
    signature = sign_ed25519(_to_be_signed(protected, context, payload))
    return cbor2.dumps(cbor2.CBORTag(_TAG, [protected, {_KEY_ID: key_id}, payload, signature]))


def verify(
    message: bytes, keys: Mapping[bytes, bytes], *, context: bytes, most_bytes: int
) -> tuple[bytes, bytes]:
    """The payload and the id of the key that signed it; ``keys`` are raw public keys by their ids.

    Raises:
        TooLargeError, RefusedError: it is no such message.
        UntrustedCommandError: the key is unknown, or the signature does not hold.
    """
    protected, header, payload, signature = _parts(message, most_bytes)
    key_id = header.get(_KEY_ID)
    if _decoded(protected) != {_ALGORITHM: _EDDSA}:
        raise RefusedError(
            "The message is signed with another algorithm than EdDSA, or demands more than that."
        )
    if not isinstance(key_id, bytes) or key_id not in keys:
        shown = key_id.hex()[:16] if isinstance(key_id, bytes) else "none"
        raise UntrustedCommandError(f"No operator here has the key {shown}.", hint="See [[fleet.operators]].")
    # The library costs 7 MB, so it is there once a command has come and not before.
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    try:
        public = Ed25519PublicKey.from_public_bytes(keys[key_id])
        public.verify(signature, _to_be_signed(protected, context, payload))
    except (InvalidSignature, ValueError):
        raise UntrustedCommandError(f"The signature by {key_id.hex()[:16]} does not hold.") from None
    return payload, key_id


def read_map(payload: bytes) -> Mapping[str, Any]:
    """A CBOR map with text keys.

    Raises:
        RefusedError: it is none.
    """
    document = _decoded(payload)
    if not isinstance(document, Mapping) or not all(isinstance(key, str) for key in document):
        raise RefusedError("What is signed is no CBOR map with text keys.")
    try:
        return {key: _plain(value) for key, value in document.items()}
    except RecursionError:  # CBOR can share a value with itself
        raise RefusedError("What is signed holds itself, or is too deep.") from None


def write_map(document: Mapping[str, Any]) -> bytes:
    """A CBOR map, as it is signed."""
    import cbor2  # noqa: PLC0415 - as above

    content: bytes = cbor2.dumps(dict(document), canonical=True)
    return content


def key_id_of(public: bytes) -> str:
    """The id of an Ed25519 key, as 'edgehost keygen' prints it (securesystemslib's).

    Raises:
        RefusedError: it does not have 32 bytes.
    """
    import hashlib  # noqa: PLC0415 - as above

    if len(public) != _KEY_BYTES:
        raise RefusedError(f"An Ed25519 key has {_KEY_BYTES} bytes, not {len(public)}.")
    canonical = f'{{"keytype":"ed25519","keyval":{{"public":"{public.hex()}"}},"scheme":"ed25519"}}'
    return hashlib.sha256(canonical.encode()).hexdigest()


def _parts(message: bytes, most_bytes: int) -> tuple[bytes, Mapping[Any, Any], bytes, bytes]:
    import cbor2  # noqa: PLC0415 - as above

    if len(message) > most_bytes:
        raise TooLargeError(f"The signed message has {len(message)} bytes; {most_bytes} are allowed.")
    document = _decoded(message)
    parts = document.value if isinstance(document, cbor2.CBORTag) and document.tag == _TAG else ()
    if not isinstance(parts, list | tuple) or len(parts) != _PARTS:
        raise RefusedError("The message is no COSE_Sign1.")
    protected, header, payload, signature = parts
    if not (
        isinstance(protected, bytes)
        and isinstance(header, Mapping)
        and isinstance(payload, bytes)
        and isinstance(signature, bytes)
        and len(signature) == _SIGNATURE_BYTES
    ):
        raise RefusedError("The message is no COSE_Sign1 by Ed25519 with its payload inside.")
    return protected, header, payload, signature


def _decoded(content: bytes) -> Any:  # noqa: ANN401 - CBOR holds anything
    import cbor2  # noqa: PLC0415 - as above

    try:
        return cbor2.loads(content)
    except (cbor2.CBORError, ValueError, TypeError, RecursionError, OverflowError, MemoryError):
        raise RefusedError("The message is no CBOR.") from None


def _plain(value: Any) -> Any:  # noqa: ANN401 - CBOR holds anything
    """Tuples and frozen maps of a newer cbor2 as lists and dicts."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def _to_be_signed(protected: bytes, context: bytes, payload: bytes) -> bytes:
    import cbor2  # noqa: PLC0415 - as above

    content: bytes = cbor2.dumps(["Signature1", protected, context, payload])
    return content
