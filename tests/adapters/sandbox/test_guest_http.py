"""Guests' HTTP requests, against a real server on loopback."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from edgehost.adapters.broker.free_port import free_port
from edgehost.adapters.sandbox.guest_http import fetch
from edgehost.domain.errors import (
    DeadlineExceededError,
    GuestTrapError,
    InvalidRecordError,
    NotGrantedError,
    TooLargeError,
    UnavailableError,
)
from tests.adapters.sandbox.guests import opened
from tests.adapters.sandbox.test_extism_abi import HTTP

ANSWERS: dict[str, tuple[int, bytes, dict[str, str]]] = {
    "/hello": (200, b"hello", {"X-Thing": "One"}),
    "/missing": (404, b"nothing here", {}),
    "/big": (200, bytes(300_000), {}),
    "/see": (303, b"", {"Location": "/echo"}),
    "/keep": (307, b"", {"Location": "/echo"}),
    "/round": (302, b"", {"Location": "/round"}),
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path in ANSWERS:
            self.answer(*ANSWERS[path])
        elif path == "/headers":
            self.answer(200, json.dumps(dict(self.headers)).encode())
        elif path == "/to":
            self.answer(302, b"", {"Location": query})
        elif path == "/echo":
            size = int(self.headers.get("content-length") or 0)
            self.answer(200, f"{self.command}:".encode() + self.rfile.read(size))
        elif path == "/drip":
            self.drip()
        else:
            self.wfile.write(b"this is no HTTP\r\n\r\n")
            self.close_connection = True

    do_POST = do_GET  # noqa: N815 - the standard library's name for it

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def drip(self) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            for _ in range(100):
                self.wfile.write(b".")
                self.wfile.flush()
                time.sleep(0.05)
        except OSError:
            pass

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


async def get(
    url: str, *granted: str, body: bytes = b"", timeout_s: float = 5.0, **more: Any
) -> tuple[Any, bytes]:
    request = json.dumps({"url": url, **more}).encode()
    reply = await fetch(request, body, granted=granted, timeout_s=timeout_s, most_bytes=200_000)
    size = int.from_bytes(reply[:4], "little")
    return json.loads(reply[4 : 4 + size]), reply[4 + size :]


async def test_a_granted_host_answers(port: int) -> None:
    head, body = await get(f"http://127.0.0.1:{port}/hello", f"127.0.0.1:{port}")
    assert (head["status"], body) == (200, b"hello")
    assert head["headers"]["x-thing"] == "One"


async def test_an_error_status_is_an_answer(port: int) -> None:
    head, body = await get(f"http://127.0.0.1:{port}/missing", f"127.0.0.1:{port}")
    assert (head["status"], body) == (404, b"nothing here")


async def test_method_headers_and_body_are_sent(port: int) -> None:
    here = f"http://127.0.0.1:{port}"
    assert (await get(f"{here}/echo", f"127.0.0.1:{port}", method="POST", body=b"data"))[1] == b"POST:data"
    _, seen = await get(f"{here}/headers", f"127.0.0.1:{port}", headers={"X-Key": "v"})
    assert json.loads(seen)["X-Key"] == "v"
    assert json.loads(seen)["User-Agent"] == "edgehost"


@pytest.mark.parametrize(
    ("url", "granted"),
    [
        ("http://example.org/", ()),
        ("http://example.org/", ("example.com",)),
        ("http://example.org/", ("*.example.org",)),
        ("http://badexample.org/", ("*.example.org",)),
        ("http://a.example.org.evil.net/", ("*.example.org",)),
        ("http://example.org:8080/", ("example.org",)),
        ("http://example.org/", ("example.org:8080",)),
        ("http://example.org@evil.net/", ("example.org",)),
        ("http://evil.net#example.org/", ("example.org",)),
    ],
)
async def test_other_hosts_are_denied(url: str, granted: tuple[str, ...]) -> None:
    with pytest.raises(NotGrantedError, match="is not allowed"):
        await get(url, *granted)


async def test_a_wildcard_grants_sub_domains(port: int) -> None:
    with pytest.raises(UnavailableError):  # granted, and then there is no such host
        await get("http://a.b.invalid./", "*.b.invalid", timeout_s=5)
    assert port


@pytest.mark.parametrize(
    "request_",
    [
        b"", b"[]", b"{}", b"null", b'"url"', b'{"url": 5}', b'{"url": "ftp://a"}', b'{"url": "http://"}',
        b'{"url": "http://a:99999"}', b'{"url": "/etc/passwd"}', b'{"url": "file:///etc/passwd"}',
        b'{"url": "http://a", "method": "GET / HTTP/1.1\\r\\n"}', b'{"url": "http://a", "method": 5}',
        b'{"url": "http://a", "headers": [1]}', b'{"url": "http://a", "headers": {"a": "b\\r\\nc: d"}}',
        b'{"url": "http://a", "headers": {"a b": "c"}}', b'{"url": "http://a", "headers": {"a": 1}}', b"[" * 100_000,
        json.dumps({"url": "http://a", "headers": {f"h{n}": "v" for n in range(65)}}).encode(),
    ],
)  # fmt: skip
async def test_a_request_that_is_none_is_refused(request_: bytes) -> None:
    with pytest.raises(InvalidRecordError):
        await fetch(request_, b"", granted=("a",), timeout_s=1, most_bytes=1000)


async def test_a_target_with_spaces_or_control_characters_is_not_sent(port: int) -> None:
    with pytest.raises(UnavailableError):
        await get(f"http://127.0.0.1:{port}/a b", f"127.0.0.1:{port}")


async def test_redirects_stay_among_granted_hosts(port: int) -> None:
    here = f"http://127.0.0.1:{port}"
    grant = f"127.0.0.1:{port}"
    assert (await get(f"{here}/to?/hello", grant))[1] == b"hello"
    for elsewhere in ("http://127.0.0.2/", f"http://localhost:{port}/hello", "file:///etc/passwd"):
        with pytest.raises(NotGrantedError):
            await get(f"{here}/to?{elsewhere}", grant)
    with pytest.raises(UnavailableError, match="redirected more than 5"):
        await get(f"{here}/round", grant)


async def test_redirects_keep_or_change_the_method_as_their_status_says(port: int) -> None:
    here, grant = f"http://127.0.0.1:{port}", f"127.0.0.1:{port}"
    assert (await get(f"{here}/see", grant, method="POST", body=b"x"))[1] == b"GET:"
    assert (await get(f"{here}/keep", grant, method="POST", body=b"x"))[1] == b"POST:x"


async def test_credentials_do_not_follow_to_another_host(port: int) -> None:
    url = f"http://127.0.0.1:{port}/to?http://localhost:{port}/headers"
    _, seen = await get(
        url, f"127.0.0.1:{port}", f"localhost:{port}", headers={"Authorization": "secret", "X-Kept": "yes"}
    )
    assert "Authorization" not in json.loads(seen)
    assert json.loads(seen)["X-Kept"] == "yes"


async def test_an_answer_that_is_too_long_is_refused(port: int) -> None:
    with pytest.raises(TooLargeError):
        await get(f"http://127.0.0.1:{port}/big", f"127.0.0.1:{port}")


async def test_a_server_that_drips_does_not_outlive_the_call(port: int) -> None:
    with pytest.raises(UnavailableError, match="time"):  # the server would go on for ever
        await get(f"http://127.0.0.1:{port}/drip", f"127.0.0.1:{port}", timeout_s=0.3)


async def test_a_server_that_speaks_no_http_is_unavailable(port: int) -> None:
    with pytest.raises(UnavailableError):
        await get(f"http://127.0.0.1:{port}/nonsense", f"127.0.0.1:{port}")


async def test_nobody_there_is_unavailable() -> None:
    free = free_port()
    with pytest.raises(UnavailableError):
        await get(f"http://127.0.0.1:{free}/", f"127.0.0.1:{free}")


async def test_a_sandboxed_guest_gets_the_answer(port: int) -> None:
    grants = {"http_hosts": (f"127.0.0.1:{port}",)}
    async with opened(HTTP, grants=grants) as sandbox:
        url = json.dumps({"url": f"http://127.0.0.1:{port}/hello"}).encode()
        assert await sandbox.call("get", url, deadline_s=5) == b"hello"
        assert json.loads(await sandbox.call("headers", b"", deadline_s=5))["x-thing"] == "One"
        with pytest.raises(GuestTrapError, match=r"HTTP request to http://example\.org is not allowed"):
            await sandbox.call("get", b'{"url": "http://example.org"}', deadline_s=5)


async def test_a_slow_server_ends_with_the_calls_deadline(port: int) -> None:
    grants = {"http_hosts": (f"127.0.0.1:{port}",)}
    async with opened(HTTP, grants=grants) as sandbox:
        url = json.dumps({"url": f"http://127.0.0.1:{port}/drip"}).encode()
        with pytest.raises((DeadlineExceededError, GuestTrapError)):
            await sandbox.call("get", url, deadline_s=0.3)
