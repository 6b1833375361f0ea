"""The server's own bounds: sizes, times, connections, sockets, and its end."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from edgehost.api import bounded_protocol, reading, server
from edgehost.api.app import make_app
from edgehost.api.server import serving
from edgehost.cli.host_client import HostClient
from edgehost.domain.errors import BusyError, ConflictError, InvalidConfigError, UnavailableError
from tests.api.scene import NOTES, Kept, Scene, problem, served

#: Where connections are kept alive only shortly, a client must not count on using one again.
ONE_REQUEST = {"connection": "close"}
PROTOCOLS = [bounded_protocol._bounded_httptools, bounded_protocol._bounded_h11]


@pytest.fixture(params=PROTOCOLS, ids=["httptools", "h11"])
def protocol(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Serve by this parser; both are in use, depending on the machine."""
    monkeypatch.setattr(server, "bounded_protocol", request.param)
    chosen: Callable[[], Any] = request.param
    return chosen


@asynccontextmanager
async def connected(scene: Scene) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", scene.at.tcp_port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def answer_to(scene: Scene, *parts: bytes) -> tuple[int, dict[str, Any]]:
    """The status and problem document that end the connection."""
    async with connected(scene) as (reader, writer):
        for part in parts:
            writer.write(part)
            await writer.drain()
        raw = await reader.read()
    head, _, body = raw.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    return int(head.split()[1]), json.loads(body)


async def test_records_are_served_by_either_parser(protocol: object) -> None:
    async with served(NOTES) as scene:
        created = await scene.client.post("/models/notes", json={"n": 1})
        assert created.status_code == 201
        assert "date" in created.headers
        assert "server" not in created.headers
        path = f"/models/notes/{created.json()['id']}"
        assert (await scene.client.get(path)).json() == created.json()
        head = await scene.client.head(path)
        assert (head.content, head.headers["etag"]) == (b"", created.headers["etag"])
        problem(await scene.client.get("/nothing"), 404, "not-found")


