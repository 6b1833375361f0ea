"""One HTTP/1.1 connection: h11 over asyncio's streams, every step bounded in time and size.

h11 is there with the API's server and weighs 0.4 MB, a fifth of ``http.client`` (CPython 3.11, x86-64), and a
coroutine can be cancelled where a thread in ``recv`` cannot.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import h11

from edgehost.domain.errors import RemoteUnreachableError, TooLargeError
from remotes.http_options import HttpOptions

#: What is read of a connection at a time.
READ_BYTES: Final = 65_536
#: A head beyond this is no static file's; h11's own bound is the same.
HEAD_MOST_BYTES: Final = 16_384
#: What is read of a body that nobody wants, so that the connection can be used again.
_WASTE_MOST_BYTES: Final = 65_536
_WANTED: Final = (200, 206)


class Origin(NamedTuple):
    """A server: credentials and connections belong to it and to no other."""

    scheme: str
    host: str
    tcp_port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        standard = self.tcp_port == (443 if self.scheme == "https" else 80)
        return f"{self.scheme}://{host}" + ("" if standard else f":{self.tcp_port}")

    @property
    def authority(self) -> str:
        """Host and port, as a Host header and CONNECT want them."""
        return str(self).partition("://")[2]


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """Status, headers with names in lower case, and the body of a 200 or 206; others' bodies are dropped."""

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)


class BrokenOffError(RemoteUnreachableError):
    """The answer began and did not end; what came of it is in ``answer``."""

    def __init__(self, message: str, answer: HttpAnswer) -> None:
        super().__init__(message, hint="It goes on from there with the next try.")
        self.answer = answer


class StaleError(Exception):
    """A kept connection was closed by the server before it answered: another one may serve."""


