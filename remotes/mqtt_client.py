"""A client for one connection: aiomqtt, with bounds on what comes in and four repairs.

The repairs reach into private names of aiomqtt and paho, since neither has a public place for them; the tests of
hostile brokers and of broken connections hold them.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from remotes.mqtt_options import MqttOptions
from remotes.transport import METADATA_MOST_BYTES

#: Paho logs each broken socket as an error; the keeper of the connection says it once, and in other words.
_PAHO_LOG: Final = logging.getLogger(f"{__name__}.paho")
_PAHO_LOG.setLevel(logging.CRITICAL)
#: The largest file of a repository, with its topic and MQTT's own headers.
PACKET_MOST_BYTES: Final = METADATA_MOST_BYTES + 4096
#: What a broker may send before it waits for our acknowledgement (MQTT 5).
_IN_FLIGHT: Final = 16
#: The broker hung up instead of answering; a broker that knows only MQTT 3.1.1 may do so to MQTT 5.
CLOSED_AT_ONCE: Final = "the broker closed the connection at once"


async def bounded_client(options: MqttOptions, protocol: aiomqtt.ProtocolVersion) -> aiomqtt.Client:
    """A client for one connection.

    Raises:
        InvalidConfigError: a file that the options name cannot be used.
    """
    password = await asyncio.to_thread(options.read_password)
    tls_context = await asyncio.to_thread(options.tls_context)
    properties = None
    most_bytes = options.packet_most_bytes or PACKET_MOST_BYTES
    if protocol is aiomqtt.ProtocolVersion.V5:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.MaximumPacketSize = most_bytes
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
        max_queued_incoming_messages=options.inbox,
        properties=properties,
        will=_will(options),
        tls_context=tls_context,
        # Without it a small SUBSCRIBE waits 40 ms for the acknowledgement of the one before.
        socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
    )
    paho: Any = client._client  # noqa: SLF001 - aiomqtt hands nothing of this on
    paho.connect_timeout = options.connect_timeout_s
    _bound_packets(paho, most_bytes)
    _notice_early_end(client, paho)
    _register_writes_at_once(client, paho)
    client.pending_calls_threshold = (
        options.inbox
    )  # calls are bounded by their callers; ten at a time are no news
    return client


@asynccontextmanager
async def closed_after(client: aiomqtt.Client) -> AsyncIterator[None]:
    """Close the client's socket at the end of the body, however its connection ended.

    aiomqtt leaves it open when connecting is cancelled or is not answered; cancelled, its thread may even open it later.
    """
    loop = asyncio.get_running_loop()
    paho: Any = client._client  # noqa: SLF001 - as above
    connect = client._client_connect  # noqa: SLF001 - what aiomqtt's thread calls
    lock = threading.Lock()
    threads, left = 0, threading.Event()

    def watched_connect() -> None:
        nonlocal threads
        with lock:
            if left.is_set():
                return
            threads += 1
        try:
            connect()
        finally:
            with lock:
                threads -= 1
                if left.is_set():  # after what connecting has put into the loop's queue
                    loop.call_soon_threadsafe(paho._sock_close)  # noqa: SLF001

    client._client_connect = watched_connect  # type: ignore[method-assign]  # noqa: SLF001
    try:
        yield
    finally:
        with lock:
            left.set()
            if not threads:
                paho._sock_close()  # noqa: SLF001


def _will(options: MqttOptions) -> aiomqtt.Will | None:
    if not options.will_topic:
        return None
    return aiomqtt.Will(options.will_topic, options.will_payload, qos=1, retain=options.will_retain)


def _bound_packets(paho: Any, most_bytes: int) -> None:  # noqa: ANN401 - its attribute is private, so it has no type to us
    """Drop the connection at the header of an over-long packet.

    Paho would buffer up to 256 MB of it. MQTT 5 can forbid it to an honest broker only, MQTT 3.1.1 not at all.
    """
    receive = paho._sock_recv  # noqa: SLF001 - the one place that knows how long the packet says it is

    def bounded(size: int) -> bytes:
        if size > most_bytes:
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


def _register_writes_at_once(client: aiomqtt.Client, paho: Any) -> None:  # noqa: ANN401 - as above
    """Watch the socket for writing at once instead of in the loop's next turn.

    By then it may be closed, and its number may be another socket's.
    """
    loop, owner = asyncio.get_running_loop(), threading.get_ident()

    def write() -> None:
        try:
            paho.loop_write()
        except Exception as error:  # noqa: BLE001 - as aiomqtt does: whatever it is, the connection is over
            if not client._disconnected.done():  # noqa: SLF001
                client._disconnected.set_exception(error)  # noqa: SLF001

    def register(watched: socket.socket) -> None:
        if watched.fileno() >= 0:
            loop.add_writer(watched.fileno(), write)

    def on_socket_register_write(_paho: object, _userdata: object, watched: socket.socket) -> None:
        if threading.get_ident() == owner:
            register(watched)
        else:  # while it connects, in a thread of aiomqtt's
            loop.call_soon_threadsafe(register, watched)

    paho.on_socket_register_write = on_socket_register_write
