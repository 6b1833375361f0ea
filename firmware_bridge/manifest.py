"""The compact manifest that a device checks: COSE_Sign1 (RFC 9052) over nine or ten members of a component.

What is signed and how it is put together; signing itself is the publisher's. See ``device/PROTOCOL.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from edgehost.domain.errors import InvalidComponentError

#: {1: -8, 3: "edgehost-manifest+cbor"}: EdDSA, and a type that keeps signatures of other things of the same key out.
PROTECTED: Final = b"\xa2\x01\x27\x03\x76edgehost-manifest+cbor"
MOST_MANIFEST_BYTES: Final = 480
ANY_BOARD: Final = "any"
#: What a module may use; not every board has the last one.
FEATURES: Final = (
    "mvp",
    "sign-extension",
    "multi-value",
    "saturating-float-to-int",
    "bulk-memory",
    "mutable-global",
    "float",
)
_TAG: Final = 18
_PARTS: Final = 4
_MEMBERS: Final = (9, 10)  # the last one, the audience, need not be there
_NAME_BYTES: Final = 63
_SHA256_BYTES: Final = 32
_UID_BYTES: Final = 8
_SIGNATURE_BYTES: Final = 64
_MOST_SIZE: Final = 0x7FFF_FFFF


@dataclass(frozen=True, slots=True)
class DeviceManifest:
    """What is signed of a component for devices."""

    component: str
    version: str
    sequence: int  # above that of whatever the device runs
    size_bytes: int
    sha256: bytes
    boards: tuple[str, ...]  # boards or cores; or ``any``
    abi: str
    memory_bytes: int  # of linear memory; need not be whole pages
    features: tuple[str, ...]
    uid: bytes = b""  # the one device that it is for; b"": any


def manifest_payload(manifest: DeviceManifest) -> bytes:
    """What is signed, in deterministic CBOR.

    Raises:
        InvalidComponentError: a device would not take it.
    """
    import cbor2  # noqa: PLC0415 - hosts without devices do without

    require_possible(manifest)
    members: dict[int, Any] = {
        1: manifest.component,
        2: manifest.version,
        3: manifest.sequence,
        4: manifest.size_bytes,
        5: manifest.sha256,
        6: list(manifest.boards),
        7: manifest.abi,
        8: manifest.memory_bytes,
        9: list(manifest.features),
    }
    if manifest.uid:
        members[10] = manifest.uid
    payload: bytes = cbor2.dumps(members, canonical=True)
    return payload


def to_be_signed(payload: bytes) -> bytes:
    """The bytes that Ed25519 signs: the Sig_structure of RFC 9052 section 4.4."""
    import cbor2  # noqa: PLC0415 - as above

    content: bytes = cbor2.dumps(["Signature1", PROTECTED, b"", payload])
    return content


def signed_manifest(payload: bytes, signature: bytes) -> bytes:
    """The manifest as devices take it.

    Raises:
        InvalidComponentError: it would be too large for them.
    """
    import cbor2  # noqa: PLC0415 - as above

    content: bytes = cbor2.dumps(cbor2.CBORTag(_TAG, [PROTECTED, {}, payload, signature]))
    if len(content) > MOST_MANIFEST_BYTES:
        raise InvalidComponentError(
            f"The manifest would have {len(content)} bytes; devices take {MOST_MANIFEST_BYTES}.",
            hint="Name fewer boards, or use a shorter name.",
        )
    return content


def read_manifest(content: bytes) -> DeviceManifest:
    """What a signed manifest says. Its signature is not looked at: whose key holds, the device knows.

    Raises:
        InvalidComponentError: it is none that devices take.
    """
    payload, _ = manifest_parts(content)
    members = _decoded(payload)
    if not isinstance(members, dict) or len(members) not in _MEMBERS:
        raise _malformed("it has other members")
    if list(members) != list(range(1, len(members) + 1)):
        raise _malformed("its members are others, or in another order")
    values = list(members.values())
    kinds = (str, str, int, int, bytes, list, str, int, list, bytes)
    if any(type(value) is not kind for value, kind in zip(values, kinds, strict=False)):
        raise _malformed("a member has the wrong type")
    boards, features = values[5], values[8]
    if not all(isinstance(word, str) for word in (*boards, *features)):
        raise _malformed("a member has the wrong type")
    manifest = DeviceManifest(
        component=values[0],
        version=values[1],
        sequence=values[2],
        size_bytes=values[3],
        sha256=values[4],
        boards=tuple(boards),
        abi=values[6],
        memory_bytes=values[7],
        features=tuple(features),
        uid=values[9] if values[9:] else b"",
    )
    if values[9:] and len(manifest.uid) != _UID_BYTES:
        raise _malformed("the audience is no device's id")
    require_possible(manifest)
    if manifest_payload(manifest) != payload:
        raise _malformed("it is not in deterministic CBOR")
    return manifest


def manifest_parts(content: bytes) -> tuple[bytes, bytes]:
    """Payload and signature.

    Raises:
        InvalidComponentError: it is no such message.
    """
    import cbor2  # noqa: PLC0415 - as above

    if len(content) > MOST_MANIFEST_BYTES:
        raise _malformed(f"it has {len(content)} bytes")
    message = _decoded(content)
    if isinstance(message, cbor2.CBORTag) and message.tag == _TAG:
        message = message.value
    if not isinstance(message, list | tuple) or len(message) != _PARTS:
        raise _malformed("it is no COSE_Sign1")
    protected, header, payload, signature = message
    if protected != PROTECTED or header != {}:
        raise _malformed("its headers are not those of a manifest")
    if not isinstance(payload, bytes) or not isinstance(signature, bytes):
        raise _malformed("it is no COSE_Sign1 with its payload inside")
    if len(signature) != _SIGNATURE_BYTES:
        raise _malformed("its signature has another length")
    return payload, signature


def require_possible(manifest: DeviceManifest) -> None:
    """Check the bounds of every member.

    Raises:
        InvalidComponentError: one is outside.
    """
    for what, text in (("component", manifest.component), ("version", manifest.version)):
        if not 0 < len(text.encode()) <= _NAME_BYTES:
            raise _malformed(f"the {what} has not 1 to {_NAME_BYTES} bytes")
    if not 0 <= manifest.sequence < 2**64 or not 0 < manifest.size_bytes <= _MOST_SIZE:
        raise _malformed("sequence or size is outside its bounds")
    if not 0 <= manifest.memory_bytes <= _MOST_SIZE or len(manifest.sha256) != _SHA256_BYTES:
        raise _malformed("memory or digest is outside its bounds")
    if manifest.uid and len(manifest.uid) != _UID_BYTES:
        raise _malformed("the audience is no device's id")


def _decoded(content: bytes) -> Any:  # noqa: ANN401 - CBOR holds anything
    import io  # noqa: PLC0415 - as above

    import cbor2  # noqa: PLC0415 - as above

    stream = io.BytesIO(content)
    try:
        found = cbor2.CBORDecoder(stream).decode()
    except (cbor2.CBORError, ValueError, TypeError, RecursionError, OverflowError, MemoryError):
        raise _malformed("it is no CBOR") from None
    if stream.tell() != len(content):
        raise _malformed("bytes follow it")
    return found


def _malformed(why: str) -> InvalidComponentError:
    return InvalidComponentError(
        f"The device manifest cannot be used: {why}.", hint="Make it with 'edgehost publish --device-key'."
    )
