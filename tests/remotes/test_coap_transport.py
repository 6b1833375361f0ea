"""CoAP remotes against our own server: cuts, restarts, fallback, credentials; and libcoap's client against it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiocoap
import pytest
from aiocoap import oscore
from aiocoap.numbers.codes import Code

from edgehost.adapters.broker.free_port import free_port
from edgehost.domain.errors import ConflictError, InvalidConfigError, RemoteUnreachableError
from remotes.change_signals import ChangeSignals
from remotes.coap_bounds import WIRE_LOG
from remotes.coap_datagrams import ServerContext, add_datagrams
from remotes.coap_link import open_link
from remotes.coap_oscore import make_contexts
from remotes.coap_server import open_coap_server
from remotes.coap_shelf import Access, CoapShelf
from remotes.coap_sockets import datagram_socket
from remotes.coap_transport import CoapTransport, open_coap_transport
from remotes.remote import open_trusted_remote
from remotes.served_repository import ServedRepository, open_served_folder
from remotes.transport import CHUNK_BYTES, TIMESTAMP
from tests.remotes.coap_carriers import (
    LOOPBACK,
    open_served,
    port_of,
    quick,
    with_certificate,
    write_certificates,
)
from tests.remotes.workshop import Workshop, component_bytes

CHUNK = "chunk/" + "ab" * 32


def is_up(reader: CoapTransport) -> bool:
    return reader.connected


class Cut:
    """Serves what another repository has, but stays silent at a chunk, and says that it has come so far."""

    def __init__(self, inner: ServedRepository, after: int) -> None:
        self._inner = inner
        self._left = after
        self.reached = asyncio.Event()
        self.chunks: list[str] = []

    async def read(self, path: str, most_bytes: int) -> bytes | None:
        if path.startswith("chunk/"):
            if self._left == 0:
                self.reached.set()
                await asyncio.Event().wait()
            self._left -= 1
            self.chunks.append(path)
        return await self._inner.read(path, most_bytes)

    def changes(self) -> AsyncIterator[None]:
        return self._inner.changes()


@pytest.mark.parametrize("over", ["tcp", "udp"])
async def test_a_server_that_dies_at_any_chunk_costs_only_the_chunks_on_their_way(
    over: str, tmp_path: Path
) -> None:
    shop = Workshop(tmp_path / "fleet")
    content = component_bytes(5 * CHUNK_BYTES)
    shop.publish("1.0.0", content=content)
    async with open_served_folder(shop.folder) as whole:
        port = free_port()
        for after in range(5):
            cut = Cut(whole, after)
            options = quick(port, over=over, answer_timeout_s=1)
            async with (
                open_coap_transport("demo", options) as transport,
                open_trusted_remote(
                    "demo",
                    transport,
                    folder=tmp_path / f"state{after}",
                    root_file=shop.root_file,
                    now=lambda: shop.now,
                ) as remote,
            ):
                async with open_coap_server({"demo": cut}, replace(LOOPBACK, port=port)):
                    (offer,) = await remote.refresh()
                    fetching = asyncio.create_task(remote.fetch(offer))
                    await cut.reached.wait()
                    while len(list((tmp_path / f"state{after}").glob("partial/*/*"))) < after:
                        await asyncio.sleep(0.001)
                with pytest.raises(RemoteUnreachableError):
                    await fetching
                kept = len(list((tmp_path / f"state{after}").glob("partial/*/*")))
                assert kept == after
                again = Cut(whole, -1)
                async with open_coap_server({"demo": again}, replace(LOOPBACK, port=port)):
                    assert await remote.fetch(offer) == content
                assert len(set(again.chunks)) == 5 - kept


@pytest.mark.parametrize("over", ["tcp", "udp"])
async def test_a_restarted_server_is_found_again_and_news_goes_on(over: str, tmp_path: Path) -> None:
    (tmp_path / "metadata").mkdir()
    (tmp_path / TIMESTAMP).write_bytes(b"one")
    async with open_served_folder(tmp_path, poll_s=0.02) as folder:
        port = free_port()
        serving = replace(LOOPBACK, port=port)
        options = quick(port, over=over, answer_timeout_s=0.5, look_s=0.3)
        async with open_coap_transport("demo", options) as reader, asyncio.timeout(20):
            links, changes = reader.link_changes(), reader.changes()
            async with open_coap_server({"demo": folder}, serving):
                await anext(links)
                assert is_up(reader)
                assert await reader.fetch(TIMESTAMP, most_bytes=10) == b"one"
                await anext(changes)
            await anext(links)
            assert not is_up(reader)
            with pytest.raises(RemoteUnreachableError):
                await reader.fetch(TIMESTAMP, most_bytes=10)
            async with open_coap_server({"demo": folder}, serving):
                await anext(links)
                assert is_up(reader)
                (tmp_path / TIMESTAMP).write_bytes(b"two!")
                await anext(changes)
                assert await reader.fetch(TIMESTAMP, most_bytes=10) == b"two!"


async def test_an_observation_that_is_lost_without_a_sign_is_noticed_and_made_anew(tmp_path: Path) -> None:
    class Deaf:
        """Takes observers and never tells them."""

        content = b"one"

        async def read(self, path: str, most_bytes: int) -> bytes | None:
            return self.content

        def changes(self) -> AsyncIterator[None]:
            return ChangeSignals().listen()

    deaf = Deaf()
    async with (
        open_coap_server({"demo": deaf}, LOOPBACK) as served,
        open_coap_transport("demo", quick(port_of(served.tcp), look_s=0.1)) as reader,
        asyncio.timeout(30),
    ):
        changes = reader.changes()
        await anext(changes)
        deaf.content = b"two"
        await anext(changes)
        assert is_up(reader)


async def test_without_tcp_it_falls_back_to_udp_and_remembers(tmp_path: Path) -> None:
    (tmp_path / "chunk").mkdir()
    (tmp_path / CHUNK).write_bytes(b"x" * 5000)
    async with open_served_folder(tmp_path) as folder:
        context = ServerContext(
            serversite=CoapShelf({"demo": folder}, Access(open=True)), loggername=WIRE_LOG
        )
        sock = datagram_socket("127.0.0.1")
        port = sock.getsockname()[1]
        await add_datagrams(context, sock)
        try:
            async with open_coap_transport("demo", quick(port)) as reader:
                assert await reader.fetch(CHUNK, most_bytes=CHUNK_BYTES) == b"x" * 5000
                assert is_up(reader)
                assert reader._datagrams_until > 0
            async with open_coap_transport("demo", quick(port, over="tcp")) as reader:
                with pytest.raises(RemoteUnreachableError, match=r"127\.0\.0\.1"):
                    await reader.fetch(CHUNK, most_bytes=CHUNK_BYTES)
        finally:
            await context.shutdown()


async def test_a_name_that_does_not_resolve_is_a_plain_error() -> None:
    for over in ("tcp", "udp"):
        options = replace(quick(5683, over=over), host="no-such-host.invalid")
        async with open_coap_transport("demo", options) as reader:
            with pytest.raises(RemoteUnreachableError, match=r"no-such-host\.invalid:5683"):
                await reader.fetch(TIMESTAMP, most_bytes=10)


def tls(folder: Path, **changes: Any) -> dict[str, Any]:
    return {**with_certificate(folder), **changes}


async def test_tls_takes_the_right_authority_only_and_says_what_is_wrong(tmp_path: Path) -> None:
    write_certificates(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    write_certificates(other)
    serving = replace(
        LOOPBACK,
        cert_file=tmp_path / "server.pem",
        key_file=tmp_path / "server.key",
        client_ca_file=tmp_path / "ca.pem",
    )
    async with open_served(tmp_path / "mirror", serving) as (publisher, served):
        assert served.addresses == (served.tls,)
        await publisher.publish(TIMESTAMP, b"one")
        port = port_of(served.tls)
        async with open_coap_transport("demo", quick(port, **tls(tmp_path))) as reader:
            assert await reader.fetch(TIMESTAMP, most_bytes=10) == b"one"
            assert reader.address == f"coaps+tcp://127.0.0.1:{port}/remote/demo"
        for changes, message in (
            (tls(tmp_path, ca_file=other / "ca.pem"), "certificate is not trusted"),
            (tls(tmp_path, ca_file=None), "certificate is not trusted"),
            (tls(tmp_path, cert_file=None, key_file=None), "wants a client certificate"),
            (
                tls(tmp_path, cert_file=other / "client.pem", key_file=other / "client.key"),
                "wants a client certificate",
            ),
        ):
            async with open_coap_transport("demo", quick(port, **changes)) as reader:
                with pytest.raises(RemoteUnreachableError, match=message):
                    await reader.fetch(TIMESTAMP, most_bytes=10)
        async with open_coap_transport("demo", quick(port, over="tcp", answer_timeout_s=0.5)) as plain:
            with pytest.raises(RemoteUnreachableError):
                await plain.fetch(TIMESTAMP, most_bytes=10)


def test_tls_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigError, match="TLS files"):
        quick(5684, tls=True, ca_file=tmp_path / "absent").tls_context()
    with pytest.raises(InvalidConfigError, match="TLS files"):
        replace(LOOPBACK, cert_file=tmp_path / "a", key_file=tmp_path / "b").tls_context()


async def raw(port: int, message: aiocoap.Message) -> aiocoap.Message:
    """What any client is answered over UDP."""
    context = await aiocoap.Context.create_client_context(transports=["udp6"])
    try:
        message.unresolved_remote = f"127.0.0.1:{port}"
        async with asyncio.timeout(30):
            return await context.request(message, handle_blockwise=False).response
    finally:
        await context.shutdown()


def get(*path: str) -> aiocoap.Message:
    return aiocoap.Message(code=Code.GET, uri_path=path or ("remote", "demo", *TIMESTAMP.split("/")))


async def test_oscore_refuses_the_unprotected_the_replayed_and_the_stranger(tmp_path: Path) -> None:
    make_contexts(tmp_path / "server", "gw", tmp_path / "gw")
    make_contexts(tmp_path / "elsewhere", "gw", tmp_path / "stranger")
    serving = replace(LOOPBACK, oscore_folder=tmp_path / "server")
    async with open_served(tmp_path / "mirror", serving) as (publisher, served):
        await publisher.publish(TIMESTAMP, b"one")
        port = port_of(served.udp)
        for path in ((), (".well-known", "core"), ("remote", "demo", "chunk", "ab" * 32)):
            assert (await raw(port, get(*path))).code is Code.UNAUTHORIZED
        for over in ("udp", "tcp"):
            options = quick(port, over=over, oscore_folder=tmp_path / "gw")
            async with open_coap_transport("demo", options) as reader:
                assert await reader.fetch(TIMESTAMP, most_bytes=10) == b"one"
            async with open_coap_transport("demo", quick(port, over=over)) as reader:
                with pytest.raises(RemoteUnreachableError, match=r"4\.01 Unauthorized"):
                    await reader.fetch(TIMESTAMP, most_bytes=10)
            options = quick(port, over=over, oscore_folder=tmp_path / "stranger")
            async with open_coap_transport("demo", options) as reader:
                with pytest.raises(RemoteUnreachableError, match="Security context not found"):
                    await reader.fetch(TIMESTAMP, most_bytes=10)
        context = oscore.FilesystemSecurityContext(str(tmp_path / "gw"))
        once, _ = context.protect(get())
        changed = once.copy(payload=once.payload[:-1] + bytes([once.payload[-1] ^ 1]))
        assert (await raw(port, changed)).code is Code.BAD_REQUEST
        assert (await raw(port, once.copy())).opt.oscore is not None
        replayed = await raw(port, once.copy())
        assert replayed.opt.oscore is None
        assert replayed.code is Code.UNAUTHORIZED
        assert b"Replay" in replayed.payload
        context._destroy()


async def test_oscore_goes_on_after_both_sides_lost_their_memory(tmp_path: Path) -> None:
    make_contexts(tmp_path / "server", "gw", tmp_path / "gw")
    serving = replace(LOOPBACK, oscore_folder=tmp_path / "server")
    sequence = tmp_path / "server/gw/sequence.json"
    for _ in range(3):
        async with open_served(tmp_path / "mirror", serving) as (publisher, served):
            await publisher.publish(TIMESTAMP, b"one")
            options = quick(port_of(served.udp), over="udp", oscore_folder=tmp_path / "gw")
            async with open_coap_transport("demo", options) as reader:
                assert await reader.fetch(TIMESTAMP, most_bytes=10) == b"one"
            torn = sequence.read_bytes()  # as a server that is killed leaves it
            assert b"unknown" in torn
        sequence.write_bytes(torn)


def test_a_context_has_one_user_and_is_made_once(tmp_path: Path) -> None:
    make_contexts(tmp_path / "server", "gw", tmp_path / "gw")
    with pytest.raises(ConflictError, match="exists"):
        make_contexts(tmp_path / "server", "gw", tmp_path / "again")
    with pytest.raises(InvalidConfigError, match="no name"):
        make_contexts(tmp_path / "server", "../gw", tmp_path / "again")
    assert (tmp_path / "gw/secret.json").stat().st_mode & 0o077 == 0


async def test_a_context_that_is_absent_or_in_use_is_a_plain_error(tmp_path: Path) -> None:
    make_contexts(tmp_path / "server", "gw", tmp_path / "gw")
    options = quick(5683, oscore_folder=tmp_path / "gw")
    async with open_coap_transport("demo", options):
        with pytest.raises(ConflictError, match="in use"):
            async with open_coap_transport("demo", options):
                pass
    with pytest.raises(InvalidConfigError, match="no OSCORE security context"):
        async with open_coap_transport("demo", replace(options, oscore_folder=tmp_path)):
            pass
    (tmp_path / "gw/secret.json").write_text("{")
    with pytest.raises(InvalidConfigError, match="cannot be used"):
        async with open_coap_transport("demo", options):
            pass


class LossyRelay(asyncio.DatagramProtocol):
    """Stands between one client and the server, and loses the datagrams with these numbers, both ways counted."""

    def __init__(self, server_port: int, lost: set[int]) -> None:
        self._server = ("127.0.0.1", server_port)
        self._client: tuple[str, int] | None = None
        self._lost = lost
        self.seen = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        if address != self._server:
            self._client = address
        self.seen += 1
        receiver = self._client if address == self._server else self._server
        if self.seen not in self._lost and receiver is not None:
            self.transport.sendto(data, receiver)


async def test_lost_requests_and_lost_answers_are_made_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aiocoap.numbers.constants.TransportTuning, "ACK_TIMEOUT", 0.3)
    async with open_served(tmp_path / "mirror") as (publisher, served):
        await publisher.publish(TIMESTAMP, b"one")
        await publisher.publish(CHUNK, bytes(range(250)) * 12)
        loop = asyncio.get_running_loop()
        transport, relay = await loop.create_datagram_endpoint(
            lambda: LossyRelay(port_of(served.udp), {1, 4}), local_addr=("127.0.0.1", 0)
        )
        try:
            port = transport.get_extra_info("sockname")[1]
            async with open_coap_transport("demo", quick(port, over="udp", answer_timeout_s=20)) as reader:
                assert await reader.fetch(CHUNK, most_bytes=CHUNK_BYTES) == bytes(range(250)) * 12
            assert relay.seen >= 8
        finally:
            transport.close()


async def test_who_is_cancelled_while_the_link_ends_leaves_no_error_that_nobody_asks_for() -> None:
    link = await open_link(quick(free_port(), over="udp"), None, stream=False)
    request: Any = SimpleNamespace(response=asyncio.get_running_loop().create_future())
    asking = asyncio.create_task(link._answer(request))
    await asyncio.sleep(0)
    request.response.set_exception(aiocoap.error.LibraryShutdown())
    asking.cancel()
    await asyncio.wait({asking})
    assert asking.cancelled()
    await link.close()
    del request, asking  # asyncio tells of an exception that nobody asked for, and the test fails
