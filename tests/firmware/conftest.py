"""Firmware is compiled once for all tests; a device is started where a test wants one."""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware_bridge.device.firmware_build import built_firmware
from firmware_bridge.device.provision import provisioned
from tests.firmware.device_client import Descriptors, DeviceClient, signed
from tests.required_tools import require_tool

ROOT: Final = Path(__file__).parents[2]
KEY: Final = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY: Final = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
UID: Final = b"device01"
BLINK: Final = (ROOT / "examples/device-blink/device-blink-1.0.0.wasm").read_bytes()


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """The 32 raw bytes of its public key."""
    return key.public_key().public_bytes_raw()


@functools.cache
def built(target: str, *, compiler: str = "gcc") -> Path:
    """The firmware for a board, compiled if it is not; not provisioned."""
    require_tool("make")
    require_tool(compiler)
    try:
        return built_firmware(target)
    except subprocess.CalledProcessError as error:
        pytest.fail(error.stderr[-4000:])


@dataclass
class Manifest:
    """A manifest that fits ``wasm``; every member can be made wrong."""

    wasm: bytes
    sequence: int = 1
    members: dict[int, Any] = field(default_factory=dict)
    key: Ed25519PrivateKey = KEY

    def bytes(self) -> bytes:
        """Signed."""
        payload = {
            1: "device-blink",
            2: "1.0.0",
            3: self.sequence,
            4: len(self.wasm),
            5: hashlib.sha256(self.wasm).digest(),
            6: ["any"],
            7: "extism",
            8: 4096,
            9: ["mvp", "mutable-global"],
        } | self.members
        return signed(cbor2.dumps({key: payload[key] for key in sorted(payload)}), self.key)


class Device:
    """A device that is a process; its flash is a file that outlives it."""

    def __init__(self, program: Path, flash: Path, environment: Mapping[str, str]) -> None:
        self.flash = flash
        self.process = subprocess.Popen(
            [str(program), str(flash)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0", **environment},
        )
        assert self.process.stdout is not None
        assert self.process.stdin is not None
        self.client = DeviceClient(Descriptors(self.process.stdout.fileno(), self.process.stdin.fileno()))

    def end(self) -> int:
        """Close the line; the exit status."""
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                continue
        try:
            return self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait(10)


Start = Callable[..., Any]


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The POSIX firmware with sanitizers, provisioned with KEY and UID."""
    image = provisioned(built("posix").read_bytes(), UID, [public_bytes(KEY)])
    path = tmp_path_factory.mktemp("firmware") / "edgehost-device"
    path.write_bytes(image)
    path.chmod(0o755)
    return path


@pytest.fixture
def start(program: Path, tmp_path: Path) -> Start:
    """``with start() as device``: flash is kept from one to the next in the same test."""

    @contextmanager
    def started(**environment: str) -> Iterator[Device]:
        device = Device(program, tmp_path / "flash", environment)
        try:
            yield device
        finally:
            status = device.end()
        # Anything else is a sanitizer's finding, a misuse of the flash, or a crash.
        assert status in (0, 99 if "EDGEHOST_CUT_AFTER" in environment else 0)

    return started


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whichever test comes first also waits for compilers."""
    for item in items:
        if Path(__file__).parent in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(180))
