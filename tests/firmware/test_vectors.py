"""Golden vectors: the firmware and the tests' own client read and write the same bytes."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import aiocoap
import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.device.provision import provisioned
from tests.firmware.conftest import KEY, ROOT, UID, built, public_bytes
from tests.firmware.device_client import Message, decode, encode, frame
from tests.firmware.parsers import Parsers, hexed, running, unhexed
from tests.firmware.wat_guests import LOOPING, component, saying

VECTORS: Final = ROOT / "firmware_bridge" / "vectors"
_FUZZ: Final = settings(max_examples=300)


def vectors(name: str) -> Any:
    """A file of vectors."""
    return json.loads((VECTORS / f"{name}.json").read_text())


def named(entries: list[dict[str, Any]]) -> pytest.MarkDecorator:
    """A parameter for each."""
    return pytest.mark.parametrize("entry", entries, ids=[entry["name"] for entry in entries])


@pytest.fixture(scope="module")
def parsers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parsers]:
    path: Path = tmp_path_factory.mktemp("parsers") / "parsers"
    path.write_bytes(provisioned(built("parsers").read_bytes(), UID, [public_bytes(KEY)]))
    path.chmod(0o755)
    with running(path) as started:
        yield started


@named(vectors("slipmux")["frames"])
def test_frames(parsers: Parsers, entry: dict[str, Any]) -> None:
    content, whole = bytes.fromhex(entry["content"]), bytes.fromhex(entry["frame"])
    assert parsers.ask("frame", bytes([entry["type"]]), content) == entry["frame"]
    assert frame(entry["type"], content) == whole
    kind = "message" if entry["type"] == 0xA9 else "text"
    assert parsers.ask("unframe", whole) == f"{kind} {hexed(content)} bad 0"


@named(vectors("slipmux")["streams"])
def test_streams(parsers: Parsers, entry: dict[str, Any]) -> None:
    words = parsers.ask("unframe", bytes.fromhex(entry["stream"])).split()
    found = list(zip(words[:-2:2], words[1:-2:2], strict=True))
    assert [content for kind, content in found if kind == "message"] == entry["messages"]
    assert [content for kind, content in found if kind == "text"] == entry["texts"]


def read_coap(parsers: Parsers, data: bytes) -> Message | None:
    """What the firmware reads; None for what it refuses."""
    words = parsers.ask("coap", data).split()
    if words == ["bad"]:
        return None
    options = [(int(number), unhexed(value)) for number, value in zip(words[5::2], words[6::2], strict=True)]
    numbers = [int(word) for word in words[:3]]
    return Message(numbers[0], numbers[1], numbers[2], unhexed(words[3]), options, unhexed(words[4]))


@named(vectors("coap")["messages"])
def test_messages(parsers: Parsers, entry: dict[str, Any]) -> None:
    options = [(number, bytes.fromhex(value)) for number, value in entry["options"]]
    wanted = Message(
        entry["type"],
        entry["code"],
        entry["id"],
        bytes.fromhex(entry["token"]),
        options,
        bytes.fromhex(entry["payload"]),
    )
    raw = bytes.fromhex(entry["hex"])
    assert read_coap(parsers, raw) == wanted
    assert encode(wanted) == raw
    assert decode(raw) == wanted
    judged = aiocoap.Message.decode(raw)
    assert (judged.mid, judged.token, judged.payload) == (wanted.id, wanted.token, wanted.payload)


@named(vectors("coap")["refused"])
def test_what_is_no_message(parsers: Parsers, entry: dict[str, Any]) -> None:
    assert read_coap(parsers, bytes.fromhex(entry["hex"])) is None


@named(vectors("manifest")["accepted"])
def test_manifests(parsers: Parsers, entry: dict[str, Any]) -> None:
    payload = entry["payload"]
    found = parsers.ask("manifest", bytes.fromhex(entry["cose"])).split()
    assert found == [
        payload["1"].encode().hex(),
        *(str(payload[key]) for key in ("3", "4", "8")),
        payload["5"],
    ]


@named(vectors("manifest")["refused"])
def test_manifests_that_are_refused(parsers: Parsers, entry: dict[str, Any]) -> None:
    assert parsers.ask("manifest", bytes.fromhex(entry["cose"])).split(":")[0] == entry["word"]


@pytest.mark.parametrize("entry", vectors("ed25519")["signatures"])
def test_signatures(parsers: Parsers, entry: dict[str, str]) -> None:
    key, signature, message = (bytes.fromhex(entry[name]) for name in ("key", "signature", "message"))
    assert parsers.ask("ed25519", key, signature, message) == "good"
    assert parsers.ask("ed25519", key, signature, message + b"x") == "bad"
    assert parsers.ask("ed25519", key[::-1], signature, message) == "bad"


@pytest.mark.parametrize("size", [0, 1, 55, 56, 63, 64, 65, 111, 112, 127, 128, 129, 1000, 4096])
def test_digests(parsers: Parsers, size: int) -> None:
    data = os.urandom(size)
    assert parsers.ask("sha256", data) == hashlib.sha256(data).hexdigest()
    assert parsers.ask("sha512", data) == hashlib.sha512(data).hexdigest()
    assert parsers.ask("crc32", data) == f"{zlib.crc32(data):08x}"


@given(st.binary(max_size=200))
@_FUZZ
def test_any_stream_of_bytes_is_survived(parsers: Parsers, data: bytes) -> None:
    assert parsers.ask("unframe", data).split()[-2] == "bad"


@given(st.lists(st.binary(max_size=60), max_size=4))
@_FUZZ
def test_what_is_framed_is_read_back(parsers: Parsers, contents: list[bytes]) -> None:
    stream = b"".join(frame(0xA9, content) for content in contents)
    found = parsers.ask("unframe", stream).split()
    assert found == [word for content in contents for word in ("message", hexed(content))] + ["bad", "0"]


@given(st.binary(max_size=80).map(lambda data: b"\x41\x01" + data) | st.binary(max_size=80))
@_FUZZ
def test_what_the_firmware_reads_as_coap_is_what_others_read(parsers: Parsers, data: bytes) -> None:
    found = read_coap(parsers, data)
    if found is not None and found.code:
        assert decode(data) == found
        with suppress(UnicodeDecodeError):  # aiocoap also decodes texts
            judged = aiocoap.Message.decode(data)
            assert (judged.mid, judged.token, judged.payload) == (found.id, found.token, found.payload)


_ITEMS = st.recursive(
    st.integers(-(2**64), 2**64 - 1)
    | st.text(max_size=8)
    | st.binary(max_size=8)
    | st.booleans()
    | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(_ITEMS)
@_FUZZ
def test_every_deterministic_cbor_item_is_read(parsers: Parsers, item: Any) -> None:
    encoded = cbor2.dumps(item, canonical=True)
    assert parsers.ask("cbor", encoded) == "good"
    assert parsers.ask("cbor", encoded[:-1]) == "bad"
    assert parsers.ask("cbor", encoded + b"\0") == "bad"


@given(st.binary(max_size=64))
@_FUZZ
def test_what_the_firmware_reads_as_cbor_is_cbor(parsers: Parsers, data: bytes) -> None:
    if parsers.ask("cbor", data) == "good":
        assert _is_one_item(data)


def _is_one_item(data: bytes) -> bool:
    """Well-formed, by a walk of its own: cbor2 also judges what tags and text mean."""

    def after(at: int) -> int:
        major, info = data[at] >> 5, data[at] & 31
        more = 0 if info < 24 else 1 << (info - 24)
        value = info if info < 24 else int.from_bytes(data[at + 1 : at + 1 + more], "big")
        at += 1 + more
        if major in (2, 3):
            at += value
        for _ in range({4: value, 5: 2 * value, 6: 1}.get(major, 0)):
            at = after(at)
        return at

    return after(0) == len(data)


@given(st.sampled_from([LOOPING, saying("x"), component("(module (memory 1))")]), st.data())
@_FUZZ
def test_any_module_with_bytes_changed_is_survived(
    parsers: Parsers, wasm: bytes, data: st.DataObject
) -> None:
    spoiled = bytearray(wasm)
    for _ in range(data.draw(st.integers(1, 4))):
        spoiled[data.draw(st.integers(0, len(spoiled) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(spoiled)))
    assert parsers.ask("module", bytes(spoiled[:cut]))


@given(st.binary(max_size=300))
@_FUZZ
def test_no_bytes_are_a_manifest_unless_signed(parsers: Parsers, data: bytes) -> None:
    assert parsers.ask("manifest", data).split(":")[0] in ("malformed", "signature")
