"""Signed messages: byte for byte those of another implementation, and nothing else is taken for one."""

from __future__ import annotations

from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from edgehost.domain.errors import RefusedError, TooLargeError
from remotes.cose_sign1 import UntrustedCommandError, key_id_of, read_map, sign, verify, write_map
from remotes.keys import generate_key, load_public_key

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = PRIVATE.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
CONTENT = b"This is the content."
#: Made by python-cwt 3.3.0 (with cbor2 5.9.0) from the key above; Ed25519 always gives the same signature.
BY_CWT = {
    b"": "d28443a10127a104456b65792d3154546869732069732074686520636f6e74656e742e58400b497547d7a31db87246c70e380b31b3f1d7"
    "6f4ffa640a76c92baf6bb610091fd2845cecd1a9f1aca90dcf7c98a7be5b19543235328a8f9e6503559c8060920e",
    b"edgehost command": "d28443a10127a104456b65792d3154546869732069732074686520636f6e74656e742e58402f0b0e784aea74a983f3"
    "27683062f917d6872e47c63ce1f32be7e9d3ab0c776251fd7a8f4f95daed445f732d24e6125868d2e7de3b063255b53fac367fec770f",
}


@pytest.mark.parametrize("context", BY_CWT)
def test_another_implementation_signs_the_same_bytes(context: bytes) -> None:
    message = bytes.fromhex(BY_CWT[context])
    assert sign(CONTENT, key_id=b"key-1", sign_ed25519=PRIVATE.sign, context=context) == message
    assert verify(message, {b"key-1": PUBLIC}, context=context, most_bytes=4096) == (CONTENT, b"key-1")


@given(st.integers(min_value=0, max_value=len(BY_CWT[b""]) // 2 - 1), st.integers(min_value=1, max_value=255))
def test_no_changed_byte_goes_unnoticed(place: int, change: int) -> None:
    message = bytearray(bytes.fromhex(BY_CWT[b""]))
    message[place] ^= change
    with pytest.raises(RefusedError):
        verify(bytes(message), {b"key-1": PUBLIC}, context=b"", most_bytes=4096)


@given(st.binary(max_size=300))
def test_whatever_comes_is_refused_and_nothing_worse(message: bytes) -> None:
    for given_bytes in (message, b"\xd2" + message, b"\xd2\x84" + message):
        with pytest.raises(RefusedError):
            verify(given_bytes, {b"key-1": PUBLIC}, context=b"", most_bytes=4096)


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b"", {}, b"", b""],
        [cbor2.dumps({1: -7}), {4: b"key-1"}, CONTENT, bytes(64)],  # ES256
        [cbor2.dumps({1: -8, 2: [99], 99: 1}), {4: b"key-1"}, CONTENT, bytes(64)],  # crit
        [cbor2.dumps({1: -8}), {4: "key-1"}, CONTENT, bytes(64)],
        [cbor2.dumps({1: -8}), {4: b"key-1"}, None, bytes(64)],  # detached
        [cbor2.dumps({1: -8}), {4: b"key-1"}, CONTENT, b""],
        [cbor2.dumps({1: -8}), {}, CONTENT, bytes(64)],
    ],
)
def test_other_shapes_are_refused(parts: list[Any]) -> None:
    with pytest.raises(RefusedError):
        verify(cbor2.dumps(cbor2.CBORTag(18, parts)), {b"key-1": PUBLIC}, context=b"", most_bytes=4096)


def test_size_and_depth_are_bounded() -> None:
    with pytest.raises(TooLargeError):
        verify(bytes(5000), {}, context=b"", most_bytes=4096)
    for bomb in (
        b"\x81" * 4000,
        b"\x9b\x00\x00\x00\x7f\xff\xff\xff\xff",
        b"\xbb\x7f\xff\xff\xff\xff\xff\xff\xff",
    ):
        with pytest.raises(RefusedError):
            verify(bomb, {}, context=b"", most_bytes=4096)


def test_a_signature_serves_one_purpose_and_one_key() -> None:
    message = sign(CONTENT, key_id=b"key-1", sign_ed25519=PRIVATE.sign, context=b"one")
    with pytest.raises(UntrustedCommandError, match="does not hold"):
        verify(message, {b"key-1": PUBLIC}, context=b"other", most_bytes=4096)
    with pytest.raises(UntrustedCommandError, match="No operator"):
        verify(message, {b"key-2": PUBLIC}, context=b"one", most_bytes=4096)


def test_a_key_has_the_id_that_keygen_prints(tmp_path: Any) -> None:
    public_file, key_id = generate_key(tmp_path / "a.key")
    assert key_id_of(bytes.fromhex(load_public_key(public_file).keyval["public"])) == key_id


def test_a_map_that_holds_itself_is_refused() -> None:
    with pytest.raises(RefusedError, match="holds itself"):
        read_map(bytes.fromhex("a16161d81c81d81d00"))  # {"a": 28([29(0)])}


def test_maps_come_back_as_plain_values() -> None:
    document = {"a": [1, {"b": [True]}], "nonce": b"x"}
    assert read_map(write_map(document)) == document
    others: list[Any] = [[], 1, {1: 2}]
    for other in others:
        with pytest.raises(RefusedError):
            read_map(cbor2.dumps(other))