class HttpConnection:
    """Open with open_connection; one request at a time."""

    def __init__(
        self,
        origin: Origin,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        options: HttpOptions,
        *,
        through_proxy: bool,
    ) -> None:
        self.origin = origin
        self.used_at = 0.0  # by the loop's clock; when it was last given back
        self._reader, self._writer = reader, writer
        self._options = options
        self._absolute = through_proxy  # a proxy for plain HTTP wants the whole URL
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_MOST_BYTES)
        self._answered_before = False
        self._received = 0  # since the last request

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent on it."""
        return (
            self._h11.our_state is h11.IDLE
            and self._h11.their_state is h11.IDLE
            and not self._reader.at_eof()
            and not self._writer.is_closing()
        )

    def close(self) -> None:
        """Drop it at once; nobody waits for the other side's farewell."""
        with suppress(RuntimeError):  # the loop may be closed already
            self._writer.transport.abort()

    async def get(self, target: str, headers: dict[str, str], *, most_bytes: int) -> HttpAnswer:
        """The answer; afterwards the connection is reusable or to be closed.

        Raises:
            StaleError: it had been kept, and nobody is there any more.
            BrokenOffError: the body began and did not end in time.
            TooLargeError: the body is longer than ``most_bytes``.
            RemoteUnreachableError.
        """
        return await self.send("GET", target, headers, most_bytes=most_bytes)

    async def send(
        self, method: str, target: str, headers: dict[str, str], *, body: bytes = b"", most_bytes: int
    ) -> HttpAnswer:
        """As ``get``, by another method and with a body, which has at most some KiB.

        Raises:
            StaleError, BrokenOffError, TooLargeError, RemoteUnreachableError.
        """
        head = await self._head(method, target, headers, body)
        answer = HttpAnswer(head.status_code, _plain(head), b"")
        if head.status_code not in _WANTED:
            await self._waste(answer)
            return answer
        length = _announced_length(self.origin, answer)
        if length is not None and length > most_bytes:
            raise TooLargeError(f"{self.origin} announces {length} bytes; at most {most_bytes} are taken.")
        content = await self._body(answer, most_bytes=most_bytes, length=length)
        self._turn()
        return HttpAnswer(answer.status, answer.headers, content)

    async def _head(self, method: str, target: str, headers: dict[str, str], body: bytes) -> h11.Response:
        whole = f"{self.origin}{target}" if self._absolute else target
        kept, self._answered_before, self._received = self._answered_before, True, 0
        try:
            sent = [("Host", self.origin.authority), *headers.items()]
            if method != "GET":
                sent.append(("Content-Length", str(len(body))))
            request = h11.Request(method=method, target=whole, headers=sent)
            events = (request, *((h11.Data(data=body),) if body else ()), h11.EndOfMessage())
            content = b"".join(self._h11.send(event) or b"" for event in events)
            async with asyncio.timeout(self._options.answer_timeout_s):
                self._writer.write(content)
                await self._writer.drain()
                while not isinstance(event := await self._event(), h11.Response):
                    pass  # 1xx; whatever else is an error of the protocol, and raised
                return event
        except TimeoutError:
            raise RemoteUnreachableError(
                f"{self.origin} did not answer within {self._options.answer_timeout_s:g} s."
            ) from None
        except (OSError, h11.ProtocolError) as error:
            if kept and not self._received:
                raise StaleError from None
            if isinstance(error, OSError):
                raise RemoteUnreachableError(f"{self.origin} broke off: {why(error)}.") from None
            what = f"does not speak HTTP as it should: {error}" if self._received else "closed the connection"
            raise RemoteUnreachableError(f"{self.origin} {what}.") from None

    async def _body(self, answer: HttpAnswer, *, most_bytes: int, length: int | None) -> bytes:
        """The body; slower than the bound on the whole, or silent for too long, is broken off."""
        options = self._options
        budget_s = (
            options.answer_timeout_s
            + (most_bytes if length is None else length) / options.slowest_bytes_per_s
        )
        body = bytearray()
        try:
            async with asyncio.timeout(budget_s):
                while isinstance(event := await self._progress(), h11.Data):
                    body += event.data
                    if len(body) > most_bytes:
                        break
                if isinstance(event, h11.EndOfMessage):
                    return bytes(body)
                reason = "it was closed"
        except TimeoutError:
            reason = f"too slow: {len(body)} bytes came within the time for all of it"
        except h11.RemoteProtocolError as error:
            reason = f"{error}".rstrip(".")
        except OSError as error:
            reason = why(error)
        if len(body) > most_bytes:
            raise TooLargeError(f"{self.origin} sends more than {most_bytes} bytes.")
        broken = HttpAnswer(answer.status, answer.headers, bytes(body))
        raise BrokenOffError(f"{self.origin} broke off within an answer ({reason}).", broken)

    async def _progress(self) -> type[h11.NEED_DATA | h11.PAUSED] | h11.Event:
        async with asyncio.timeout(self._options.progress_timeout_s):
            return await self._event()

    async def _event(self) -> type[h11.PAUSED | h11.NEED_DATA] | h11.Event:
        while (event := self._h11.next_event()) is h11.NEED_DATA:
            content = await self._reader.read(READ_BYTES)
            self._received += len(content)
            self._h11.receive_data(content)
        return event

    async def _waste(self, answer: HttpAnswer) -> None:
        """Read what nobody wants, a little of it; then the connection is left to be closed."""
        try:
            wasted = await self._body(answer, most_bytes=_WASTE_MOST_BYTES, length=0)
        except (RemoteUnreachableError, TooLargeError):
            return
        if len(wasted) <= _WASTE_MOST_BYTES:
            self._turn()

    def _turn(self) -> None:
        """Ready for the next request, if both sides agree."""
        if self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE:
            self._h11.start_next_cycle()


def _plain(head: h11.Response) -> dict[str, str]:
    """Headers as text; of one that comes twice, the last."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}


def _announced_length(origin: Origin, answer: HttpAnswer) -> int | None:
    """How long the body says it is; None when it comes in pieces that say so themselves.

    Raises:
        RemoteUnreachableError: its end cannot be told from a cut, or it is compressed although nobody asked.
    """
    coding = answer.headers.get("content-encoding", "identity").strip().lower()
    if coding != "identity":
        raise RemoteUnreachableError(
            f"{origin} sends content encoded as '{coding[:40]}', which was not asked for.",
            hint="Switch compression off there: what is served must come as it is.",
        )
    if "chunked" in answer.headers.get("transfer-encoding", "").lower():
        return None
    if "content-length" not in answer.headers:
        raise RemoteUnreachableError(
            f"{origin} does not say how long its answer is, so that a cut would pass for the end.",
            hint="Let the server, or the proxy before it, send Content-Length or Transfer-Encoding: chunked.",
        )
    return int(answer.headers["content-length"])  # h11 has checked that it is a number


def why(error: OSError) -> str:
    """What went wrong, in the system's words."""
    return error.strerror or str(error) or type(error).__name__
