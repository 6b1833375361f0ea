"""What a device lets in: signed by its keys, for it, within its budgets, above what runs, and whole."""

from __future__ import annotations

import hashlib
from typing import Any

import cbor2
import pytest

from tests.firmware.conftest import BLINK, OTHER_KEY, UID, Manifest, Start
from tests.firmware.device_client import CHANGED, GET, POST, PUT, DeviceClient, signed
from tests.firmware.wat_guests import saying, with_probe

SECTOR = 4096
FORBIDDEN, CONFLICT, BAD_REQUEST = 0x83, 0x89, 0x80
V1, V2, V3 = saying("one"), saying("two"), saying("three")


def test_a_manifest_that_another_key_signed_is_refused(start: Start) -> None:
    with start() as device:
        answer = device.client.deploy(BLINK, Manifest(BLINK, key=OTHER_KEY).bytes())
        assert (answer.code, answer.text) == (
            FORBIDDEN,
            "signature: none of this device's keys has signed it",
        )


def test_a_manifest_with_any_bit_flipped_is_refused(start: Start) -> None:
    good = Manifest(BLINK).bytes()
    with start() as device:
        for at in range(len(good)):
            bad = good[:at] + bytes([good[at] ^ (1 << at % 8)]) + good[at + 1 :]
            assert device.client.ask(PUT, "slot/manifest", bad).code in (FORBIDDEN, BAD_REQUEST)
        assert device.client.ask(PUT, "slot/manifest", good).code == CHANGED


def test_a_command_that_the_same_key_signed_is_no_manifest(start: Start) -> None:
    payload = cbor2.loads(cbor2.loads(Manifest(BLINK).bytes()).value[2])
    other = signed(cbor2.dumps(payload), Manifest(BLINK).key, cbor2.dumps({1: -8}))
    with start() as device:
        assert "protected header" in device.client.ask(PUT, "slot/manifest", other).text


@pytest.mark.parametrize(
    ("members", "word"),
    [
        ({6: ["uno", "mega2560"]}, "board"),
        ({10: b"device02"}, "audience"),
        ({7: "plain"}, "abi"),
        ({9: ["mvp", "simd"]}, "features"),
        ({4: 200_000}, "size"),
        ({8: 200_000}, "memory"),
        ({4: 0}, "malformed"),
        ({11: 1}, "malformed"),
        ({5: b"short"}, "malformed"),
        ({3: -1}, "malformed"),
        ({1: "x" * 64}, "malformed"),
    ],
)
def test_what_does_not_fit_the_device_is_refused_before_a_byte_is_sent(
    start: Start, members: dict[int, Any], word: str
) -> None:
    with start() as device:
        answer = device.client.ask(PUT, "slot/manifest", Manifest(BLINK, members=members).bytes())
        assert answer.text.split(":")[0] == word
        assert "have" not in device.client.ask(GET, "slot").document


def test_a_manifest_may_name_this_board_or_this_device(start: Start) -> None:
    with start() as device:
        fitting = Manifest(BLINK, members={6: ["uno", "posix"], 10: UID})
        assert device.client.deploy(BLINK, fitting.bytes()).code == CHANGED


def test_an_image_that_is_not_the_signed_one_is_refused_and_the_old_one_runs(start: Start) -> None:
    with start() as device:
        assert device.client.deploy(V1, Manifest(V1).bytes()).code == CHANGED
        answer = device.client.deploy(V3[:-1] + b"\x01", Manifest(V3, 2).bytes())
        assert answer.text == "digest: the image is not the one that was signed"
        assert device.client.call("device-blink", "who").text == "one"
        assert device.client.deploy(V3, Manifest(V3, 2).bytes()).code == CHANGED


def test_a_lower_or_equal_sequence_is_refused(start: Start) -> None:
    with start() as device:
        device.client.deploy(V2, Manifest(V2, 5).bytes())
        for sequence in (4, 5):
            answer = device.client.deploy(V1, Manifest(V1, sequence).bytes())
            assert answer.code == CONFLICT
            assert answer.text.startswith("sequence:")
        again = device.client.deploy(V2, Manifest(V2, 5).bytes())
        assert again.text == "active: this release is the one that runs"


