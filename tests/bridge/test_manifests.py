"""Manifests for devices: the vectors of the firmware, what a host checks before it sends, what a module needs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from edgehost.domain.component_file import padded, read_component
from edgehost.domain.device import DeviceIdentity, DeviceRelease, DeviceSlots, read_identity, read_slots
from edgehost.domain.errors import (
    ConflictError,
    EdgehostError,
    IncompatibleReleaseError,
    InvalidComponentError,
    QuarantinedReleaseError,
    RefusedError,
    UntrustedReleaseError,
)
from edgehost.domain.wasm_needs import WasmNeeds, read_needs
from firmware_bridge.device_fit import key_mark, require_believed, require_fit
from firmware_bridge.manifest import (
    DeviceManifest,
    manifest_parts,
    manifest_payload,
    read_manifest,
    signed_manifest,
    to_be_signed,
)
from remotes.device_manifests import DeviceSigning, device_manifest, require_for_devices
from remotes.keys import generate_key, load_signer
from tests.bridge.test_framing import named, vectors
from tests.firmware.conftest import BLINK

EXAMPLES = Path(__file__).parents[2] / "examples"
IDENTITY = DeviceIdentity(
    "posix", "native", "6465766963653031", "0.1.0", "wasm3 0.5.0", True, 8192, 4096, 1024, 512, ("00" * 8,)
)
MANIFEST = DeviceManifest("lamp", "1.0.0", 7, 4000, bytes(32), ("any",), "extism", 2048, ("mvp",))


@named(vectors("manifest")["accepted"])
def test_what_devices_accept_is_read_and_made_byte_for_byte(entry: dict[str, Any]) -> None:
    content = bytes.fromhex(entry["cose"])
    payload, signature = manifest_parts(content)
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(vectors("manifest")["public_key"]))
    key.verify(signature, to_be_signed(payload))
    manifest = read_manifest(content)
    assert manifest_payload(manifest) == payload
    assert signed_manifest(payload, signature).hex().removeprefix("d2") == entry["cose"].removeprefix("d2")


@named(vectors("manifest")["refused"])
def test_what_devices_refuse_for_its_form_a_host_does_not_send(entry: dict[str, Any]) -> None:
    content, device = bytes.fromhex(entry["cose"]), vectors("manifest")["device"]
    identity = replace(
        IDENTITY,
        uid=device["uid"],
        slot_bytes=device["slot"],
        memory_bytes=device["memory"],
        board=device["board"],
    )
    if entry["word"] == "signature":  # the device alone knows its keys
        return
    with pytest.raises((InvalidComponentError, IncompatibleReleaseError)):
        require_fit(read_manifest(content), identity, DeviceSlots())


@given(st.binary(max_size=500))
def test_any_bytes_are_a_manifest_or_refused(content: bytes) -> None:
    with pytest.raises(EdgehostError):
        read_manifest(content)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"boards": ("pico",)}, "is for pico; this device is a 'posix' \\(native\\)"),
        ({"uid": b"another1"}, "signed for the one device"),
        ({"abi": "plain"}, "uses abi 'plain'"),
        ({"features": ("mvp", "threads")}, "needs threads"),
        ({"size_bytes": 8193}, "needs 8193 bytes of flash; this 'posix' has 8192"),
        ({"memory_bytes": 65536}, "needs 65536 bytes of linear memory; this 'posix' has 4096"),
        ({"sequence": 3}, "has sequence 3, and the device runs other 1.0.0 with 5"),
    ],
)
def test_what_does_not_fit_is_said_plainly(change: dict[str, Any], words: str) -> None:
    running = DeviceSlots(running=DeviceRelease("other", "1.0.0", 5, 10, "ab" * 32))
    require_fit(MANIFEST, IDENTITY, running)
    with pytest.raises(IncompatibleReleaseError, match=words):
        require_fit(replace(MANIFEST, **change), IDENTITY, running)


def test_what_is_older_than_something_that_ran_there_is_not_sent() -> None:
    require_fit(MANIFEST, IDENTITY, DeviceSlots(sequence=MANIFEST.sequence))  # it may be that very release
    with pytest.raises(IncompatibleReleaseError, match="a release with 99 has run on this device"):
        require_fit(MANIFEST, IDENTITY, DeviceSlots(sequence=99))


def test_what_runs_or_has_failed_there_is_not_sent_again() -> None:
    running = DeviceSlots(running=DeviceRelease("lamp", "1.0.0", 5, 10, "00" * 32))
    with pytest.raises(ConflictError, match="runs on this device already"):
        require_fit(MANIFEST, IDENTITY, running)
    with pytest.raises(QuarantinedReleaseError):
        require_fit(MANIFEST, IDENTITY, DeviceSlots(quarantined=("00" * 12,)))
    with pytest.raises(IncompatibleReleaseError, match="needs float"):
        require_fit(replace(MANIFEST, features=("float",)), replace(IDENTITY, has_float=False), DeviceSlots())


def test_a_key_is_named_as_devices_name_it() -> None:
    mark = key_mark(bytes(32))
    assert mark == hashlib.sha256(bytes(32)).hexdigest()[:16]
    require_believed(mark, replace(IDENTITY, keys=(mark,)), "lamp")
    with pytest.raises(UntrustedReleaseError, match="signed for devices by the key"):
        require_believed(mark, IDENTITY, "lamp")


def test_a_component_is_signed_with_what_it_needs(tmp_path: Path) -> None:
    generate_key(tmp_path / "device.key")
    signing = DeviceSigning(load_signer(tmp_path / "device.key"), memory_bytes=2048, uid=b"device01")
    content = device_manifest(read_component(BLINK), BLINK, signing, 9)
    manifest = read_manifest(content)
    assert (manifest.component, manifest.sequence, manifest.size_bytes) == ("device-blink", 9, len(BLINK))
    assert (manifest.memory_bytes, manifest.features, manifest.uid) == (2048, ("mvp",), b"device01")
    assert manifest.boards == ("any",)  # class 'device': every device, and no host
    payload, signature = manifest_parts(content)
    Ed25519PublicKey.from_public_bytes(signing.public_key).verify(signature, to_be_signed(payload))
    with pytest.raises(InvalidComponentError, match="716 bytes of data and stack"):
        device_manifest(read_component(BLINK), BLINK, replace(signing, memory_bytes=512), 9)


def test_what_asks_for_more_than_a_device_has_is_not_signed_for_devices() -> None:
    telemetry = (EXAMPLES / "telemetry/telemetry-1.0.0.wasm").read_bytes()
    with pytest.raises(InvalidComponentError, match="on a device only 'readings'"):
        require_for_devices(read_component(telemetry))


def test_needs_are_read_from_the_code() -> None:
    assert read_needs(BLINK) == WasmNeeds(("mvp",), 1008, 716)  # its linker exports __heap_base
    assert read_needs(padded(BLINK, 20_000)).features == ("mvp",)
    sensors = (EXAMPLES / "sensors/sensors-1.0.0.wasm").read_bytes()
    assert read_needs(sensors).memory_bytes < 65536  # its linker exports __heap_base
    counter = (EXAMPLES / "aegis-counter/aegis-counter-1.0.0.wasm").read_bytes()
    assert read_needs(counter).features == ("mvp", "saturating-float-to-int", "bulk-memory", "float")


@given(st.integers(0, len(BLINK) - 1), st.integers(0, 255))
def test_a_damaged_module_is_read_or_refused(place: int, byte: int) -> None:
    wasm = bytearray(BLINK)
    wasm[place] = byte
    try:
        read_needs(bytes(wasm))
    except InvalidComponentError:
        return


_CBOR = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=5) | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(_CBOR)
def test_whatever_a_device_says_of_itself_is_read_or_refused(document: object) -> None:
    for read in (read_identity, read_slots):
        try:
            read(document)
        except RefusedError:
            continue
    json.dumps(str(document))