@pytest.mark.parametrize(
    "anyio_backend", [("asyncio", {"use_uvloop": True}), ("asyncio", {"use_uvloop": False})]
)
async def test_both_loops_serve_both_sockets_without_delay(anyio_backend: object, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    kept = Kept()
    async with serving(make_app(kept.keeping, kept.models), tcp_port=0, unix_socket=path) as at:
        for opened in (
            asyncio.open_connection("127.0.0.1", at.tcp_port),
            asyncio.open_unix_connection(str(path)),
        ):
            reader, writer = await opened
            times = []
            for _ in range(50):
                before = time.perf_counter()
                writer.write(b"GET /api/models HTTP/1.1\r\nhost: localhost\r\n\r\n")
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(len(b'{"models":[]}'))
                assert head.startswith(b"HTTP/1.1 200")
                times.append(time.perf_counter() - before)
            assert statistics.median(times) < 0.03  # a delayed acknowledgement takes 40 ms
            writer.close()


async def test_garbage_is_a_problem_document_too(protocol: object) -> None:
    async with served() as scene:
        status, document = await answer_to(scene, b"\x16\x03\x01 garbage\r\n\r\n")
        assert (status, document["code"]) == (400, "bad-request")


async def test_an_endless_head_is_refused(protocol: object) -> None:
    async with served() as scene:
        line = b"GET /api/models HTTP/1.1\r\nhost: localhost\r\n"
        status, document = await answer_to(
            scene, line, *[b"x-%d: %s\r\n" % (n, b"y" * 1000) for n in range(17)]
        )
        assert status in {400, 431}
        assert document["status"] == status


async def test_too_many_headers_are_refused(protocol: object) -> None:
    async with served() as scene:
        headers = {f"x-{number}": "y" for number in range(80)}
        problem(await scene.client.get("/models", headers=headers), 431, "headers-too-large")


async def test_a_head_that_comes_too_slowly_is_cut_off(
    protocol: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_protocol, "HEAD_TIMEOUT_S", 0.3)
    async with served(NOTES) as scene:
        status, document = await answer_to(scene, b"GET /api/models HT")
        assert (status, document["code"]) == (408, "request-timeout")
        async with connected(scene) as (reader, _):
            assert await reader.read() == b""
        async with connected(scene) as (
            reader,
            writer,
        ):  # the second request of a connection is timed as well
            writer.write(b"GET /api/models HTTP/1.1\r\nhost: localhost\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"GET /api/mod")
            assert b"408" in await reader.read()


async def test_a_body_that_comes_too_slowly_is_cut_off(
    protocol: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "BODY_TIMEOUT_S", 0.05)
    async with served(NOTES) as scene:
        head = b"POST /api/models/notes HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        status, document = await answer_to(scene, head + b'content-length: 10\r\n\r\n{"a"')
        assert (status, document["code"]) == (408, "request-timeout")


async def test_a_body_that_is_too_large_is_not_kept(protocol: object) -> None:
    async def stream() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 1000

    async with served(NOTES, body_bytes=10_000) as scene:
        json_type = {"content-type": "application/json"}
        for content in (b"x" * 10_001, stream()):
            response = await scene.client.post("/models/notes", content=content, headers=json_type)
            problem(response, 413, "too-large")
            assert response.headers["connection"] == "close"
        fitting = json.dumps({"n": "x" * 9_000}).encode()
        assert (
            await scene.client.post("/models/notes", content=fitting, headers=json_type)
        ).status_code == 201


async def test_a_declared_length_is_refused_before_the_body_comes(
    protocol: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_DRAIN_TIMEOUT_S", 0.05)
    async with served(NOTES) as scene:
        head = b"POST /api/models/notes HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        for more in (b"", b"expect: 100-continue\r\n"):
            status, document = await answer_to(scene, head + more + b"content-length: 99999999999\r\n\r\n")
            assert (status, document["code"]) == (413, "too-large")


async def test_a_client_that_does_not_read_its_answer_is_let_go(
    protocol: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "KEEP_ALIVE_S", 0.05)
    async with served(NOTES) as scene:
        for _ in range(4):
            await scene.client.post("/models/notes", json={"text": "x" * 900_000}, headers=ONE_REQUEST)
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, ("127.0.0.1", scene.at.tcp_port))
            await loop.sock_sendall(client, b"GET /api/models/notes HTTP/1.1\r\nhost: localhost\r\n\r\n")
            async with asyncio.timeout(20):
                while await client_is_connected(scene, client.getsockname()[1]):
                    pass  # each look gives the server a turn


async def client_is_connected(scene: Scene, tcp_port: int) -> bool:
    """Whether the server's side of a client's connection is still established, as the kernel sees it."""
    await scene.client.get("/models", headers=ONE_REQUEST)
    table = await asyncio.to_thread(Path("/proc/net/tcp").read_text)
    server_side = f":{scene.at.tcp_port:04X} 0100007F:{tcp_port:04X} 01"
    return server_side in table


async def test_connections_are_bounded(protocol: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_protocol, "MAX_CONNECTIONS", 2)
    async with served() as scene, connected(scene), connected(scene):
        status, document = await answer_to(scene)
        assert (status, document["code"]) == (503, "busy")


async def test_tcp_clients_do_not_lock_the_operator_out_of_the_unix_socket(
    protocol: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bounded_protocol, "MAX_CONNECTIONS", 2)
    kept = Kept()
    kept.serve(NOTES)
    app = make_app(kept.keeping, kept.models)
    path = tmp_path / "socket"
    async with serving(app, tcp_port=0, unix_socket=path) as at:
        opened = [await asyncio.open_connection("127.0.0.1", at.tcp_port) for _ in range(3)]
        assert b" 503 " in await opened[2][0].read()  # and closed: the read ends
        answer = await asyncio.to_thread(HostClient(path).request, "GET", "/api/models")
        assert answer.status == 200
        for _, writer in opened:
            writer.close()


async def test_the_unix_socket_is_bounded_too_and_its_refusal_is_heard(
    protocol: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bounded_protocol, "MAX_LOCAL_CONNECTIONS", 1)
    kept = Kept()
    path = tmp_path / "socket"
    async with serving(make_app(kept.keeping, kept.models), unix_socket=path):
        _, writer = await asyncio.open_unix_connection(str(path))
        with pytest.raises(BusyError, match="1 connections are open"):
            await asyncio.to_thread(HostClient(path).request, "GET", "/api/models")
        writer.close()


async def test_a_fault_of_the_host_tells_no_details(
    protocol: object, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(NOTES) as scene:

        async def broken(*_: object) -> None:
            raise RuntimeError("the secret cause")

        scene.store.get = broken  # type: ignore[method-assign, assignment]  # a store with a fault
        response = await scene.client.get("/models/notes/a")
        problem(response, 500, "internal")
        assert "secret" not in response.text
        assert "the secret cause" in caplog.text


async def test_two_servers_of_one_app_serve_tcp_and_the_socket(tmp_path: Path) -> None:
    kept = Kept()
    kept.serve(NOTES)
    path = tmp_path / "socket"
    app = make_app(kept.keeping, kept.models)
    async with serving(app, tcp_port=0, unix_socket=path) as at:
        assert at.url == f"http://127.0.0.1:{at.tcp_port}"
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b"GET /api/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert b"200 OK" in await reader.read()
        writer.close()
        with pytest.raises(ConflictError, match="Another host"):
            async with serving(app, unix_socket=path):
                pytest.fail("it was served twice")
        with pytest.raises(UnavailableError, match="cannot be had"):
            async with serving(app, tcp_port=at.tcp_port):
                pytest.fail("it was served twice")
    assert not path.exists()


async def test_the_socket_of_a_killed_host_is_replaced_and_other_files_are_not(tmp_path: Path) -> None:
    kept = Kept()
    app = make_app(kept.keeping, kept.models)
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    async with serving(app, unix_socket=path):
        assert stat.S_ISSOCK(path.stat().st_mode)
    path.write_text("precious")
    with pytest.raises(ConflictError, match="in the way"):
        async with serving(app, unix_socket=path):
            pytest.fail("it was served")
    assert path.read_text() == "precious"
    with pytest.raises(InvalidConfigError, match="longer"):
        async with serving(app, unix_socket=tmp_path / ("x" * 120)):
            pytest.fail("it was served")
    with pytest.raises(UnavailableError, match="cannot be made"):
        async with serving(app, unix_socket=tmp_path / "no" / "folder"):
            pytest.fail("it was served")


async def test_running_requests_are_answered_before_the_end(protocol: object) -> None:
    kept = Kept()
    kept.serve(NOTES, validate="check")
    started, finish = asyncio.Event(), asyncio.Event()

    async def check(_question: object, _context: object) -> None:
        started.set()
        await finish.wait()

    kept.guests.functions[("notes", "check")] = check
    async with asyncio.TaskGroup() as tasks:
        async with served(kept=kept) as scene:
            request = tasks.create_task(scene.client.post("/models/notes", json={}))
            await started.wait()
            asyncio.get_running_loop().call_later(0.05, finish.set)
            async with serving(make_app(kept.keeping, kept.models), tcp_port=0):
                pass  # another server ends without touching this one
            await request
        assert request.result().status_code == 201


async def test_a_request_that_never_ends_does_not_hold_up_the_end(
    protocol: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "CLOSE_TIMEOUT_S", 0)
    kept = Kept()
    kept.serve(NOTES, validate="check")
    started = asyncio.Event()

    async def check(_question: object, _context: object) -> None:
        started.set()
        await asyncio.Event().wait()

    kept.guests.functions[("notes", "check")] = check
    app = make_app(kept.keeping, kept.models)
    async with serving(app, tcp_port=0) as at:
        reader, writer = await asyncio.open_connection("127.0.0.1", at.tcp_port)
        writer.write(
            b"POST /api/models/notes HTTP/1.1\r\nhost: localhost\r\n"
            b"content-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
        )
        await started.wait()
    assert b"201" not in await reader.read()
    writer.close()
