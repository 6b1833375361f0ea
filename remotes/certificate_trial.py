"""Whether a broker or server takes a client certificate, tried with a connection of its own.

A refusal comes in many forms: an alert in or after the handshake (since TLS 1.3 the client has taken it for done by
then), a CONNACK, a status, a connection that closes. So all that is said here is whether it was taken.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from edgehost.domain.errors import EdgehostError
from remotes.coap_options import CoapOptions
from remotes.http_client import read_origin
from remotes.http_connector import open_connection
from remotes.http_options import HttpOptions
from remotes.mqtt_login import login_refusal
from remotes.mqtt_options import MqttOptions
from remotes.transport import METADATA_MOST_BYTES, TIMESTAMP

_LOG: Final = logging.getLogger(__name__)
#: What nginx and others answer to a certificate that they do not take, besides the standard's own.
_SAYS_NO: Final = frozenset({400, 401, 403, 495, 496})


async def mqtt_takes(options: MqttOptions, cert_file: Path, key_file: Path) -> bool:
    """Whether the broker answers CONNECT with yes, by MQTT 5 or 3.1.1; no will, no session, an id of its own."""
    try:
        refusal = await login_refusal(replace(options, cert_file=cert_file, key_file=key_file))
    except EdgehostError as problem:
        refusal = str(problem)
    if refusal:
        _LOG.debug("%s:%d does not take it: %s", options.host, options.tcp_port, refusal)
    return not refusal


async def http_takes(url: str, options: HttpOptions, cert_file: Path, key_file: Path) -> bool:
    """Whether the server of the repository answers a GET with anything but a refusal."""
    tried = replace(options, cert_file=cert_file, key_file=key_file)
    origin = read_origin(url)
    if origin.scheme != "https":
        return True
    try:
        headers = {"User-Agent": "edgehost", "Accept-Encoding": "identity"}
        authorization = await asyncio.to_thread(tried.authorization)
        if authorization is not None:
            headers["Authorization"] = authorization
        tls = await asyncio.to_thread(tried.tls_context, with_certificate=True)
        connection = await open_connection(origin, tried, tls)
        try:
            # A folder itself is often forbidden to everybody.
            path = f"{urlsplit(url).path.rstrip('/')}/{TIMESTAMP}"
            answer = await connection.get(path, headers, most_bytes=METADATA_MOST_BYTES)
        finally:
            connection.close()
    except EdgehostError as problem:
        _LOG.debug("%s does not take it: %s", origin, problem)
        return False
    return answer.status not in _SAYS_NO


async def coap_takes(options: CoapOptions, cert_file: Path, key_file: Path) -> bool:
    """Whether the server sends its first message, which follows a handshake at once (RFC 8323, 5.3)."""
    tried = replace(options, cert_file=cert_file, key_file=key_file)
    writer = None
    try:
        tls = await asyncio.to_thread(tried.tls_context)
        async with asyncio.timeout(options.connect_timeout_s + options.answer_timeout_s):
            reader, writer = await asyncio.open_connection(options.host, options.address_port, ssl=tls)
            return bool(await reader.read(1))
    except (EdgehostError, OSError, TimeoutError) as problem:
        _LOG.debug("%s:%d does not take it: %s", options.host, options.address_port, problem)
        return False
    finally:
        if writer is not None:
            writer.transport.abort()
