"""EST servers that misbehave: each is named for what it does, left in time, and believed in nothing."""

from __future__ import annotations

import asyncio
import base64
import email.utils
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edgehost.adapters.certificates.est_answers import retry_after_s
from edgehost.adapters.certificates.est_authority import EstAuthority
from edgehost.adapters.certificates.est_authority import EstServer as EstAddress
from edgehost.adapters.certificates.x509_workshop import X509Workshop
from edgehost.domain.errors import EdgehostError, RefusedError, UnavailableError
from edgehost.ports.certificate_authority import PairPaths, RequestPendingError, SigningRequest
from remotes.http_options import HttpOptions
from tests.adapters.certificates.est_server import EstServer, Question, answer, est_server
from tests.adapters.certificates.openssl_ca import OpensslCA
from tests.remotes.test_http_tls import open_proxy

NOW = 1_900_000_000.0


@asynccontextmanager
async def asked(
    folder: Path, *, trusts: OpensslCA | None = None, patience_s: float = 20
) -> AsyncIterator[tuple[EstServer, EstAuthority]]:
    """A server, and an authority that has so much patience with it."""
    ca = OpensslCA(folder / "ca")
    (folder / "password").write_text("correct horse\n")
    async with est_server(folder / "est", ca) as server:
        options = HttpOptions(
            ca_file=(trusts or ca).cert_file,
            username="gate",
            password_file=folder / "password",
            answer_timeout_s=patience_s,
            progress_timeout_s=patience_s,
            slowest_bytes_per_s=1_000_000,
        )
        yield (
            server,
            EstAuthority(EstAddress(server.url, options), lambda: NOW, X509Workshop().certificates_in),
        )


def request() -> SigningRequest:
    workshop = X509Workshop()
    return SigningRequest(workshop.request(workshop.new_key(None), like=None, common_name="gate"), None)


async def says(writer: asyncio.StreamWriter, content: bytes) -> None:
    writer.write(content)
    await writer.drain()


async def byte_by_byte(_question: Question, writer: asyncio.StreamWriter) -> None:
    await says(writer, b"HTTP/1.1 200 x\r\nContent-Length: 100000\r\n\r\n")
    while True:
        await says(writer, b"A")
        await asyncio.sleep(0.05)


async def a_head_byte_by_byte(_question: Question, writer: asyncio.StreamWriter) -> None:
    for byte in b"HTTP/1.1 200 x\r\nX-Long: " + b"x" * 10_000:
        await says(writer, bytes((byte,)))
        await asyncio.sleep(0.05)


