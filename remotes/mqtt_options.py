"""How to reach a broker, and a client that is bounded on the way in."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edgehost.domain.errors import InvalidConfigError
from remotes.durable_file import read_bounded
from remotes.transport import METADATA_MOST_BYTES

#: Paho logs each broken socket as an error; the keeper of the connection says it once, and in other words.
_PAHO_LOG: Final = logging.getLogger(f"{__name__}.paho")
_PAHO_LOG.setLevel(logging.CRITICAL)
#: The largest file of a repository, with its topic and MQTT's own headers.
PACKET_MOST_BYTES: Final = METADATA_MOST_BYTES + 4096
#: Messages between the socket and this transport; more are dropped, and asked for again.
_INBOX: Final = 64
#: What a broker may send before it waits for our acknowledgement (MQTT 5).
_IN_FLIGHT: Final = 16
#: The broker hung up instead of answering; a broker that knows only MQTT 3.1.1 may do so to MQTT 5.
CLOSED_AT_ONCE: Final = "the broker closed the connection at once"
_PASSWORD_MOST_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class MqttOptions:
    """One broker, as its user configures it."""

    host: str
    tcp_port: int = 1883
    username: str = ""
    password_file: Path | None = None
    password: str = field(default="", repr=False)  # prefer the file
    tls: bool = False
    ca_file: Path | None = None  # None: the system's authorities
    cert_file: Path | None = None  # with key_file: a client certificate
    key_file: Path | None = None
    mqtt_version: Literal["auto", "5", "3.1.1"] = "auto"
    client_id: str = ""  # "": a random one; two clients with one id throw each other out
    keepalive_s: int = 30
    connect_timeout_s: float = 5.0
    answer_timeout_s: float = 10.0  # of one fetch or publish, short outages included
    missing_timeout_s: float = 2.0  # without a timestamp to compare with, silence for so long means "none"
    backoff_base_s: float = 0.25  # full jitter: a pause of 0 to base * 2^attempt seconds
    backoff_most_s: float = 30.0
    topic_root: str = "edgehost/remote"

    def read_password(self) -> str | None:
        """The password; read at each connection, so that a changed file needs no restart.

        Raises:
            InvalidConfigError: the file cannot be read.
        """
        if self.password_file is None:
            return self.password or None
        content = read_bounded(self.password_file, _PASSWORD_MOST_BYTES)
        if content is None:
            raise InvalidConfigError(
                f"The password file {self.password_file} cannot be read.",
                hint=f"It must be a plain file of at most {_PASSWORD_MOST_BYTES} bytes.",
            )
        return content.decode("utf-8", "replace").rstrip("\r\n") or None

    def tls_context(self) -> ssl.SSLContext | None:
        """Certificate and host name are always checked.

        Raises:
            InvalidConfigError: a file cannot be read.
        """
        if not self.tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.cert_file is not None:
                context.load_cert_chain(self.cert_file, self.key_file)
        except (OSError, ssl.SSLError) as error:
            raise InvalidConfigError(
                f"The TLS files for {self.host} cannot be used: {error}.", hint="They must be PEM."
            ) from error
        return context


async def bounded_client(options: MqttOptions, protocol: aiomqtt.ProtocolVersion) -> aiomqtt.Client:
    """A client for one connection.

    Raises:
        InvalidConfigError: a file that the options name cannot be used.
    """
    password = await asyncio.to_thread(options.read_password)
    tls_context = await asyncio.to_thread(options.tls_context)
    properties = None
    if protocol is aiomqtt.ProtocolVersion.V5:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.MaximumPacketSize = PACKET_MOST_BYTES
        properties.ReceiveMaximum = _IN_FLIGHT
    client = aiomqtt.Client(
        options.host,
        options.tcp_port,
        username=options.username or None,
        password=password,
        identifier=options.client_id or f"edgehost-{secrets.token_hex(6)}",
        protocol=protocol,
        logger=_PAHO_LOG,
        timeout=options.connect_timeout_s,
        keepalive=options.keepalive_s,
        max_queued_incoming_messages=_INBOX,
        properties=properties,
        tls_context=tls_context,
        # Without it a small SUBSCRIBE waits 40 ms for the acknowledgement of the one before.
        socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
    )
    paho: Any = client._client  # noqa: SLF001 - aiomqtt hands neither of the two on
    paho.connect_timeout = options.connect_timeout_s
    _bound_packets(paho)
    _notice_early_end(client, paho)
    client.pending_calls_threshold = _INBOX  # calls are bounded by their callers; ten at a time are no news
    return client


def _bound_packets(paho: Any) -> None:  # noqa: ANN401 - its attribute is private, so it has no type to us
    """Drop the connection at the header of an over-long packet.

    Paho would buffer up to 256 MB of it. MQTT 5 can forbid it to an honest broker only, MQTT 3.1.1 not at all.
    """
    receive = paho._sock_recv  # noqa: SLF001 - the one place that knows how long the packet says it is

    def bounded(size: int) -> bytes:
        if size > PACKET_MOST_BYTES:
            raise ConnectionAbortedError(f"the broker sends a packet of {size} bytes")
        content: bytes = receive(size)
        return content

    paho._sock_recv = bounded  # noqa: SLF001


def _notice_early_end(client: aiomqtt.Client, paho: Any) -> None:  # noqa: ANN401 - as above
    """Fail the connection at once when the broker hangs up before its answer; aiomqtt waits for its time-out."""
    noted = paho.on_disconnect

    def on_disconnect(*args: Any) -> None:  # noqa: ANN401 - passed on
        if not client._connected.done():  # noqa: SLF001 - what aiomqtt waits for
            client._connected.set_exception(aiomqtt.MqttError(CLOSED_AT_ONCE))  # noqa: SLF001
        noted(*args)

    paho.on_disconnect = on_disconnect
