"""Ports for programs that must be told theirs: nobody else is given them, in this process or in another."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path
from typing import Final

# Below the range from which Linux takes the ports of connections and of sockets bound to port 0
# (net.ipv4.ip_local_port_range), so that only another test could want the same one: each is held by a lock on a file.
_PORTS: Final = range(20_000, 32_000)
_TRIES: Final = 1000
#: Open until the process ends, and with it the locks.
_HELD: Final[list[int]] = []


def free_port() -> int:
    """A port of loopback that is free for TCP and UDP, and held for this process until it ends."""
    folder = Path(tempfile.gettempdir()) / f"edgehost-test-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    for port in random.SystemRandom().sample(_PORTS, _TRIES):
        lock = os.open(folder / str(port), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(type=kind) as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            os.close(lock)
        else:
            _HELD.append(lock)
            return port
    raise AssertionError(f"No port of {_PORTS} is free.")
