"""Talks to the running host: HTTP over its Unix socket, which only the host's user can open."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote, urlencode

from edgehost.adapters.storage.spare_socket import spare_sockets
from edgehost.domain import errors
from edgehost.domain.errors import EdgehostError, NotFoundError, RefusedError, TooLargeError, UnavailableError

#: A page of 1000 records, or the answer of a call, is far below; more is not from our host.
_MOST_ANSWER_BYTES: Final = 64 * 1024 * 1024
#: Of a long answer at a time.
_PART_BYTES: Final = 64 * 1024
#: One event holds one record.
_MOST_EVENT_BYTES: Final = 4 * 1024 * 1024
#: The host answers within a call's deadline, which it caps itself; this is only for a host that hangs.
DEFAULT_TIMEOUT_S: Final = 60.0
_SERVER_TROUBLE: Final = 500
_UNAVAILABLE: Final = frozenset({429, 502, 503})


#: Pairs where a name may stand twice.
Query = Mapping[str, str | int] | Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer."""

    status: int
    content_type: str
    body: bytes

    def json(self) -> Any:  # noqa: ANN401 - whatever the route returns
        """The body as JSON; None when it is empty."""
        return json.loads(self.body) if self.body else None


@dataclass(frozen=True, slots=True)
class StreamedEvent:
    """One server-sent event."""

    type: str
    id: str
    data: str


