"""HTTPS and proxies: who is trusted, who may see what, and that nothing falls back to clear text."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edgehost.domain.errors import InvalidConfigError, RemoteUnreachableError
from remotes.http_options import HttpOptions
from remotes.http_transport import open_http_transport
from tests.remotes.coap_carriers import write_certificates
from tests.remotes.scripted_web_server import answer, open_scripted_server, saying
from tests.remotes.web_carriers import QUICK
from tests.remotes.web_server import WebServer, open_nginx

CHUNK = "chunk/" + "ab" * 32
NEVER = 3600.0


@asynccontextmanager
async def open_tls_site(folder: Path, more: str = "", location: str = "") -> AsyncIterator[WebServer]:
    """nginx with a certificate of our own authority."""
    write_certificates(folder)
    place = folder / "site"
    (place / "chunk").mkdir(parents=True)
    (place / CHUNK).write_bytes(b"x")
    server = f"ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.key; {more}"
    async with open_nginx(place, tls=" ssl", server=server, location=location) as site:
        yield site


async def fetched(url: str, options: HttpOptions) -> bytes | None:
    async with open_http_transport(url, options, look_s=NEVER) as transport:
        return await transport.fetch(CHUNK, most_bytes=10)


async def test_a_server_of_our_own_authority_is_trusted_and_of_nobody_else(tmp_path: Path) -> None:
    ours = dataclasses.replace(QUICK, ca_file=tmp_path / "ca.pem")
    async with open_tls_site(tmp_path) as site:
        async with open_http_transport(site.url, ours, look_s=NEVER) as transport:
            for _ in range(3):
                assert await transport.fetch(CHUNK, most_bytes=10) == b"x"
        with pytest.raises(RemoteUnreachableError, match=r"certificate of https.* does not hold"):
            await fetched(site.url, QUICK)
        with pytest.raises(RemoteUnreachableError, match="does not hold: Hostname mismatch"):
            await fetched(site.url.replace("127.0.0.1", "localhost"), ours)
        with pytest.raises(RemoteUnreachableError, match="400"):
            await fetched(site.url.replace("https", "http"), ours)
    async with open_nginx(tmp_path / "plain") as plain:
        with pytest.raises(RemoteUnreachableError, match="does not speak TLS as it should"):
            await fetched(plain.url.replace("http", "https"), ours)


async def test_a_server_that_wants_our_certificate_gets_it(tmp_path: Path) -> None:
    more = f"ssl_client_certificate {tmp_path}/ca.pem; ssl_verify_client on;"
    ours = dataclasses.replace(QUICK, ca_file=tmp_path / "ca.pem")
    shown = dataclasses.replace(ours, cert_file=tmp_path / "client.pem", key_file=tmp_path / "client.key")
    async with open_tls_site(tmp_path, more) as site:
        assert await fetched(site.url, shown) == b"x"
        with pytest.raises(RemoteUnreachableError, match="400"):
            await fetched(site.url, ours)


@pytest.mark.parametrize("wrong", ["ca_file", "cert_file"])
async def test_tls_files_that_cannot_be_used_say_so_and_nothing_is_asked_at_the_terminal(
    wrong: str, tmp_path: Path
) -> None:
    (tmp_path / "no.pem").write_text("-----BEGIN nothing")
    options = {"ca_file": tmp_path / "ca.pem", wrong: tmp_path / "no.pem"}
    async with open_tls_site(tmp_path) as site:
        with pytest.raises(InvalidConfigError, match="TLS files cannot be used"):
            await fetched(site.url, dataclasses.replace(QUICK, **options))  # type: ignore[arg-type]


async def test_no_redirect_leads_out_of_the_encryption(tmp_path: Path) -> None:
    ours = dataclasses.replace(QUICK, ca_file=tmp_path / "ca.pem")
    async with open_scripted_server(saying(answer(200, b"x"))) as plain:
        location = f"return 301 {plain.url}/$uri;"
        async with open_tls_site(tmp_path, location=location) as site:
            with pytest.raises(RemoteUnreachableError, match="where nothing is encrypted"):
                await fetched(site.url, ours)
            assert plain.asked == []


@dataclass
class Proxy:
    """A forward proxy, as squid is one; ``deaf`` refuses."""

    url: str = ""
    heads: list[str] = field(default_factory=list)
    deaf: bool = False


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while content := await reader.read(65_536):
            writer.write(content)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def open_proxy(*, deaf: bool = False) -> AsyncIterator[Proxy]:
    proxy = Proxy(deaf=deaf)
    writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        proxy.heads.append(head)
        method, target, _ = head.split("\r\n")[0].split(" ")
        if proxy.deaf:
            writer.write(answer(403))
            writer.close()
            return
        where = target if method == "CONNECT" else target.split("/")[2]
        host, _, port = where.partition(":")
        there_reader, there_writer = await asyncio.open_connection(host, int(port))
        writers.add(there_writer)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            there_writer.write(head.encode())
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_pump(reader, there_writer))
            tasks.create_task(_pump(there_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await server.wait_closed()
        for _ in range(5):
            await asyncio.sleep(0)


async def test_https_goes_through_a_proxy_that_sees_only_where_to(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret")
    async with open_tls_site(tmp_path) as site, open_proxy() as proxy:
        options = dataclasses.replace(QUICK, ca_file=tmp_path / "ca.pem", token_file=token, proxy=proxy.url)
        assert await fetched(site.url, options) == b"x"
        assert len(proxy.heads) == 1
        assert proxy.heads[0].startswith(f"CONNECT {site.url.removeprefix('https://')} HTTP/1.1")
        assert "s3cret" not in proxy.heads[0]


async def test_http_goes_through_a_proxy_by_the_whole_address() -> None:
    async with open_scripted_server(saying(answer(200, b"x"))) as server, open_proxy() as proxy:
        assert await fetched(server.url, dataclasses.replace(QUICK, proxy=proxy.url)) == b"x"
        assert proxy.heads[0].startswith(f"GET {server.url}/{CHUNK} HTTP/1.1")


async def test_a_proxy_that_refuses_and_one_that_is_not_there_are_named(tmp_path: Path) -> None:
    ours = dataclasses.replace(QUICK, ca_file=tmp_path / "ca.pem")
    async with open_tls_site(tmp_path) as site, open_proxy(deaf=True) as proxy:
        with pytest.raises(RemoteUnreachableError, match=r"proxy .* lets nobody through .*\(403\)"):
            await fetched(site.url, dataclasses.replace(ours, proxy=proxy.url))
        with pytest.raises(RemoteUnreachableError, match=r"The proxy http://127\.0\.0\.1:9 does not answer"):
            await fetched(site.url, dataclasses.replace(ours, proxy="http://127.0.0.1:9"))


def test_old_tls_is_not_spoken() -> None:
    assert QUICK.tls_context(with_certificate=False).minimum_version >= ssl.TLSVersion.TLSv1_2