def test_a_rollback_brings_the_previous_release_back_and_forward_again(start: Start) -> None:
    with start() as device:
        client = device.client
        client.deploy(V1, Manifest(V1, 1).bytes())
        assert client.ask(POST, "slot/rollback").text.startswith("previous:")
        client.deploy(V2, Manifest(V2, 2).bytes())
        assert client.ask(POST, "slot/rollback").code == CHANGED
        assert client.call("device-blink", "who").text == "one"
    with start() as device:
        assert device.client.call("device-blink", "who").text == "one"
        offered = device.client.ask(PUT, "slot/manifest", Manifest(V2, 2).bytes())
        assert offered.document == {"have": len(V2), "size": len(V2)}  # it is there already
        assert device.client.ask(POST, "slot/commit").code == CHANGED
        assert device.client.call("device-blink", "who").text == "two"


def test_nothing_between_a_release_that_was_rolled_back_and_the_one_before_comes_in(start: Start) -> None:
    with start() as device:
        client = device.client
        client.deploy(V1, Manifest(V1, 1).bytes())
        client.deploy(V2, Manifest(V2, 5).bytes())
        assert client.ask(POST, "slot/rollback").code == CHANGED
    with start() as device:
        client = device.client
        assert client.call("device-blink", "who").text == "one"
        assert client.ask(GET, "slot").document["sequence"] == 5
        for sequence in (0, 2, 4, 5):  # signed, and above what runs
            answer = client.deploy(V3, Manifest(V3, sequence).bytes())
            assert (answer.code, answer.text.partition(":")[0]) == (CONFLICT, "sequence")
        assert client.deploy(V2, Manifest(V2, 5).bytes()).code == CHANGED
        assert client.ask(POST, "slot/rollback").code == CHANGED
        assert client.deploy(V3, Manifest(V3, 6).bytes()).code == CHANGED


def test_what_ran_is_remembered_when_nothing_of_it_is_left_and_the_journal_turns_over(start: Start) -> None:
    with start() as device:
        device.client.deploy(V1, Manifest(V1, 1).bytes())
        device.client.deploy(V2, Manifest(V2, 5).bytes())
        flash = device.flash
    content = bytearray(flash.read_bytes())
    for image in (V1, V2):
        content[content.index(image) + 40] ^= 1
    flash.write_bytes(content)
    heads = [content[at : at + 32] for at in (0, SECTOR)]
    with start() as device:
        assert "running" not in device.client.ask(GET, "slot").document
        _refuses_what_is_older(device.client)
        for sequence in range(6, 140):  # each writes that it is tried, and that it is bad
            failing = with_probe(f'(module (func (export "probe") (result i32) (i32.const {sequence})))')
            answer = device.client.deploy(failing, Manifest(failing, sequence).bytes())
            assert answer.text.startswith("refused:")
        _refuses_what_is_older(device.client)
    content = bytearray(flash.read_bytes())
    assert all(content[at : at + 32] != head for at, head in zip((0, SECTOR), heads, strict=True))
    with start() as device:
        _refuses_what_is_older(device.client)
        assert device.client.deploy(V3, Manifest(V3, 6).bytes()).code == CHANGED


def _refuses_what_is_older(client: DeviceClient) -> None:
    assert client.ask(GET, "slot").document["sequence"] == 5
    assert client.deploy(V3, Manifest(V3, 3).bytes()).text.startswith("sequence:")


def test_a_rollback_is_refused_once_its_slot_was_given_to_another_transfer(start: Start) -> None:
    with start() as device:
        client = device.client
        client.deploy(V1, Manifest(V1, 1).bytes())
        client.deploy(V2, Manifest(V2, 2).bytes())
        client.ask(PUT, "slot/manifest", Manifest(V3, 3).bytes())
        assert client.ask(POST, "slot/rollback").text.startswith("previous:")
        assert client.call("device-blink", "who").text == "two"


def test_a_flipped_bit_in_the_running_image_brings_the_last_good_one_back(start: Start) -> None:
    with start() as device:
        device.client.deploy(V1, Manifest(V1, 1).bytes())
        device.client.deploy(V2, Manifest(V2, 2).bytes())
        flash = device.flash
    content = bytearray(flash.read_bytes())
    content[content.index(V2) + 40] ^= 1
    flash.write_bytes(content)
    with start() as device:
        assert device.client.call("device-blink", "who").text == "one"
        told = device.client.ask(GET, "slot").document
        assert told["quarantined"] == [hashlib.sha256(V2).digest()[:12]]
        assert "digest: the image is not the one that was signed" in device.client.texts
