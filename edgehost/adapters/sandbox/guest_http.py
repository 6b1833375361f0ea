"""HTTP requests of a guest, made by the agent and only to hosts that were granted."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urljoin, urlsplit

from edgehost.domain.errors import InvalidRecordError, NotGrantedError, TooLargeError, UnavailableError

if TYPE_CHECKING:
    from http.client import HTTPConnection, HTTPResponse
    from socket import socket

_PORTS: Final = {"http": 80, "https": 443}
_MOST_REDIRECTS: Final = 5
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_KEEP_METHOD: Final = (307, 308)
_MOST_HEADERS: Final = 64
_CHUNK: Final = 65_536
# Threads of their own, so that slow servers never hold up the host's own work; made at the first request.
_THREADS: Final = ThreadPoolExecutor(8, thread_name_prefix="edgehost.guest-http")
_TOKEN: Final = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: SplitResult
    headers: Mapping[str, str]
    body: bytes


async def fetch(
    request: bytes, body: bytes, *, granted: Iterable[str], timeout_s: float, most_bytes: int
) -> bytes:
    """The answer as the sandbox wants it: u32 length of a JSON head, the head, the body.

    Raises:
        NotGrantedError: the host, or one that it redirects to, was not granted.
        InvalidRecordError: the request is no request.
        TooLargeError: the answer is longer than ``most_bytes``.
        UnavailableError: nobody answers.
    """
    grants = tuple(granted)
    wanted = _read_request(request, body)
    _require_granted(wanted.url, grants)
    until = time.monotonic() + timeout_s
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_THREADS, _follow, wanted, grants, until, most_bytes)


def _read_request(document: bytes, body: bytes) -> _Request:
    try:
        members = json.loads(document)
        url = members["url"]
        method = members.get("method") or "GET"
        headers = members.get("headers") or members.get("header") or {}
        parsed = urlsplit(url)
        _ = parsed.port  # raises for a port that is no number
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InvalidRecordError("Invalid HTTP request: it must be JSON with a 'url'.") from None
    if parsed.scheme not in _PORTS or not parsed.hostname:
        raise InvalidRecordError("Invalid URL: it must start with http:// or https:// and name a host.")
    if not isinstance(method, str) or not method or not _TOKEN.issuperset(method):
        raise InvalidRecordError("Invalid HTTP request: the method is no word.")
    if not isinstance(headers, dict) or len(headers) > _MOST_HEADERS:
        raise InvalidRecordError(f"Invalid HTTP request: headers must be at most {_MOST_HEADERS} strings.")
    for name, value in headers.items():
        if not isinstance(value, str) or not name or not _TOKEN.issuperset(name) or not value.isprintable():
            raise InvalidRecordError("Invalid HTTP request: a header is not printable.")
    return _Request(method, parsed, headers, body)


def _require_granted(url: SplitResult, grants: tuple[str, ...]) -> None:
    host = (url.hostname or "").lower().rstrip(".")
    port = url.port or _PORTS[url.scheme]
    for grant in grants:
        name, _, only_port = grant.lower().partition(":")
        if port != (int(only_port) if only_port else _PORTS[url.scheme]):
            continue
        if host == name or (name.startswith("*.") and host.endswith(name[1:])):
            return
    raise NotGrantedError(
        f"HTTP request to {url.geturl()[:256]} is not allowed", hint="Add its host to grants.http_hosts."
    )


def _follow(request: _Request, grants: tuple[str, ...], until: float, most_bytes: int) -> bytes:
    for _ in range(_MOST_REDIRECTS + 1):
        connection = _connection(request.url, until)
        try:
            connection.connect()
            sock = connection.sock  # the connection forgets it when the server closes after its answer
            response = _ask(connection, request)
            location = response.headers.get("location")
            if response.status not in _REDIRECTS or not location:
                return _answer(response, sock, until, most_bytes)
        except (OSError, ValueError) as error:  # http.client's own errors are both
            raise UnavailableError(f"the HTTP request failed: {error}") from None
        finally:
            connection.close()
        url = urlsplit(urljoin(request.url.geturl(), location))
        if url.scheme not in _PORTS:
            raise NotGrantedError(f"HTTP request to {url.geturl()[:256]} is not allowed")
        _require_granted(url, grants)
        headers = request.headers
        if url.netloc != request.url.netloc:  # credentials are for the host they were written for
            headers = {n: v for n, v in headers.items() if n.lower() not in ("authorization", "cookie")}
        if response.status in _KEEP_METHOD:
            request = _Request(request.method, url, headers, request.body)
        else:
            request = _Request("HEAD" if request.method == "HEAD" else "GET", url, headers, b"")
    raise UnavailableError(f"the HTTP request was redirected more than {_MOST_REDIRECTS} times")


def _connection(url: SplitResult, until: float) -> HTTPConnection:
    import http.client  # noqa: PLC0415 - few components make requests; the others do not pay for it

    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    return kind(url.hostname or "", url.port, timeout=_left(until))


def _ask(connection: HTTPConnection, request: _Request) -> HTTPResponse:
    target = (request.url.path or "/") + (f"?{request.url.query}" if request.url.query else "")
    headers = {"Accept-Encoding": "identity", "User-Agent": "edgehost", **request.headers}
    body = request.body or None
    try:
        connection.request(request.method, target, body=body, headers=headers)
        return connection.getresponse()
    except Exception as error:
        import http.client  # noqa: PLC0415

        if isinstance(error, http.client.HTTPException):
            raise OSError(str(error) or type(error).__name__) from None
        raise


def _answer(response: HTTPResponse, sock: socket, until: float, most_bytes: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        sock.settimeout(_left(until))  # a server that drips must not outlive the call
        part = response.read1(_CHUNK)
        if not part:
            break
        parts.append(part)
        size += len(part)
        if size > most_bytes:
            raise TooLargeError(f"HTTP response exceeds the maximum number of bytes: {most_bytes}")
    headers = {name.lower(): value for name, value in response.getheaders()}
    head = json.dumps({"status": response.status, "headers": headers}).encode()
    return b"".join((len(head).to_bytes(4, "little"), head, *parts))


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("timeout")
    return left
