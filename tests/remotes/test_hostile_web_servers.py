"""Web servers that misbehave: each is named for what it does, and left in time."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random

import pytest

from edgehost.domain.errors import EdgehostError, RemoteUnreachableError, TooLargeError
from remotes.http_transport import open_http_transport
from remotes.transport import TIMESTAMP
from tests.remotes.scripted_web_server import Asked, Script, answer, open_scripted_server, saying
from tests.remotes.test_http_transport import CHUNK, CONTENT, NEVER, fetched
from tests.remotes.web_carriers import QUICK

#: Nobody waits for a test.
HASTY = dataclasses.replace(QUICK, answer_timeout_s=0.3, progress_timeout_s=0.2, slowest_bytes_per_s=100_000)


async def endless_body(_asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + bytes(65_536) + b"\r\n")
        await writer.drain()


async def endless_head(_asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 X\r\n")
    while True:
        writer.write(b"X-More: " + b"x" * 1000 + b"\r\n")
        await writer.drain()


async def endless_patience(_asked: Asked, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0)


async def silence(_asked: Asked, writer: asyncio.StreamWriter) -> None:
    del writer


async def one_byte_now_and_then(_asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 X\r\nContent-Length: 20000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


async def half_then_silence(_asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(answer(200, b"x" * 100, length=200))


_DEAF = "does not speak HTTP as it should"
HOSTILE: dict[str, tuple[Script, type[Exception], str]] = {
    "endless body": (endless_body, TooLargeError, "sends more than 32768 bytes"),
    "huge length": (saying(answer(200, length=10**9)), TooLargeError, "announces 1000000000 bytes"),
    "endless head": (endless_head, RemoteUnreachableError, _DEAF),
    "endless patience": (endless_patience, RemoteUnreachableError, "did not answer within"),
    "silence": (silence, RemoteUnreachableError, "did not answer within 0.3 s"),
    "drip": (one_byte_now_and_then, RemoteUnreachableError, "too slow"),
    "half": (half_then_silence, RemoteUnreachableError, "broke off within an answer"),
    "no HTTP": (saying(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), RemoteUnreachableError, _DEAF),
    "no length": (saying(b"HTTP/1.0 200 OK\r\n\r\nwhat"), RemoteUnreachableError, "how long its answer is"),
    "gzip": (
        saying(answer(200, b"\x1f\x8b" + bytes(100), "Content-Encoding: gzip")),
        RemoteUnreachableError,
        "encoded as 'gzip'",
    ),
    "two lengths": (
        saying(b"HTTP/1.1 200 X\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
        RemoteUnreachableError,
        _DEAF,
    ),
    "unasked 304": (saying(answer(304)), RemoteUnreachableError, "304"),
    "unasked 206": (saying(answer(206, b"x", "Content-Range: bytes 0-0/1")), RemoteUnreachableError, "fit"),
    "teapot": (saying(answer(418)), RemoteUnreachableError, "418"),
}


async def test_what_a_server_must_send_is_said_without_guessing_what_it_serves() -> None:
    for name, hint in (("no length", "Content-Length or Transfer-Encoding"), ("gzip", "compression off")):
        with pytest.raises(RemoteUnreachableError) as caught:
            await fetched(HOSTILE[name][0], options=HASTY)
        assert hint in caught.value.hint
        assert "repository" not in caught.value.hint


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_server_that_misbehaves_is_named_and_left(name: str) -> None:
    script, error, words = HOSTILE[name]
    with pytest.raises(error, match=words):
        await fetched(script, options=HASTY)


async def test_no_answer_however_mangled_is_anything_but_a_plain_error() -> None:
    source = random.Random(11)  # noqa: S311 - must not be secret but the same
    whole = answer(206, CONTENT[:500], 'ETag: "v1"', "Content-Range: bytes 0-499/500", "Retry-After: 1")
    moved = answer(302, b"", "Location: http://127.0.0.1:9/elsewhere", "ETag: \xe9")

    async def mangled(_asked: Asked, writer: asyncio.StreamWriter) -> None:
        content = bytearray(source.choice((whole, moved)))
        for _ in range(source.randrange(1, 6)):
            content[source.randrange(min(len(content), 200))] = source.randrange(256)
        writer.write(content[: source.randrange(1, len(content))] if source.random() < 0.3 else content)
        await writer.drain()
        raise ConnectionError

    async with open_scripted_server(mangled) as server:
        for _ in range(300):
            async with open_http_transport(server.url, HASTY, look_s=NEVER) as transport:
                with contextlib.suppress(EdgehostError):
                    await transport.fetch(source.choice((CHUNK, TIMESTAMP)), most_bytes=1000)


@pytest.mark.parametrize(
    "location",
    ["http://[", "http://a..b/", f"http://{'x' * 70}.example/", "//", "http://127.0.0.1:99999/", "\xff"],
)
async def test_a_redirect_to_nowhere_is_a_plain_error(location: str) -> None:
    moved = f"HTTP/1.1 302 X\r\nContent-Length: 0\r\nLocation: {location}\r\n\r\n".encode("latin-1")
    with pytest.raises(RemoteUnreachableError):
        await fetched(saying(moved), options=HASTY)
