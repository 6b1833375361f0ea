"""HTTP requests to granted hosts: ``http.client`` in threads, bounded in time and size, ended when given up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
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
_SHUT_BOTH: Final = 2  # socket.SHUT_RDWR
_TOKEN: Final = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


@dataclass(frozen=True, slots=True)
class GrantedRequest:
    """A request that was read and found to be one; ``headers`` may hold secrets."""

    method: str
    url: SplitResult
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What the last server said; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


def make_request(method: object, url: object, headers: object, body: bytes) -> GrantedRequest:
    """A request of its parts.

    Raises:
        InvalidRecordError: they make no request.
    """
    try:
        parsed = urlsplit(url if isinstance(url, str) else "")
        _ = parsed.port  # raises for a port that is no number
    except ValueError:
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
    return GrantedRequest(method, parsed, headers, body)


def require_granted(url: SplitResult, grants: tuple[str, ...]) -> None:
    """Check the host and TCP port of a request.

    Raises:
        NotGrantedError: it is none of those that were granted.
    """
    host = (url.hostname or "").lower().rstrip(".")
    port = url.port or _PORTS[url.scheme]
    for grant in grants:
        name, _, only_port = grant.lower().partition(":")
        if port != (int(only_port) if only_port else _PORTS[url.scheme]):
            continue
        if host == name or (name.startswith("*.") and host.endswith(name[1:])):
            return
    raise NotGrantedError(
        f"HTTP request to {url.geturl()[:256]} is not allowed", hint="Add its host to the granted hosts."
    )


async def fetch_granted(
    request: GrantedRequest,
    *,
    granted: tuple[str, ...],
    timeout_s: float,
    most_bytes: int,
    threads: ThreadPoolExecutor,
) -> HttpAnswer:
    """The answer, redirects followed; a cancelled request drops its connection at once.

    Raises:
        NotGrantedError: the host, or one that it redirects to, was not granted.
        TooLargeError: the answer is longer than ``most_bytes``.
        UnavailableError: nobody answers.
    """
    require_granted(request.url, granted)
    ride = _Ride(granted, time.monotonic() + timeout_s, most_bytes)
    work = asyncio.get_running_loop().run_in_executor(threads, ride.follow, request)
    try:
        return await work
    except asyncio.CancelledError:
        ride.give_up()
        raise


class _Ride:
    """One request on its way through a thread."""

    def __init__(self, granted: tuple[str, ...], until: float, most_bytes: int) -> None:
        self._granted, self._until, self._most_bytes = granted, until, most_bytes
        self._socket: socket | None = None
        self._given_up = False

    def give_up(self) -> None:
        """End it from another thread: what waits for the socket wakes up."""
        self._given_up = True
        sock = self._socket
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(_SHUT_BOTH)

    def follow(self, request: GrantedRequest) -> HttpAnswer:
        """The answer of the first server that does not send us elsewhere."""
        for _ in range(_MOST_REDIRECTS + 1):
            connection = self._connection(request.url)
            sock = response = None
            try:
                connection.connect()
                sock = connection.sock  # the connection forgets it when the server closes after its answer
                self._socket = sock
                response = _ask(connection, request)
                location = response.headers.get("location")
                if response.status not in _REDIRECTS or not location:
                    return self._answer(response, sock)
            except (OSError, ValueError) as error:  # http.client's own errors are both
                raise UnavailableError(f"the HTTP request failed: {error}") from None
            finally:
                connection.close()
                self._close(response, sock)
            request = self._redirected(request, response.status, location)
        raise UnavailableError(f"the HTTP request was redirected more than {_MOST_REDIRECTS} times")

    def _close(self, response: HTTPResponse | None, sock: socket | None) -> None:
        """Both, since an answer that is not read to its end keeps the socket open."""
        self._socket = None
        if response is not None:
            response.close()
        if sock is not None:
            sock.close()

    def _connection(self, url: SplitResult) -> HTTPConnection:
        import http.client  # noqa: PLC0415 - few components make requests; the others do not pay for it

        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        try:
            return kind(url.hostname or "", url.port, timeout=self._left())
        except TimeoutError as error:
            raise UnavailableError(f"the HTTP request failed: {error}") from None

    def _redirected(self, request: GrantedRequest, status: int, location: str) -> GrantedRequest:
        url = urlsplit(urljoin(request.url.geturl(), location))
        if url.scheme not in _PORTS:
            raise NotGrantedError(f"HTTP request to {url.geturl()[:256]} is not allowed")
        require_granted(url, self._granted)
        headers = request.headers
        if url.netloc != request.url.netloc:  # credentials are for the host they were written for
            headers = {n: v for n, v in headers.items() if n.lower() not in ("authorization", "cookie")}
        if status in _KEEP_METHOD:
            return replace(request, url=url, headers=headers)
        return GrantedRequest("HEAD" if request.method == "HEAD" else "GET", url, headers)

    def _answer(self, response: HTTPResponse, sock: socket) -> HttpAnswer:
        parts: list[bytes] = []
        size = 0
        while True:
            sock.settimeout(self._left())  # a server that drips must not outlive the call
            part = response.read1(_CHUNK)
            if not part:
                break
            parts.append(part)
            size += len(part)
            if size > self._most_bytes:
                raise TooLargeError(f"HTTP response exceeds the maximum number of bytes: {self._most_bytes}")
        headers = {name.lower(): value for name, value in response.getheaders()}
        return HttpAnswer(response.status, headers, b"".join(parts))

    def _left(self) -> float:
        left = self._until - time.monotonic()
        if left <= 0 or self._given_up:
            raise TimeoutError("timeout")
        return left


def _ask(connection: HTTPConnection, request: GrantedRequest) -> HTTPResponse:
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
