"""HTTP transport: what it saves, what it survives, and what it says of servers that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import time
from pathlib import Path

import pytest

from edgehost.domain.errors import InvalidConfigError, RemoteUnreachableError
from remotes.http_options import HttpOptions
from remotes.http_transport import open_http_transport
from remotes.transport import CHUNK_BYTES, TIMESTAMP
from tests.remotes.scripted_web_server import Asked, Script, answer, open_scripted_server, saying
from tests.remotes.web_carriers import QUICK
from tests.remotes.web_server import open_nginx

CHUNK = "chunk/" + "ab" * 32
CONTENT = bytes(range(256)) * (CHUNK_BYTES // 256)
#: Nothing looks by itself.
NEVER = 3600.0


async def fetched(script: Script, path: str = CHUNK, options: HttpOptions = QUICK) -> bytes | None:
    async with (
        open_scripted_server(script) as server,
        open_http_transport(server.url, options, look_s=NEVER) as transport,
    ):
        return await transport.fetch(path, most_bytes=CHUNK_BYTES)


async def test_an_unchanged_timestamp_costs_no_body(tmp_path: Path) -> None:
    place = tmp_path / "site"
    (place / "metadata").mkdir(parents=True)
    (place / TIMESTAMP).write_bytes(b"{}")
    old = time.time() - 3600  # noqa: TID251 - the file's own date
    os.utime(place / TIMESTAMP, (old, old))
    async with open_nginx(place) as server, open_http_transport(server.url, QUICK, look_s=NEVER) as transport:
        for _ in range(3):
            assert await transport.fetch(TIMESTAMP, most_bytes=10) == b"{}"
        asked = [line.split()[2:4] for line in await server.logged(3)]
        assert asked == [["200", "2"], ["304", "0"], ["304", "0"]]
        (place / TIMESTAMP).write_bytes(b"[]")
        assert await transport.fetch(TIMESTAMP, most_bytes=10) == b"[]"


async def test_a_timestamp_that_changes_within_its_servers_second_is_seen(tmp_path: Path) -> None:
    place = tmp_path / "site"
    (place / "metadata").mkdir(parents=True)
    async with open_nginx(place) as server, open_http_transport(server.url, QUICK, look_s=NEVER) as transport:
        for content in (b"one", b"two", b"six"):  # one size, and mostly one second: one ETag of nginx
            (place / TIMESTAMP).write_bytes(content)
            assert await transport.fetch(TIMESTAMP, most_bytes=10) == content


async def test_many_files_come_over_few_connections() -> None:
    async with (
        open_scripted_server(saying(answer(200, b"x"))) as server,
        open_http_transport(server.url, QUICK, look_s=NEVER) as transport,
    ):
        async with asyncio.TaskGroup() as tasks:
            for number in range(20):
                tasks.create_task(transport.fetch(f"chunk/{number:064x}", most_bytes=10))
        assert len(server.asked) == 20
        assert server.connections <= QUICK.connections


async def test_a_missing_file_leaves_the_connection_open_and_is_no_outage() -> None:
    async with (
        open_scripted_server(saying(answer(404, b"<html>none</html>"), answer(200, b"x"))) as server,
        open_http_transport(server.url, QUICK, look_s=NEVER) as transport,
    ):
        assert await transport.fetch("metadata/2.root.json", most_bytes=10) is None
        assert await transport.fetch(CHUNK, most_bytes=10) == b"x"
        assert server.connections == 1
        assert transport.connected


async def test_the_link_is_lost_with_the_timestamp_and_not_with_one_file() -> None:
    state = {TIMESTAMP: 200, CHUNK: 500}

    async def script(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(state[asked.path.removeprefix("/")], b"x"))

    async with (
        open_scripted_server(script) as server,
        open_http_transport(server.url, QUICK, look_s=NEVER) as transport,
    ):
        links = []
        for path, status in ((CHUNK, 500), (TIMESTAMP, 200), (TIMESTAMP, 500), (TIMESTAMP, 200)):
            state[path] = status
            with contextlib.suppress(RemoteUnreachableError):
                await transport.fetch(path, most_bytes=10)
            links.append(transport.connected)
        assert links == [True, True, False, True]


async def test_after_a_cut_only_the_rest_is_fetched() -> None:
    sent: list[int] = []

    async def cut_twice(asked: Asked, writer: asyncio.StreamWriter) -> None:
        wanted = asked.headers.get("range", "bytes=0-")
        start = int(wanted.removeprefix("bytes=").rstrip("-"))
        if start:
            assert asked.headers["if-range"] == '"v1"'
            ends = f"Content-Range: bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
            whole = answer(206, CONTENT[start:], 'ETag: "v1"', ends)
        else:
            whole = answer(200, CONTENT, 'ETag: "v1"')
        if asked.number < 3:
            whole = whole[: len(whole) - len(CONTENT[start:]) + 10_000]
        writer.write(whole)
        await writer.drain()
        sent.append(min(10_000 if asked.number < 3 else len(CONTENT), len(CONTENT) - start))
        if asked.number < 3:
            raise ConnectionError

    assert await fetched(cut_twice) == CONTENT
    assert sum(sent) == len(CONTENT)


async def test_what_broke_off_is_gone_on_with_by_the_next_fetch_too() -> None:
    async def dead_after_a_while(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if asked.number == 1:
            writer.write(answer(200, CONTENT[:20_000], 'ETag: "v1"', length=len(CONTENT)))
        elif asked.number == 2:
            raise ConnectionError
        else:
            assert asked.headers["range"] == "bytes=20000-"
            writer.write(
                answer(206, CONTENT[20_000:], 'ETag: "v1"', "Content-Range: bytes 20000-32767/32768")
            )
        await writer.drain()
        if asked.number == 1:
            raise ConnectionError

    async with (
        open_scripted_server(dead_after_a_while) as server,
        open_http_transport(server.url, QUICK, look_s=NEVER) as transport,
    ):
        with pytest.raises(RemoteUnreachableError):
            await transport.fetch(CHUNK, most_bytes=CHUNK_BYTES)
        assert await transport.fetch(CHUNK, most_bytes=CHUNK_BYTES) == CONTENT


@pytest.mark.parametrize(
    "second",
    [
        answer(200, CONTENT, 'ETag: "v2"'),
        answer(416, b"", "Content-Range: bytes */32768"),
        answer(206, CONTENT[5:], 'ETag: "v1"', "Content-Range: bytes 5-32767/32768"),
        answer(206, CONTENT[20_000:], 'ETag: "v1"', "Content-Range: nonsense"),
        answer(206, CONTENT[20_000:], 'ETag: "v1"', "Content-Range: bytes 20000-32767/99999"),
    ],
    ids=["changed", "no such range", "another range", "unreadable range", "another length"],
)
async def test_a_part_that_does_not_fit_makes_it_begin_again(second: bytes) -> None:
    async def script(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if asked.number == 1:
            writer.write(answer(200, CONTENT[:20_000], 'ETag: "v1"', length=len(CONTENT)))
            await writer.drain()
            raise ConnectionError
        writer.write(second if asked.number == 2 else answer(200, CONTENT))

    assert await fetched(script) == CONTENT


async def test_a_kept_connection_that_died_is_replaced_without_a_word() -> None:
    async def die_after_the_first(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if asked.connection == 1 and asked.number == 2:
            raise ConnectionError
        writer.write(answer(200, b"x"))

    async with (
        open_scripted_server(die_after_the_first) as server,
        open_http_transport(server.url, QUICK, look_s=NEVER) as transport,
    ):
        assert await transport.fetch(CHUNK, most_bytes=10) == b"x"
        assert await transport.fetch(CHUNK, most_bytes=10) == b"x"
        assert server.connections == 2


async def test_compression_is_not_asked_for_and_nothing_but_a_get_is() -> None:
    async with (
        open_scripted_server(saying(answer(200, b"x"))) as server,
        open_http_transport(f"{server.url}/deep/er/", QUICK, look_s=NEVER) as transport,
    ):
        await transport.fetch(CHUNK, most_bytes=10)
    assert server.asked[0].line == f"GET /deep/er/{CHUNK} HTTP/1.1"
    assert server.asked[0].headers["accept-encoding"] == "identity"


async def test_an_address_where_nobody_is_keeps_no_host_from_starting() -> None:
    async with open_http_transport("http://127.0.0.1:9", QUICK, look_s=NEVER) as transport:
        assert transport.connected
        links = transport.link_changes()
        with pytest.raises(RemoteUnreachableError, match="does not answer"):
            await transport.fetch(TIMESTAMP, most_bytes=10)
        await anext(links)
        assert not transport.connected


@pytest.mark.parametrize(
    ("refusal", "least_s"),
    [
        (answer(429, b"", "Retry-After: 120"), 119),
        (answer(503, b"", "Retry-After: 999999999"), 3599),
        (answer(429), 59),
        (
            answer(
                503,
                b"",
                "Date: Thu, 01 Jan 1970 00:00:10 GMT",
                "Retry-After: Thu, 01 Jan 1970 00:02:10 GMT",
            ),
            119,
        ),
    ],
)
async def test_a_server_that_wants_rest_gets_it(refusal: bytes, least_s: float) -> None:
    async with (
        open_scripted_server(saying(refusal, answer(200, b"x"))) as server,
        open_http_transport(server.url, QUICK, look_s=NEVER) as transport,
    ):
        with pytest.raises(RemoteUnreachableError, match="left alone"):
            await transport.fetch(CHUNK, most_bytes=10)
        with pytest.raises(RemoteUnreachableError, match=r"left alone for another (\d+) s") as told:
            await transport.fetch(CHUNK, most_bytes=10)
        assert int(told.value.message.rsplit(" ", 2)[1]) >= least_s
        assert len(server.asked) == 1


async def test_a_503_without_a_word_is_asked_again() -> None:
    async with (
        open_scripted_server(saying(answer(503), answer(200, b"x"))) as server,
        open_http_transport(server.url, QUICK, look_s=NEVER) as transport,
    ):
        with pytest.raises(RemoteUnreachableError, match="503"):
            await transport.fetch(CHUNK, most_bytes=10)
        assert await transport.fetch(CHUNK, most_bytes=10) == b"x"


async def test_redirects_are_followed_but_not_in_a_circle() -> None:
    async def elsewhere(asked: Asked, writer: asyncio.StreamWriter) -> None:
        moved = answer(302, b"", f"Location: /moved{asked.path}")
        writer.write(answer(200, b"x") if asked.path.startswith("/moved/moved") else moved)

    assert await fetched(elsewhere) == b"x"
    with pytest.raises(RemoteUnreachableError, match="redirects more than 5 times"):
        await fetched(saying(answer(301, b"", "Location: /round")))
    with pytest.raises(RemoteUnreachableError, match="no address"):
        await fetched(saying(answer(301, b"", "Location: file:///etc/passwd")))


async def test_a_token_goes_to_its_own_server_and_to_no_other(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    options = dataclasses.replace(QUICK, token_file=token)
    async with open_scripted_server(saying(answer(200, b"x"))) as other:

        async def send_away(asked: Asked, writer: asyncio.StreamWriter) -> None:
            writer.write(answer(307, b"", f"Location: {other.url}{asked.path}"))

        async with (
            open_scripted_server(send_away) as server,
            open_http_transport(server.url, options, look_s=NEVER) as transport,
        ):
            assert await transport.fetch(CHUNK, most_bytes=10) == b"x"
            assert server.asked[0].headers["authorization"] == "bearer s3cret"
            assert "authorization" not in other.asked[0].headers
            assert "s3cret" not in repr(transport) + transport.address


async def test_a_token_that_was_changed_is_read_again_when_the_old_one_is_refused(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old")

    async def only_new(asked: Asked, writer: asyncio.StreamWriter) -> None:
        right = asked.headers.get("authorization") == "bearer new"
        writer.write(answer(200, b"x") if right else answer(401))

    async with (
        open_scripted_server(only_new) as server,
        open_http_transport(
            server.url, dataclasses.replace(QUICK, token_file=token), look_s=NEVER
        ) as transport,
    ):
        with pytest.raises(RemoteUnreachableError, match=r"refuses .*\(401\).* Check token_file"):
            await transport.fetch(CHUNK, most_bytes=10)
        token.write_text("new")
        assert await transport.fetch(CHUNK, most_bytes=10) == b"x"
        assert len(server.asked) == 3


async def test_a_name_and_a_password_are_sent_as_nginx_wants_them(tmp_path: Path) -> None:
    place = tmp_path / "site"
    (place / "chunk").mkdir(parents=True)
    (place / CHUNK).write_bytes(b"x")
    (tmp_path / "htpasswd").write_text("reader:{PLAIN}pass word\n")
    (tmp_path / "password").write_text("pass word\n")
    location = f'auth_basic "x"; auth_basic_user_file {tmp_path}/htpasswd;'
    right = dataclasses.replace(QUICK, username="reader", password_file=tmp_path / "password")
    async with open_nginx(place, location=location) as server:
        async with open_http_transport(server.url, right, look_s=NEVER) as transport:
            assert await transport.fetch(CHUNK, most_bytes=10) == b"x"
        async with open_http_transport(server.url, QUICK, look_s=NEVER) as transport:
            with pytest.raises(RemoteUnreachableError, match="401"):
                await transport.fetch(CHUNK, most_bytes=10)


@pytest.mark.parametrize("content", [None, b"", b"\n", "snow☃".encode(), b"a\x01b", b"x" * 10_000])
async def test_a_token_file_that_holds_none_says_so(tmp_path: Path, content: bytes | None) -> None:
    token = tmp_path / "token"
    if content is not None:
        token.write_bytes(content)
    with pytest.raises(InvalidConfigError, match="token"):
        await fetched(saying(answer(200)), options=dataclasses.replace(QUICK, token_file=token))