class HostClient:
    """One request at a time, each on a connection of its own."""

    def __init__(self, unix_socket: Path, *, root: str = "/api") -> None:
        self._unix_socket = unix_socket
        self.root = root

    def control(
        self,
        method: str,
        what: str,
        *,
        query: Query | None = None,
        body: Mapping[str, Any] | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> Any:  # noqa: ANN401 - whatever the route returns
        """What the host says of itself, or did, as JSON; errors as for request."""
        answer = self.request(method, f"{self.root}/host/{what}", query=query, body=body, timeout_s=timeout_s)
        return answer.json()

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Mapping[str, Any] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> Answer:
        """The host's answer to this request; ``body`` is sent as JSON, ``content`` as it is.

        Raises:
            UnavailableError: no host answers at the socket.
            EdgehostError: the host's own refusal, as the error that its problem document names.
        """
        sent = dict(headers or {})
        if body is not None:
            content = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        with _Connection(self._unix_socket, timeout_s) as connection:
            response = connection.send_request(method, _target(path, query), content, sent)
            answer = _answer(response)
        if answer.status >= 400:  # noqa: PLR2004 - where HTTP's refusals begin
            raise _problem(answer)
        return answer

    @contextmanager
    def events(self, path: str, *, query: Query | None = None) -> Iterator[Iterator[StreamedEvent]]:
        """Events from now on, as they come, until the host ends the stream.

        Raises:
            UnavailableError, EdgehostError: as for request.
        """
        with _Connection(self._unix_socket, DEFAULT_TIMEOUT_S) as connection:
            response = connection.send_request(
                "GET", _target(path, query), None, {"Accept": "text/event-stream"}
            )
            if response.status >= 400:  # noqa: PLR2004 - where HTTP's refusals begin
                raise _problem(_answer(response))
            yield read_events(response)

    @contextmanager
    def download(
        self, path: str, *, query: Query | None = None, accept: str = "*/*"
    ) -> Iterator[Iterator[bytes]]:
        """A long answer in parts, as they come.

        Raises:
            UnavailableError, EdgehostError: as for request; UnavailableError too when the host breaks off.
        """
        with _Connection(self._unix_socket, DEFAULT_TIMEOUT_S) as connection:
            response = connection.send_request("GET", _target(path, query), None, {"Accept": accept})
            if response.status >= 400:  # noqa: PLR2004 - where HTTP's refusals begin
                raise _problem(_answer(response))
            yield _parts(response)


def _parts(response: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while part := response.read1(_PART_BYTES):
            yield part
    except (OSError, http.client.HTTPException) as problem:
        raise UnavailableError(
            f"The host broke off within its answer: {type(problem).__name__}.", hint="Its log says why."
        ) from None


def read_events(lines: http.client.HTTPResponse) -> Iterator[StreamedEvent]:
    """The events in a ``text/event-stream`` (WHATWG HTML, 9.2.6)."""
    kind, last_id, length = "", "", 0
    data: list[str] = []
    while line := lines.readline(_MOST_EVENT_BYTES + 1):
        length += len(line)
        if length > _MOST_EVENT_BYTES:
            raise TooLargeError(f"An event has more than {_MOST_EVENT_BYTES} bytes.", hint="Filter by model.")
        name, _, value = line.decode("utf-8", "replace").rstrip("\r\n").partition(":")
        value = value.removeprefix(" ")
        if not name and not value:
            if data:
                yield StreamedEvent(kind, last_id, "\n".join(data))
            kind, data, length = "", [], 0
        elif name == "event":
            kind = value
        elif name == "id":
            last_id = value
        elif name == "data":
            data.append(value)
        elif not name:  # a comment keeps the connection alive
            length = sum(map(len, data))


class _Connection(http.client.HTTPConnection):
    """HTTP/1.1 over a Unix socket."""

    def __init__(self, unix_socket: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._unix_socket = unix_socket

    def connect(self) -> None:
        """Open the host's socket, or the one that it has in memory when that could not be made."""
        try:
            self._connect(self._unix_socket)
        except (FileNotFoundError, ConnectionRefusedError):
            for spare in spare_sockets(self._unix_socket):
                with suppress(OSError):
                    self._connect(spare)
                    return
            raise

    def _connect(self, path: Path) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(self.timeout)
            connection.connect(str(path))
        except BaseException:
            connection.close()
            raise
        self.sock = connection

    def send_request(
        self, method: str, target: str, content: bytes | None, headers: Mapping[str, str]
    ) -> http.client.HTTPResponse:
        """Send it, and wait for the head of the answer."""
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # it may answer before it has read all
                self.request(method, target, content, dict(headers))
            return self.getresponse()
        except TimeoutError:
            raise
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            raise UnavailableError(
                f"No host runs here: nobody answers at {self._unix_socket}.",
                hint="Start it with 'edgehost run'.",
            ) from None
        except PermissionError:
            raise RefusedError(
                f"The host's socket {self._unix_socket} is another user's.",
                hint="Run this as the host's user.",
            ) from None
        except (OSError, http.client.HTTPException) as problem:
            raise UnavailableError(
                f"The host at {self._unix_socket} broke off: {type(problem).__name__}.",
                hint="Try again; 'edgehost doctor' says more.",
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _target(path: str, query: Query | None) -> str:
    target = quote(path, safe="/~:@!$&'()*+,;=%?")
    return f"{target}{'&' if '?' in target else '?'}{urlencode(query)}" if query else target


def _answer(response: http.client.HTTPResponse) -> Answer:
    body = _read_bounded(response, _MOST_ANSWER_BYTES)
    return Answer(response.status, response.headers.get_content_type(), body)


def _read_bounded(response: http.client.HTTPResponse, most_bytes: int) -> bytes:
    content = response.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise TooLargeError(f"The host's answer has more than {most_bytes} bytes.", hint="Ask for less.")
    return content


def _problem(answer: Answer) -> EdgehostError:
    """The problem document (RFC 9457) as the error that it was on the host's side."""
    try:
        document = answer.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        document = {}
    message = str(document.get("detail") or document.get("title") or f"The host answered {answer.status}.")
    hint = str(document.get("hint") or "")
    error = error_named(str(document.get("code")), message, hint)
    if type(error) is not EdgehostError:
        return error
    if answer.status == 404:  # noqa: PLR2004 - Not Found
        return NotFoundError(message, hint=hint)
    if answer.status in _UNAVAILABLE:
        return UnavailableError(message, hint=hint)
    if answer.status >= _SERVER_TROUBLE:
        return EdgehostError(message, hint=hint)
    return RefusedError(message, hint=hint)


def error_named(code: str, message: str, hint: str) -> EdgehostError:
    """The error that a stable word stands for; of the base class when there is none."""
    known = {
        kind.code: kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, EdgehostError)
    }
    return known.get(code, EdgehostError)(message, hint=hint)
