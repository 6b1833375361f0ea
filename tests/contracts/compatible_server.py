"""A MongoDB-compatible server for the tests: nx-27017, which keeps its collections in SQLite.

What passes here is shown for a compatible server, no more.
"""

from __future__ import annotations

import atexit
import functools
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from edgehost.adapters.broker.free_port import free_port

_START_S = 20.0

#: The driver forgets a socket when it is closed while it connects: the test ends with ``gc.collect()``, so that this
#: is told where it happens.
forgetful_driver = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@functools.cache
def compatible_server() -> str:
    """The URL of a server that runs until the tests end: a failure in CI when there is none, else a skip."""
    program = Path(sys.executable).with_name("nx-27017")
    if not program.exists():
        reason = "'nx-27017' is not installed; it comes with the test dependencies"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    tcp_port = free_port()
    start_server(program, tcp_port)
    return f"mongodb://127.0.0.1:{tcp_port}"


def start_server(program: Path, tcp_port: int) -> subprocess.Popen[bytes]:
    """A server of one's own, ended with the tests at the latest."""
    folder = tempfile.TemporaryDirectory(prefix="edgehost-compatible-")
    where = Path(folder.name)
    files = ("--log-file", str(where / "log"), "--pid-file", str(where / "pid"))
    server = subprocess.Popen(
        [str(program), "--data-dir", "memory", "-p", str(tcp_port), *files],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=where,
    )

    def end() -> None:
        server.kill()
        server.wait()
        folder.cleanup()

    atexit.register(end)
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", tcp_port)) == 0:
                return server
        time.sleep(0.05)
    pytest.fail("the compatible server did not start")
