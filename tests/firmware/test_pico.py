"""The firmware on an emulated RP2040: it keeps components in the flash that it runs from, by its boot ROM."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from firmware_bridge.device.provision import provisioned
from tests.firmware.conftest import BLINK, KEY, UID, Manifest, built, public_bytes
from tests.firmware.device_client import CHANGED, CONTENT, GET, POST, Descriptors, DeviceClient
from tests.required_tools import require_tool

_CRC_POLYNOMIAL = 0x04C11DB7


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is written to the flash's start."""
    path = tmp_path_factory.mktemp("pico") / "firmware.bin"
    elf = built("pico", compiler="arm-none-eabi-gcc")
    subprocess.run(
        [require_tool("arm-none-eabi-objcopy"), "-O", "binary", str(elf), str(path)], check=True, timeout=30
    )
    path.write_bytes(provisioned(path.read_bytes(), UID, [public_bytes(KEY)]))
    return path


def test_the_boot_rom_would_accept_the_second_stage(image: Path) -> None:
    stage, crc = image.read_bytes()[:256], 0xFFFFFFFF
    for byte in stage[:252]:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (_CRC_POLYNOMIAL if crc >> 31 else 0)) & 0xFFFFFFFF
    assert int.from_bytes(stage[252:], "little") == crc


def ready(client: DeviceClient) -> None:
    """It answers; what was asked before its UART was on is lost."""
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        client.send(client.request(GET, "id"))
        answer = client.receive(2)
        if answer is not None and answer.code == CONTENT:
            while client.receive(0.5) is not None:
                continue
            return
    raise TimeoutError("the Pico does not start")


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_component_is_deployed_called_and_there_after_a_reset(image: Path) -> None:
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("pico_emulator.py")), str(image)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        client = DeviceClient(Descriptors(process.stdout.fileno(), process.stdin.fileno()), timeout_s=45)
        try:
            ready(client)
            client.tries = 3
            assert client.ask(GET, "id").document["core"] == "cortex-m0plus"
            assert client.deploy(BLINK, Manifest(BLINK).bytes()).code == CHANGED
            assert client.call("device-blink", "set", b'{"on": true}').text == '{"on":true}'
            assert client.ask(POST, "reset").code == CHANGED
            ready(client)
            assert client.call("device-blink", "telemetry").text == '{"on":false,"switched":0}'
        finally:
            process.stdin.close()
            process.kill()
            process.wait(10)
