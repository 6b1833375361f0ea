"""Serves repositories by CoAP: UDP and TCP, and TLS over TCP with a certificate."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Self

import aiocoap
from aiocoap.tokenmanager import TokenManager

from remotes.coap_bounds import WIRE_LOG, BoundedStreams
from remotes.coap_datagrams import ServerContext, add_datagrams
from remotes.coap_options import CoapServing
from remotes.coap_oscore import OscoreServer
from remotes.coap_shelf import Access, CoapShelf
from remotes.coap_sockets import cannot_listen, datagram_socket, stream_socket
from remotes.served_repository import ServedRepository


@dataclass(frozen=True, slots=True)
class CoapServed:
    """Where it is served: addresses without a path, such as ``coap://127.0.0.1:5683``."""

    udp: str = ""
    tcp: str = ""
    tls: str = ""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Those that there are."""
        return tuple(each for each in (self.udp, self.tcp, self.tls) if each)


@asynccontextmanager
async def open_coap_server(
    repositories: Mapping[str, ServedRepository], serving: CoapServing
) -> AsyncIterator[CoapServed]:
    """Serve them under ``/remote/<name>/`` until the block ends.

    Raises:
        InvalidConfigError: it would be open by accident, or a file of credentials cannot be used.
        UnavailableError: a port cannot be had.
    """
    serving.require_consistent()
    tls = await asyncio.to_thread(serving.tls_context)
    async with AsyncExitStack() as stack:
        oscore = None
        if serving.oscore_folder is not None:
            oscore = await asyncio.to_thread(OscoreServer, serving.oscore_folder)
            stack.callback(oscore.close)
        access = Access(open=serving.is_open, certificates=serving.client_ca_file is not None, oscore=oscore)
        site = CoapShelf(repositories, access, most_observers=serving.most_observers)
        context = ServerContext(loop=asyncio.get_running_loop(), serversite=site, loggername=WIRE_LOG)
        udp = tcp = tls_port = 0
        with _Sockets(serving) as sockets:
            stack.push_async_callback(_end, context)
            if serving.has_plain:
                datagrams, streams = sockets.plain_pair()
                udp, tcp = datagrams.getsockname()[1], streams.getsockname()[1]
                await add_datagrams(context, sockets.given_away(datagrams))
                await _add_streams(context, sockets.given_away(streams), serving)
            if tls is not None:
                streams = sockets.stream(serving.tls_port)
                tls_port = streams.getsockname()[1]
                await _add_streams(context, sockets.given_away(streams), serving, tls)
        host = f"[{serving.host}]" if ":" in serving.host else serving.host
        yield CoapServed(
            udp=f"coap://{host}:{udp}" if udp else "",
            tcp=f"coap+tcp://{host}:{tcp}" if tcp else "",
            tls=f"coaps+tcp://{host}:{tls_port}" if tls_port else "",
        )


class _Sockets:
    """Bound sockets; those that were not given away are closed."""

    def __init__(self, serving: CoapServing) -> None:
        self._serving = serving
        self._open: set[socket.socket] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._open:
            each.close()

    def plain_pair(self) -> tuple[socket.socket, socket.socket]:
        """UDP and TCP on one port, so that a client that falls back needs no other address."""
        for last in (False,) * 9 + (True,):
            streams = self.stream(self._serving.port)
            try:
                datagrams = datagram_socket(self._serving.host, streams.getsockname()[1])
            except OSError as error:
                self._open.discard(streams)
                streams.close()
                if last or self._serving.port:
                    raise cannot_listen(self._serving.host, self._serving.port, error) from error
            else:
                self._open.add(datagrams)
                return datagrams, streams
        raise AssertionError

    def stream(self, port: int) -> socket.socket:
        """A TCP socket."""
        try:
            found = stream_socket(self._serving.host, port)
        except OSError as error:
            raise cannot_listen(self._serving.host, port, error) from error
        self._open.add(found)
        return found

    def given_away(self, each: socket.socket) -> socket.socket:
        """The socket, which somebody else closes now."""
        self._open.discard(each)
        return each


async def _add_streams(
    context: aiocoap.Context, sock: socket.socket, serving: CoapServing, tls: ssl.SSLContext | None = None
) -> None:
    tokens = TokenManager(context)
    streams = BoundedStreams(
        tokens, tls=tls is not None, most=serving.most_connections, idle_timeout_s=serving.idle_timeout_s
    )
    tokens.token_interface = streams
    try:
        await streams.listen(sock, tls)
    except OSError as error:
        sock.close()
        raise cannot_listen(serving.host, sock.getsockname()[1], error) from error
    context.request_interfaces.append(tokens)


async def _end(context: aiocoap.Context) -> None:
    """The library's own shutdown cannot end what has nothing open."""
    if context.request_interfaces:
        await context.shutdown()
