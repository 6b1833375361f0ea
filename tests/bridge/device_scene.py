"""Devices for the host's side: the POSIX firmware on a pty or behind a TCP port, and components signed for it."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgehost.cli.demo_fleet import as_version
from edgehost.domain.component_file import padded, read_component
from firmware_bridge.device.provision import provisioned
from remotes.device_manifests import DeviceSigning, publish_device_manifest
from remotes.folder_transport import open_folder_transport
from remotes.keys import generate_key, load_signer
from remotes.mirror import mirror_repository
from remotes.repository import Repository
from tests.firmware.conftest import BLINK, UID, built
from tests.journeys.fleet import Fleet

__all__ = ["BLINK", "UID"]


def blink(version: str = "1.0.0", size_bytes: int = 0) -> bytes:
    """The lamp, as any version and as large as is wanted."""
    content = BLINK if version == "1.0.0" else as_version(BLINK, version)
    return padded(content, size_bytes) if size_bytes else content


@dataclass
class Workshop:
    """Who signs for devices, and the firmware that believes it."""

    folder: Path
    key: Any = field(init=False)
    program: Path = field(init=False)

    def __post_init__(self) -> None:
        generate_key(self.folder / "device.key")
        self.key = load_signer(self.folder / "device.key")
        image = provisioned(built("posix").read_bytes(), UID, [self.signing.public_key])
        self.program = self.folder / "edgehost-device"
        self.program.write_bytes(image)
        self.program.chmod(0o755)

    @property
    def signing(self) -> DeviceSigning:
        return DeviceSigning(self.key, memory_bytes=2048)


async def publish(fleet: Fleet, content: bytes, signing: DeviceSigning) -> None:
    """The component, and its manifest for devices."""
    await fleet.publish(content)
    repository = fleet.folder / "repository"
    published = await asyncio.to_thread(
        publish_device_manifest,
        repository,
        read_component(content),
        content,
        signing,
        signers=[fleet.signer],
        now=time.time(),  # noqa: TID251 - the publisher's wall clock
    )
    async with open_folder_transport(fleet.folder / "mirror") as transport:
        await mirror_repository(
            Repository(repository), transport, fresh=published.fresh, before=published.before
        )


class PtyDevice:
    """A device on a pty whose path stays: a relay between it and whatever process the device is at the moment."""

    def __init__(self, program: Path, flash: Path) -> None:
        self._program, self._flash = program, flash
        self.process: subprocess.Popen[bytes] | None = None
        self._master, slave = os.openpty()
        import tty  # noqa: PLC0415 - only here

        tty.setraw(slave)
        self._slave = slave
        self.path = os.ttyname(slave)
        self.cut_after: int | None = None  # bytes to the device; then the power goes
        self.sent = 0
        self._stop_read, self._stop_write = os.pipe()
        self._thread = threading.Thread(target=self._relay, daemon=True)
        self._lock = threading.Lock()
        self._thread.start()

    def start(self, **environment: str) -> None:
        """Power on."""
        process = subprocess.Popen(
            [str(self._program), str(self._flash)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0", **environment},
        )
        with self._lock:
            self.process = process
        os.write(self._stop_write, b"n")

    def cut_power(self) -> None:
        """Power off, at once."""
        with self._lock:
            process, self.process = self.process, None
        if process is None:
            return
        process.kill()
        process.wait(10)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue

    def close(self) -> None:
        """Power off, and the line is gone."""
        os.write(self._stop_write, b"s")
        self._thread.join(10)
        self.cut_power()
        for descriptor in (self._master, self._slave, self._stop_read, self._stop_write):
            os.close(descriptor)

    def _relay(self) -> None:
        while True:
            with self._lock:
                process = self.process
            watched = [self._master, self._stop_read]
            if process is not None and process.stdout is not None:
                watched.append(process.stdout.fileno())
            for descriptor in select.select(watched, [], [])[0]:
                if descriptor == self._stop_read:
                    if os.read(descriptor, 1) == b"s":
                        return
                elif descriptor == self._master:
                    self._forward(os.read(descriptor, 256))
                else:
                    self._answer(descriptor)

    def _forward(self, data: bytes) -> None:
        if self.cut_after is not None and self.sent + len(data) >= self.cut_after:
            self.cut_after = None
            self.cut_power()
        self.sent += len(data)
        with self._lock:
            process = self.process
            if process is not None and process.stdin is not None:
                try:
                    os.write(process.stdin.fileno(), data)
                except OSError:
                    return

    def _answer(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, 4096)
        except OSError:
            data = b""
        if data:
            os.write(self._master, data)
        else:
            self.cut_power()


@contextmanager
def pty_device(workshop: Workshop, flash: Path) -> Iterator[PtyDevice]:
    """A device that is powered on."""
    device = PtyDevice(workshop.program, flash)
    try:
        device.start()
        yield device
    finally:
        device.close()


@asynccontextmanager
async def tcp_device(workshop: Workshop, flash: Path) -> AsyncIterator[str]:
    """A device behind a TCP port; each connection is its one line. Yields the line's URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.listen(1)
        port = free.getsockname()[1]
        stop = threading.Event()
        free.settimeout(0.2)

        def serve() -> None:
            while not stop.is_set():
                try:
                    connection, _ = free.accept()
                except TimeoutError:
                    continue
                connection.setblocking(True)
                with connection:
                    process = subprocess.Popen(
                        [str(workshop.program), str(flash)],
                        stdin=connection.fileno(),
                        stdout=connection.fileno(),
                        env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"},
                    )
                    while process.poll() is None and not stop.wait(0.05):
                        continue
                    process.kill()
                    process.wait(10)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"socket://127.0.0.1:{port}"
        finally:
            stop.set()
            await asyncio.to_thread(thread.join, 10)
