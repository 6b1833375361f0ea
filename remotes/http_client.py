"""GET over kept connections, redirects followed, credentials sent to whom they are meant for."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote, urljoin, urlsplit

from edgehost.domain.errors import RemoteUnreachableError
from remotes.certificate_connections import shows
from remotes.http_connection import HttpAnswer, HttpConnection, Origin, StaleError
from remotes.http_connector import open_connection
from remotes.http_options import HttpOptions

_PORTS: Final = {"http": 80, "https": 443}
_MOST_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_UNAUTHORIZED: Final = 401
#: A connection that was idle for longer may have been forgotten by a router on the way, without a word to us.
_IDLE_MOST_S: Final = 30.0
_URL_MOST_CHARACTERS: Final = 4096


class HttpClient:
    """One server's files, and those it sends us on to. Open with open_http_client."""

    def __init__(self, home: str, options: HttpOptions) -> None:
        self._home = read_origin(home)
        self._options = options
        self._idle: list[HttpConnection] = []
        self._at_once = asyncio.Semaphore(options.connections)
        self._tls: dict[bool, ssl.SSLContext] = {}  # with our certificate, and without
        self._certificate_mark: object = None  # which file that was
        self._authorization: str | None = None
        self.requests = 0  # for those who count what a transfer costs

    async def get(self, url: str, headers: Mapping[str, str], *, most_bytes: int) -> HttpAnswer:
        """The answer of the first server that does not send us elsewhere.

        Raises:
            BrokenOffError: the body began and did not end; what came is with it.
            TooLargeError: it is longer than ``most_bytes``.
            RemoteUnreachableError: nobody answers, or we were sent in a circle or to where nothing is encrypted.
            InvalidConfigError: a file with a secret or a certificate cannot be used.
        """
        asked_again = False
        async with self._at_once:
            for _ in range(_MOST_REDIRECTS + 1):
                answer = await self._ask(url, headers, most_bytes=most_bytes)
                if answer.status == _UNAUTHORIZED and not asked_again and await self._new_secret():
                    asked_again = True
                    answer = await self._ask(url, headers, most_bytes=most_bytes)
                if answer.status not in _REDIRECTS or "location" not in answer.headers:
                    return answer
                url = _redirected(url, answer.headers["location"])
        raise RemoteUnreachableError(
            f"{self._home} redirects more than {_MOST_REDIRECTS} times.", hint="Give the address it leads to."
        )

    async def _ask(self, url: str, headers: Mapping[str, str], *, most_bytes: int) -> HttpAnswer:
        origin = read_origin(url)
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        sent = {"User-Agent": "edgehost", "Accept-Encoding": "identity", **headers}
        if origin == self._home and self._options.has_credentials:
            if self._authorization is None:
                self._authorization = await asyncio.to_thread(self._options.authorization)
            sent["Authorization"] = self._authorization or ""
        while True:
            connection = self._kept(origin) or await open_connection(
                origin, self._options, await self._tls_context(origin)
            )
            self.requests += 1
            try:
                answer = await connection.get(target, sent, most_bytes=most_bytes)
            except StaleError:
                connection.close()
                continue  # each turn uses one kept connection up
            except BaseException:
                connection.close()
                raise
            self._give_back(connection)
            return answer

    async def _new_secret(self) -> bool:
        """Whether the file holds another secret than the one that was refused."""
        if not self._options.has_credentials:
            return False
        before, self._authorization = (
            self._authorization,
            await asyncio.to_thread(self._options.authorization),
        )
        return self._authorization != before

    async def _tls_context(self, origin: Origin) -> ssl.SSLContext | None:
        """Made when it is first needed: the system's authorities take a megabyte."""
        if origin.scheme != "https":
            return None
        at_home = origin == self._home and self._options.cert_file is not None
        if at_home:
            mark = await asyncio.to_thread(_mark_of, self._options.cert_file, self._options.key_file)
            if mark != self._certificate_mark:
                self._tls.pop(True, None)
                self._certificate_mark = mark
        if at_home not in self._tls:
            self._tls[at_home] = await asyncio.to_thread(self._options.tls_context, with_certificate=at_home)
        return self._tls[at_home]

    def _kept(self, origin: Origin) -> HttpConnection | None:
        now = asyncio.get_running_loop().time()
        for connection in reversed(self._idle):
            if connection.origin != origin:
                continue
            self._idle.remove(connection)
            if connection.reusable and now - connection.used_at < _IDLE_MOST_S:
                return connection
            connection.close()
        return None

    def _give_back(self, connection: HttpConnection) -> None:
        if not connection.reusable:
            connection.close()
            return
        connection.used_at = asyncio.get_running_loop().time()
        self._idle.append(connection)
        while len(self._idle) > self._options.connections:
            self._idle.pop(0).close()

    def close(self) -> None:
        """Drop the kept connections."""
        while self._idle:
            self._idle.pop().close()


def _mark_of(*files: Path | None) -> tuple[object, ...]:
    """Another one when a file was replaced, or the link that leads to it. Blocking."""
    marks: list[object] = []
    for file in files:
        try:
            seen = None if file is None else file.stat()
        except OSError:
            seen = None
        marks.append(seen and (seen.st_dev, seen.st_ino, seen.st_mtime_ns, seen.st_size))
    return tuple(marks)


def read_origin(url: str) -> Origin:
    """The server that a URL names.

    Raises:
        RemoteUnreachableError: it names none that we could ask.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise RemoteUnreachableError(
            f"{url[:200]!r} is no address of a server.", hint="It must start with http:// or https://."
        )
    return Origin(parts.scheme, parts.hostname, port or _PORTS[parts.scheme])


def _redirected(url: str, location: str) -> str:
    """Where a server sends us; what is not ASCII is escaped as browsers do it.

    Raises:
        RemoteUnreachableError: it would have us drop the encryption.
    """
    escaped = quote(location[:_URL_MOST_CHARACTERS], safe="%/:=&?~#+!$,;'@()*[]")
    try:
        there = urljoin(url, escaped).partition("#")[0]
    except ValueError:
        there = escaped  # no address, and refused as such
    if read_origin(url).scheme == "https" and read_origin(there).scheme != "https":
        raise RemoteUnreachableError(
            f"{read_origin(url)} redirects to {there[:200]}, where nothing is encrypted.",
            hint="Give the address that serves the files over https.",
        )
    return there


@asynccontextmanager
async def open_http_client(home: str, options: HttpOptions) -> AsyncIterator[HttpClient]:
    """A client whose credentials are for the server of the URL ``home``."""
    client = HttpClient(home, options)
    try:
        with shows(options.cert_file, client.close):
            yield client
    finally:
        client.close()
