"""An image gets its identity, or says plainly why not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from firmware_bridge.device.provision import provisioned
from tests.firmware.conftest import BLINK, KEY, OTHER_KEY, UID, Manifest, Start, built, public_bytes
from tests.firmware.device_client import CHANGED, GET, Descriptors, DeviceClient

KEYS = [public_bytes(KEY)]


@pytest.mark.parametrize(
    ("image", "uid", "keys", "why"),
    [
        (b"no firmware", UID, KEYS, "This is no device firmware: it has 0 records"),
        (b"EHPROV1\0" * 2, UID, KEYS, "it has 2 records"),
        (b"EHPROV1\0" + bytes(200), b"short", KEYS, "A unique id has 8 bytes, this one 5."),
        (b"EHPROV1\0" + bytes(200), UID, [], "1 to 4 keys of 32 bytes"),
        (b"EHPROV1\0" + bytes(200), UID, KEYS * 5, "1 to 4 keys of 32 bytes"),
        (b"EHPROV1\0" + bytes(200), UID, [b"x"], "1 to 4 keys of 32 bytes"),
    ],
)
def test_what_cannot_be_provisioned(image: bytes, uid: bytes, keys: list[bytes], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        provisioned(image, uid, keys)


def test_the_rest_of_the_image_stays_and_it_can_be_done_again() -> None:
    image = b"before" + b"EHPROV1\0" + bytes(144) + b"after"
    once = provisioned(image, b"device02", [bytes(32), b"\x01" * 32])
    assert (once[:6], once[-5:], len(once)) == (b"before", b"after", len(image))
    assert provisioned(once, UID, KEYS) == provisioned(image, UID, KEYS)


def test_a_device_believes_each_of_its_keys_and_nobody_without_one(tmp_path: Path) -> None:
    two, none = tmp_path / "two", tmp_path / "none"
    keys = [flag for key in (KEY, OTHER_KEY) for flag in ("--key", public_bytes(key).hex())]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "firmware_bridge.device.provision",
            built("posix"),
            two,
            "--uid",
            UID.hex(),
            *keys,
        ],
        check=False,
        timeout=30,
    )
    assert done.returncode == 0
    none.write_bytes(built("posix").read_bytes())
    none.chmod(0o755)
    for program, key, accepted in ((two, KEY, True), (two, OTHER_KEY, True), (none, KEY, False)):
        with subprocess.Popen(
            [program, tmp_path / f"flash-{program.name}-{accepted}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            client = DeviceClient(Descriptors(process.stdout.fileno(), process.stdin.fileno()))
            assert len(client.ask(GET, "id").document["keys"]) == (2 if accepted else 0)
            sequence = 1 if key is KEY else 2
            answer = client.ask(3, "slot/manifest", Manifest(BLINK, sequence, key=key).bytes())
            assert (answer.code == CHANGED) is accepted
            process.stdin.close()


def test_telemetry_is_there_without_a_component(start: Start) -> None:
    with start() as device:
        assert "component" not in device.client.ask(GET, "tel").document
