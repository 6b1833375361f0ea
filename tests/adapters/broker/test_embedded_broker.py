"""The embedded broker: both kinds, restart on the same port, and a plain error when it cannot start."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import aiomqtt
import pytest

from edgehost.adapters.broker.embedded_broker import EmbeddedBroker, Kind, open_broker
from edgehost.adapters.broker.free_port import free_port
from edgehost.domain.errors import UnavailableError
from tests.required_tools import require_tool

KINDS: tuple[Kind, ...] = ("mosquitto", "amqtt")


def listens(tcp_port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", tcp_port)) == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_it_listens_on_loopback_and_is_gone_afterwards(kind: Kind) -> None:
    if kind == "mosquitto":
        require_tool("mosquitto")
    async with open_broker(kind=kind) as broker:
        assert (broker.kind, broker.host) == (kind, "127.0.0.1")
        assert listens(broker.tcp_port)
        pid = broker.pid or 0
    assert not listens(broker.tcp_port)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
async def test_it_comes_back_on_the_same_port(kind: Kind, *, kill: bool) -> None:
    if kind == "mosquitto":
        require_tool("mosquitto")
    async with open_broker(kind=kind) as broker:
        tcp_port = broker.tcp_port
        await broker.start()  # it runs already
        await broker.stop(kill=kill)
        await broker.stop()
        assert broker.pid is None
        assert not listens(tcp_port)
        await broker.start()
        assert (broker.tcp_port, listens(tcp_port)) == (tcp_port, True)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_port_that_is_taken_is_an_error_that_says_so(kind: Kind) -> None:
    if kind == "mosquitto":
        require_tool("mosquitto")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(UnavailableError, match=rf"{kind} ended.*(?i:address|use)"):
            async with open_broker(taken.getsockname()[1], kind=kind):
                pass


async def test_a_program_that_listens_already_is_not_taken_for_the_broker() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(UnavailableError, match="Another program listens on"):
            async with open_broker(taken.getsockname()[1]):
                pass
        taken.accept()[0].close()


async def test_a_configuration_that_mosquitto_refuses_is_shown(tmp_path: Path) -> None:
    require_tool("mosquitto")
    with pytest.raises(UnavailableError, match="nonsense"):
        async with open_broker(kind="mosquitto", extra_config="nonsense true", folder=tmp_path):
            pass


@pytest.mark.parametrize("kind", KINDS)
async def test_who_subscribes_or_leaves_costs_nobody_else_the_connection(kind: Kind) -> None:
    if kind == "mosquitto":
        require_tool("mosquitto")

    def client(broker: EmbeddedBroker) -> aiomqtt.Client:
        return aiomqtt.Client("127.0.0.1", broker.tcp_port, protocol=aiomqtt.ProtocolVersion.V311)

    async def comes_and_goes(broker: EmbeddedBroker, name: str) -> None:
        for number in range(5):
            async with client(broker) as each:
                await each.subscribe(f"{name}/{number}/#")

    async with open_broker(kind=kind) as broker, client(broker) as steady:
        for number in range(20):
            await steady.publish(f"kept/{number}", b"1", qos=1, retain=True)
            await steady.subscribe(f"kept/{number}")
        async with asyncio.TaskGroup() as tasks:
            for number in range(8):
                tasks.create_task(comes_and_goes(broker, f"guest-{number}"))


def test_a_free_port_is_none_that_the_system_gives_away_by_itself() -> None:
    found = {free_port() for _ in range(20)}
    assert len(found) > 10
    with socket.socket() as given:
        given.bind(("127.0.0.1", 0))
        assert max(found) < given.getsockname()[1]
