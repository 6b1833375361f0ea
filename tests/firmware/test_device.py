"""The firmware as a process: what it says of itself, a component on it, and calls."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from tests.firmware.conftest import BLINK, KEY, UID, Manifest, Start, public_bytes
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
