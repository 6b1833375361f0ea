"""Connects to the origin of a URL: straight or through a proxy, with TLS or without."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

import h11

from edgehost.domain.errors import RemoteUnreachableError
from remotes.http_connection import HEAD_MOST_BYTES, READ_BYTES, HttpConnection, Origin, why
from remotes.http_options import HttpOptions

_CONNECTED: Final = 200
_PROXY_PORT: Final = 3128


async def open_connection(origin: Origin, options: HttpOptions, tls: ssl.SSLContext | None) -> HttpConnection:
    """A connection to the origin, through the proxy if there is one, with TLS if ``tls`` is given.

    Raises:
        RemoteUnreachableError: nobody answers, or the certificate does not hold.
    """
    where = f"The proxy {options.proxy}" if options.proxy else str(origin)
    try:
        async with asyncio.timeout(options.connect_timeout_s):
            if options.proxy:
                reader, writer = await _through_proxy(origin, options.proxy, tls)
            else:
                reader, writer = await asyncio.open_connection(
                    origin.host, origin.tcp_port, ssl=tls, limit=READ_BYTES
                )
        absolute = bool(options.proxy) and tls is None
        return HttpConnection(origin, reader, writer, options, through_proxy=absolute)
    except TimeoutError:
        raise RemoteUnreachableError(
            f"{where} did not take the connection within {options.connect_timeout_s:g} s."
        ) from None
    except ssl.SSLCertVerificationError as error:
        raise RemoteUnreachableError(
            f"The certificate of {origin} does not hold: {error.verify_message}.",
            hint="Check this machine's clock and ca_file.",
        ) from None
    except ssl.SSLError as error:
        raise RemoteUnreachableError(
            f"{origin} does not speak TLS as it should: {error.reason or why(error)}.",
            hint="Check the address, and whether a client certificate is wanted.",
        ) from None
    except OSError as error:
        raise RemoteUnreachableError(f"{where} does not answer: {why(error)}.") from None
    except UnicodeError:  # a label of the name is empty or too long
        raise RemoteUnreachableError(f"{where[:200]} is no name of a host.") from None


async def _through_proxy(
    origin: Origin, proxy: str, tls: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    from urllib.parse import urlsplit  # noqa: PLC0415 - few have a proxy

    parts = urlsplit(proxy)
    reader, writer = await asyncio.open_connection(
        parts.hostname, parts.port or _PROXY_PORT, limit=READ_BYTES
    )
    try:
        if tls is not None:
            await _tunnel(reader, writer, origin, proxy)
            await writer.start_tls(tls, server_hostname=origin.host)
    except BaseException:
        writer.transport.abort()
        raise
    return reader, writer


async def _tunnel(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, origin: Origin, proxy: str
) -> None:
    """Ask the proxy for a way through (RFC 9110, 9.3.6)."""
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    there = f"{host}:{origin.tcp_port}"
    way = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_MOST_BYTES)
    request = h11.Request(method="CONNECT", target=there, headers=[("Host", there)])
    writer.write((way.send(request) or b"") + (way.send(h11.EndOfMessage()) or b""))
    try:
        while not isinstance(event := way.next_event(), h11.Response):
            if event is h11.NEED_DATA:
                way.receive_data(await reader.read(READ_BYTES))
            elif not isinstance(event, h11.InformationalResponse):
                raise RemoteUnreachableError(f"The proxy {proxy} closed the connection.")
    except h11.ProtocolError as error:
        raise RemoteUnreachableError(
            f"The proxy {proxy} does not speak HTTP as it should: {error}."
        ) from None
    if event.status_code != _CONNECTED:
        raise RemoteUnreachableError(
            f"The proxy {proxy} lets nobody through to {origin} ({event.status_code})."
        )
