"""The firmware as a process: what it says of itself, a component on it, and calls."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from tests.firmware.conftest import BLINK, KEY, ROOT, UID, Manifest, Start, public_bytes
from tests.firmware.device_client import CHANGED, CONTENT, GET, POST, PUT, Descriptors, DeviceClient


def test_a_device_says_who_it_is_and_what_it_offers(start: Start) -> None:
    with start() as device:
        found = device.client.ask(GET, "id").document
        assert found["board"] == "posix"
        assert found["uid"] == UID
        assert found["keys"] == [hashlib.sha256(public_bytes(KEY)).digest()[:8]]
        assert "</tel>;ct=60;obs" in device.client.ask(GET, ".well-known/core").text


def test_a_component_is_deployed_called_and_seen_in_telemetry(start: Start) -> None:
    with start() as device:
        client = device.client
        assert client.deploy(BLINK, Manifest(BLINK).bytes()).code == CHANGED
        answer = client.call("device-blink", "set", b'{"on": true}')
        assert (answer.code, answer.text) == (CHANGED, '{"on":true}')
        assert client.ask(GET, "tel").document["component"] == '{"on":true,"switched":1}'
        assert client.ask(GET, "twin").document["running"]["component"] == "device-blink"
        assert "lamp on" in client.texts


def test_a_component_is_there_after_a_start(start: Start) -> None:
    with start() as device:
        assert device.client.deploy(BLINK, Manifest(BLINK).bytes()).code == CHANGED
    with start() as device:
        assert device.client.call("device-blink", "telemetry").text == '{"on":false,"switched":0}'


def test_a_reset_brings_the_component_back(start: Start) -> None:
    with start() as device:
        device.client.deploy(BLINK, Manifest(BLINK).bytes())
        device.client.call("device-blink", "set", b'{"on": true}')
        assert device.client.ask(POST, "reset").code == CHANGED
        assert device.client.call("device-blink", "telemetry").text == '{"on":false,"switched":0}'


def test_a_guest_that_refuses_says_why(start: Start) -> None:
    with start() as device:
        device.client.deploy(BLINK, Manifest(BLINK).bytes())
        answer = device.client.call("device-blink", "set", b'{"on": 3}')
        assert (answer.code, answer.text) == (0x96, 'say {"on": true} or {"on": false}')


def test_what_is_not_there_is_said_plainly(start: Start) -> None:
    with start() as device:
        client = device.client
        assert client.ask(GET, "nowhere").code == 0x84
        assert client.ask(PUT, "id").code == 0x85
        assert client.call("device-blink", "set").code == 0x84
        client.deploy(BLINK, Manifest(BLINK).bytes())
        assert client.call("device-blink", "missing").code == 0x84
        assert client.call("other", "set").code == 0x84


def test_the_interval_of_telemetry_is_a_property_of_the_twin(start: Start) -> None:
    with start() as device:
        client = device.client
        assert client.ask(PUT, "twin", bytes.fromhex("a16b696e74657276616c5f6d731864")).code == CHANGED
        assert client.ask(GET, "twin").document["interval_ms"] == 100
        assert client.ask(PUT, "twin", bytes.fromhex("a16b696e74657276616c5f6d7301")).code == 0x80


@pytest.mark.parametrize("name", ["telemetry-1.0.0", "geofence-1.0.0", "booking-1.0.0"])
def test_models_of_hosts_run_on_a_device_that_has_the_memory(start: Start, name: str) -> None:
    """In C and in AssemblyScript, with a start function and events; the device serves no records, only calls."""
    wasm = (ROOT / f"examples/{name.rsplit('-', 1)[0]}/{name}.wasm").read_bytes()
    members = {1: name.split("-", maxsplit=1)[0], 8: 131_072, 9: ["mvp", "mutable-global", "float"]}
    with start() as device:
        assert device.client.deploy(wasm, Manifest(wasm, members=members).bytes()).code == CHANGED


def test_a_model_validates_a_record_on_a_device(start: Start) -> None:
    wasm = (ROOT / "examples/geofence/geofence-1.0.0.wasm").read_bytes()
    with start() as device:
        client = device.client
        assert (
            client.deploy(wasm, Manifest(wasm, members={1: "geofence", 8: 131_072}).bytes()).code == CHANGED
        )
        answer = client.call("geofence", "validate", b'{"data": {"drone": 3}}')
        assert answer.code in (CHANGED, 0x96)  # an answer or a refusal in the model's own words, no fault
        assert client.ask(GET, "tel").document["faults"] == 0


def test_the_line_may_be_a_pty(program: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [str(program), str(tmp_path / "flash"), "pty"], stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        path = process.stderr.readline().strip()
        line = os.open(path, os.O_RDWR | os.O_NOCTTY)
        try:
            client = DeviceClient(Descriptors(line, line))
            assert client.ask(GET, "id").code == CONTENT
            assert client.deploy(BLINK, Manifest(BLINK).bytes()).code == CHANGED
        finally:
            os.close(line)
    finally:
        process.terminate()
        process.wait(10)
        assert process.stderr is not None
        process.stderr.close()
