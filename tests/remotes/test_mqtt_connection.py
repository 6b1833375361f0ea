"""One connection to a broker leaves no socket behind, however it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import aiomqtt
import pytest

from edgehost.adapters.broker.embedded_broker import open_broker
from remotes.mqtt_client import bounded_client, closed_after
from remotes.mqtt_connection import ConnectionKeeper, Link
from remotes.mqtt_options import MqttOptions


class SilentBroker:
    """Takes connections and what comes on them, and never answers."""

    def __init__(self) -> None:
        self.tcp_port = 0
        self.spoken_to = asyncio.Event()
        self.hung_up = asyncio.Event()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end."""
        with suppress(ConnectionError):
            while await reader.read(4096):
                self.spoken_to.set()
        self.hung_up.set()
        writer.close()


@asynccontextmanager
async def silent_broker() -> AsyncIterator[SilentBroker]:
    broker = SilentBroker()
    server = await asyncio.start_server(broker.take, "127.0.0.1", 0)
    async with server:
        broker.tcp_port = server.sockets[0].getsockname()[1]
        yield broker


async def never_served(_link: Link, _online: object) -> None:
    raise AssertionError


async def test_a_connection_that_is_cancelled_before_the_broker_answers_is_closed() -> None:
    async with silent_broker() as broker, asyncio.timeout(30):
        keeper = ConnectionKeeper(MqttOptions("127.0.0.1", broker.tcp_port), never_served)
        running = asyncio.create_task(keeper.run())
        await broker.spoken_to.wait()
        running.cancel()
        await asyncio.wait({running})
        await broker.hung_up.wait()


async def test_a_connection_that_the_broker_does_not_answer_is_closed() -> None:
    async with silent_broker() as broker, asyncio.timeout(30):
        options = MqttOptions("127.0.0.1", broker.tcp_port, connect_timeout_s=0.2)
        client = await bounded_client(options, aiomqtt.ProtocolVersion.V5)
        with pytest.raises(aiomqtt.MqttError):
            async with closed_after(client), client:
                pass
        await broker.hung_up.wait()


async def test_a_connection_that_opens_after_it_was_cancelled_is_closed() -> None:
    async with silent_broker() as broker, asyncio.timeout(30):
        client = await bounded_client(MqttOptions("127.0.0.1", broker.tcp_port), aiomqtt.ProtocolVersion.V311)
        began, may_go_on = asyncio.Event(), threading.Event()
        loop, connect = asyncio.get_running_loop(), client._client_connect

        def slow_connect() -> None:
            loop.call_soon_threadsafe(began.set)
            may_go_on.wait(10)
            connect()

        client._client_connect = slow_connect  # type: ignore[method-assign]

        async def connect_and_serve() -> None:
            async with closed_after(client), client:
                raise AssertionError

        running = asyncio.create_task(connect_and_serve())
        await began.wait()
        running.cancel()
        await asyncio.wait({running})
        may_go_on.set()
        await broker.hung_up.wait()


async def test_a_name_that_can_be_no_hosts_is_trouble_and_no_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "remotes.mqtt_connection")
    async with asyncio.timeout(30):
        options = MqttOptions("a..b", backoff_base_s=0.001, backoff_most_s=0.001)
        keeper = ConnectionKeeper(options, never_served)
        running = asyncio.create_task(keeper.run())
        while not keeper.trouble:
            await asyncio.sleep(0.01)
        assert not running.done()
        assert "a..b:1883: " in caplog.text
        running.cancel()
        await asyncio.wait({running})


async def test_a_cancellation_is_not_lost_when_the_farewell_cannot_be_sent() -> None:
    async with open_broker(kind="mosquitto") as broker, asyncio.timeout(20):
        options = MqttOptions("127.0.0.1", broker.tcp_port, connect_timeout_s=0.3)
        pid = broker.pid
        assert pid is not None
        served = asyncio.Event()

        async def serve(link: Link, online: Callable[[], None]) -> None:
            online()
            os.kill(pid, signal.SIGSTOP)
            for _ in range(200):  # until the line takes no more, so that the farewell waits
                link.client._client.publish("full", bytes(100_000))
            served.set()
            await link.gone

        keeper = ConnectionKeeper(options, serve)
        running = asyncio.create_task(keeper.run())
        try:
            await served.wait()
            running.cancel()
            await asyncio.wait({running})
            assert running.cancelled()
        finally:
            os.kill(pid, signal.SIGCONT)
