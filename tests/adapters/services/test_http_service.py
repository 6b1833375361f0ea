"""The service http against a real server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from edgehost.adapters.services.http_service import open_http_service
from edgehost.config_services import HttpOptions
from edgehost.domain.errors import NotGrantedError, RefusedError, TooLargeError, UnavailableError
from tests.adapters.services.service_scenes import Told


class Mirror:
    """A server that says what it was asked; its paths make it misbehave."""

    def __init__(self) -> None:
        self.stuck = threading.Event()
        self.came = threading.Event()
        self.left = threading.Event()
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.port = 0


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    made = Mirror()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            size = int(self.headers.get("content-length") or 0)
            made.seen.append((self.command, self.path, dict(self.headers), self.rfile.read(size)))
            made.came.set()
            if self.path == "/stuck":
                if self.connection.recv(1) == b"":  # whoever asked hung up
                    made.left.set()
                return
            body, kind, status = b'{"ok": true}', "application/json", 200
            if self.path.startswith("/status/"):
                status = int(self.path.rpartition("/")[2])
            elif self.path == "/large":
                body = b"x" * 5000
            elif self.path == "/bytes":
                body, kind = b"\xff\xfe", "application/octet-stream"
            elif self.path == "/text":
                body, kind = b"plain", "text/plain"
            elif self.path == "/away":
                self.send_response(302)
                self.send_header("location", "http://127.0.0.1:1/")
                self.send_header("content-length", "0")
                self.end_headers()
                return
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - http.server's names

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


def options(mirror: Mirror, **more: Any) -> HttpOptions:
    given: dict[str, Any] = {
        "hosts": (f"127.0.0.1:{mirror.port}",),
        "url": f"http://127.0.0.1:{mirror.port}/",
        "answer_kib": 2,
        "request_kib": 1,
        "timeout_s": 10.0,
    }
    return HttpOptions(**(given | more))


async def test_methods_queries_headers_and_bodies_arrive(mirror: Mirror) -> None:
    async with open_http_service("web", options(mirror), Told()) as service:
        answer = await service.call(
            "post", {"url": "a?b=1", "query": {"c": "d e"}, "json": {"n": 1}}, timeout_s=5
        )
        assert answer["json"] == {"ok": True}
        method, path, headers, body = mirror.seen[0]
        assert (method, path, body) == ("POST", "/a?b=1&c=d+e", b'{"n":1}')
        assert headers["Content-Type"] == "application/json"
        await service.call("request", {"method": "PUT", "url": "x", "body": "raw"}, timeout_s=5)
        assert mirror.seen[1][3] == b"raw"
        assert (await service.call("get", {"url": "text"}, timeout_s=5))["text"] == "plain"
        assert (await service.call("get", {"url": "bytes"}, timeout_s=5))["base64"] == "//4="
        assert (await service.call("get", {"url": "status/404"}, timeout_s=5))["status"] == 404


async def test_only_granted_hosts_are_asked_and_redirects_do_not_lead_out(mirror: Mirror) -> None:
    async with open_http_service("web", options(mirror), Told()) as service:
        for url in ("http://127.0.0.1:1/", "http://localhost/", "file:///etc/passwd", "away"):
            with pytest.raises(RefusedError):
                await service.call("get", {"url": url}, timeout_s=5)
        with pytest.raises(NotGrantedError):
            await service.call("get", {"url": "away"}, timeout_s=5)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_a_server_that_cannot_now_is_unavailable(mirror: Mirror, status: int) -> None:
    async with open_http_service("web", options(mirror), Told()) as service:
        with pytest.raises(UnavailableError, match=str(status)):
            await service.call("get", {"url": f"status/{status}"}, timeout_s=5)


async def test_sizes_are_bounded_both_ways(mirror: Mirror) -> None:
    async with open_http_service("web", options(mirror), Told()) as service:
        with pytest.raises(TooLargeError):
            await service.call("get", {"url": "large"}, timeout_s=5)
        for big in ({"json": "x" * 2000}, {"body": "\u00e9" * 600}):
            with pytest.raises(RefusedError):
                await service.call("post", {"url": "a", **big}, timeout_s=5)


async def test_a_call_that_is_given_up_drops_its_connection_at_once(mirror: Mirror) -> None:
    async with open_http_service("web", options(mirror), Told()) as service:
        call = asyncio.create_task(service.call("get", {"url": "stuck"}, timeout_s=60))
        await asyncio.to_thread(mirror.came.wait, 10)
        call.cancel()
        await asyncio.wait({call})
        assert call.cancelled()
        assert await asyncio.to_thread(mirror.left.wait, 10)


async def test_time_is_bounded_and_the_health_says_what_went_wrong(mirror: Mirror) -> None:
    async with open_http_service("web", options(mirror, timeout_s=0.1), Told()) as service:
        with pytest.raises(UnavailableError):
            await service.call("get", {"url": "stuck"}, timeout_s=60)
        assert service.health().state == "warning"
        await asyncio.to_thread(mirror.left.wait, 10)
        await service.call("get", {"url": "text"}, timeout_s=60)
        assert service.health().state == "ok"


async def test_the_token_goes_to_its_own_server_only_and_is_read_anew(mirror: Mirror, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("first\n")
    async with open_http_service("web", options(mirror, token_file=secret), Told()) as service:
        await service.call("get", {"url": "a"}, timeout_s=5)
        secret.write_text("second\n")
        await service.call("get", {"url": "a"}, timeout_s=5)
        assert [seen[2]["Authorization"] for seen in mirror.seen] == ["Bearer first", "Bearer second"]
        secret.unlink()
        with pytest.raises(UnavailableError, match="cannot be read"):
            await service.call("get", {"url": "a"}, timeout_s=5)
    elsewhere = options(mirror, token_file=secret, url="http://other.example/")
    async with open_http_service("web", elsewhere, Told()) as service:
        await service.call("get", {"url": f"http://127.0.0.1:{mirror.port}/a"}, timeout_s=5)
        assert "Authorization" not in mirror.seen[-1][2]