async def silence(_question: Question, _writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def announces_much(_question: Question, writer: asyncio.StreamWriter) -> None:
    await says(writer, b"HTTP/1.1 200 x\r\nContent-Length: 10000000000\r\n\r\n")


async def endless(_question: Question, writer: asyncio.StreamWriter) -> None:
    await says(writer, b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await says(writer, b"10000\r\n" + b"A" * 65_536 + b"\r\n")


async def closes(_question: Question, _writer: asyncio.StreamWriter) -> None:
    return


async def breaks_off(_question: Question, writer: asyncio.StreamWriter) -> None:
    await says(writer, b"HTTP/1.1 200 x\r\nContent-Length: 5000\r\n\r\nMII")


async def redirects(_question: Question, writer: asyncio.StreamWriter) -> None:
    await says(writer, answer(302, more={"Location": "https://evil.example/.well-known/est/simpleenroll"}))


async def no_base64(_question: Question, writer: asyncio.StreamWriter) -> None:
    await says(writer, answer(200, b"\xff\x00 <html>", "text/html"))


async def junk_in_base64(_question: Question, writer: asyncio.StreamWriter) -> None:
    await says(writer, answer(200, base64.b64encode(bytes(range(256)) * 8)))


async def long_lengths(_question: Question, writer: asyncio.StreamWriter) -> None:
    """DER that says it has 4 GiB."""
    await says(writer, answer(200, base64.b64encode(b"\x30\x84\xff\xff\xff\xff\x06\x09")))


async def deep_nesting(_question: Question, writer: asyncio.StreamWriter) -> None:
    await says(writer, answer(200, base64.b64encode(b"\x30\x80" * 40_000)))


async def nothing_at_all(_question: Question, writer: asyncio.StreamWriter) -> None:
    await says(writer, answer(200, b""))


async def another_protocol(_question: Question, writer: asyncio.StreamWriter) -> None:
    await says(writer, b"220 smtp.example.org ESMTP\r\n")


HOSTILE = (
    byte_by_byte,
    a_head_byte_by_byte,
    silence,
    announces_much,
    endless,
    closes,
    breaks_off,
    redirects,
    no_base64,
    junk_in_base64,
    long_lengths,
    deep_nesting,
    nothing_at_all,
    another_protocol,
)


@pytest.mark.parametrize("odd", HOSTILE, ids=lambda odd: odd.__name__)
async def test_whatever_a_server_answers_is_an_error_that_says_what(odd: object, tmp_path: Path) -> None:
    async with asked(tmp_path, patience_s=0.4) as (server, authority):
        server.odd = odd  # type: ignore[assignment]
        for ask in (authority.sign(request()), authority.authorities()):
            with pytest.raises(EdgehostError) as told:
                await ask
            assert isinstance(told.value, RefusedError | UnavailableError)
            assert "correct horse" not in str(told.value)


async def test_a_redirect_is_not_followed_and_names_where_it_leads(tmp_path: Path) -> None:
    async with asked(tmp_path) as (server, authority):
        server.odd = redirects
        with pytest.raises(RefusedError, match=r"evil\.example"):
            await authority.sign(request())
        assert len(server.asked) == 1


async def test_a_server_that_is_not_the_trusted_one_hears_no_password(tmp_path: Path) -> None:
    stranger = OpensslCA(tmp_path / "stranger", "a stranger")
    async with asked(tmp_path, trusts=stranger) as (server, authority):
        with pytest.raises(UnavailableError, match="certificate"):
            await authority.sign(request())
        assert server.asked == []


async def test_a_wrong_password_and_a_certificate_that_has_ended_are_refused(tmp_path: Path) -> None:
    async with asked(tmp_path) as (server, authority):
        server.password = "another"
        with pytest.raises(RefusedError, match="refuses simpleenroll"):
            await authority.sign(request())
        ended = PairPaths(*map(str, server.ca.pair(tmp_path, "gate", days=-1, begins=-9)))
        with pytest.raises(UnavailableError):
            await authority.sign(SigningRequest(request().pem, ended))


async def test_a_certificate_that_may_have_ended_is_shown_first_and_the_password_then(tmp_path: Path) -> None:
    async with asked(tmp_path) as (server, authority):
        for days, operations in ((9, ["simplereenroll"]), (-1, ["simpleenroll"])):
            server.asked.clear()
            paths = PairPaths(*map(str, server.ca.pair(tmp_path, "gate", days=days, begins=-9)))
            answer = await authority.sign(SigningRequest(request().pem, paths, may_have_ended=True))
            assert b"BEGIN CERTIFICATE" in answer
            assert [each.operation for each in server.asked] == operations
        server.pending = 1
        paths = PairPaths(*map(str, server.ca.pair(tmp_path, "gate")))
        with pytest.raises(RequestPendingError):
            await authority.sign(SigningRequest(request().pem, paths, may_have_ended=True))
        server.password = "another"
        ended = PairPaths(*map(str, server.ca.pair(tmp_path, "gate", days=-1, begins=-9)))
        with pytest.raises(RefusedError, match="refuses simpleenroll"):
            await authority.sign(SigningRequest(request().pem, ended, may_have_ended=True))


async def test_without_a_certificate_and_without_a_password_nobody_is_asked(tmp_path: Path) -> None:
    async with asked(tmp_path) as (server, _):
        authority = EstAuthority(
            EstAddress(server.url, HttpOptions(ca_file=server.ca.cert_file)),
            lambda: NOW,
            X509Workshop().certificates_in,
        )
        with pytest.raises(RefusedError, match="nothing else that could vouch") as told:
            await authority.sign(request())
        assert "password_file" in told.value.hint
        assert server.asked == []


async def test_a_proxy_between_sees_only_where_to(tmp_path: Path) -> None:
    async with asked(tmp_path) as (server, _), open_proxy() as proxy:
        options = HttpOptions(
            ca_file=server.ca.cert_file,
            username="gate",
            password_file=tmp_path / "password",
            proxy=proxy.url,
        )
        authority = EstAuthority(EstAddress(server.url, options), lambda: NOW, X509Workshop().certificates_in)
        assert b"BEGIN CERTIFICATE" in await authority.sign(request())
        assert [each.split(" ")[:2] for each in proxy.heads] == [["CONNECT", f"127.0.0.1:{server.tcp_port}"]]
        assert "uthorization" not in proxy.heads[0]


@pytest.mark.parametrize("path", ["", "/", "/.well-known/est/yard"])
async def test_a_label_in_the_address_is_kept(path: str, tmp_path: Path) -> None:
    async with asked(tmp_path) as (server, _):
        options = HttpOptions(ca_file=server.ca.cert_file)
        await EstAuthority(
            EstAddress(server.url + path, options), lambda: NOW, X509Workshop().certificates_in
        ).authorities()
        base = path.rstrip("/") or "/.well-known/est"
        assert [each.path for each in server.asked] == [f"{base}/cacerts"]


def test_retry_after_is_seconds_or_a_date() -> None:
    later = email.utils.formatdate(NOW + 500, usegmt=True)
    for text, seconds in (
        ("120", 120),
        (later, 500),
        ("", 3600),
        ("soon", 3600),
        ("-5", 3600),
        ("9" * 99, 999999999),
    ):
        assert retry_after_s({"retry-after": text}, NOW) == pytest.approx(seconds, abs=1)
    assert retry_after_s({"retry-after": email.utils.formatdate(0, usegmt=True)}, NOW) == 0
    # By the server's clock, whatever this machine's says.
    said = {"retry-after": later, "date": email.utils.formatdate(NOW + 440, usegmt=True)}
    for now in (0.0, NOW, 2 * NOW):
        assert retry_after_s(said, now) == pytest.approx(60, abs=1)
    assert retry_after_s({"retry-after": later, "date": "today"}, NOW) == 3600
