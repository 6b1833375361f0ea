"""A port for a server of our own that is started later, and perhaps again."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Final

_HOST: Final = "127.0.0.1"
_LOWEST: Final = 20_000
_EPHEMERAL: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LINUX_DEFAULT: Final = 32_768
_TRIES: Final = 100


def free_port() -> int:
    """A port on loopback that has neither a TCP nor a UDP socket.

    It is none of those that the system gives to clients and to whoever asks for any port, so that nobody gets it by
    accident while its server starts or is away.

    Raises:
        OSError: none was found.
    """
    beyond = _first_ephemeral()
    for last in (False,) * (_TRIES - 1) + (True,):
        port = random.randrange(min(_LOWEST, beyond - 1000), beyond)  # noqa: S311 - no secret
        try:
            with ExitStack() as probes:
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    probes.enter_context(socket.socket(socket.AF_INET, kind)).bind((_HOST, port))
        except OSError:
            if last:
                raise
        else:
            return port
    raise AssertionError


def _first_ephemeral() -> int:
    try:
        return max(int(_EPHEMERAL.read_text(encoding="ascii").split()[0]), 3000)
    except (OSError, ValueError, IndexError):
        return _LINUX_DEFAULT
