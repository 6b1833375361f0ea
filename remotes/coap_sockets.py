"""The sockets that CoAP listens at."""

from __future__ import annotations

import socket

from edgehost.domain.errors import UnavailableError


def datagram_socket(host: str | None = None, port: int = 0) -> socket.socket:
    """A socket for both IP versions, bound when a host is given.

    Raises:
        OSError: the address cannot be had.
    """
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if host is not None:
            found = socket.getaddrinfo(
                host, port, socket.AF_INET6, socket.SOCK_DGRAM, flags=socket.AI_V4MAPPED | socket.AI_PASSIVE
            )
            sock.bind(found[0][4])
    except BaseException:
        sock.close()
        raise
    return sock


def stream_socket(host: str, port: int) -> socket.socket:
    """A bound TCP socket.

    Raises:
        OSError: the address cannot be had.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock


def cannot_listen(host: str, port: int, error: OSError) -> UnavailableError:
    """The port cannot be had."""
    return UnavailableError(
        f"CoAP cannot listen at {host}:{port}: {error.strerror or error}.",
        hint="Choose another address or port.",
    )
