"""A server of ours whose certificate is replaced while it serves: the next connection gets it, open ones go on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from edgehost.adapters.certificates.pair_folder import PairFolder
from edgehost.ports.certificate_authority import Pair
from remotes.coap_options import CoapServing
from remotes.coap_transport import open_coap_transport
from tests.adapters.certificates.openssl_ca import OpensslCA
from tests.remotes.coap_carriers import LOOPBACK, open_served, port_of, quick

CHUNK = "chunk/" + "ab" * 32


@pytest.fixture
def ca(tmp_path: Path) -> OpensslCA:
    made = OpensslCA(tmp_path / "ca")
    for name in ("server", "reader"):
        made.pair(tmp_path, name)
    return made


def serving(folder: Path, ca: OpensslCA | None = None) -> CoapServing:
    plain = replace(LOOPBACK, cert_file=folder / "server.crt", key_file=folder / "server.key")
    if ca is None:
        return plain
    (folder / "readers.crt").write_bytes(ca.cert_file.read_bytes())
    return replace(plain, client_ca_file=folder / "readers.crt")


def new_pair(ca: OpensslCA, folder: Path) -> tuple[Path, Path]:
    """A pair beside the one in use, to be renamed into its place."""
    beside = folder / "beside"
    beside.mkdir(exist_ok=True)
    return ca.pair(beside, "server")


def der(cert_file: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(cert_file.read_text())


async def shown_at(port: int, ca: OpensslCA) -> bytes:
    """The certificate that a client gets that comes now, DER."""
    tls = ssl.create_default_context(cafile=str(ca.cert_file))
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    try:
        shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return shown
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_a_renewed_certificate_of_the_shelf_is_shown_to_who_comes_next_and_open_connections_go_on(
    tmp_path: Path, ca: OpensslCA
) -> None:
    shown = {
        "tls": True,
        "ca_file": ca.cert_file,
        "cert_file": tmp_path / "reader.crt",
        "key_file": tmp_path / "reader.key",
    }
    async with open_served(tmp_path / "mirror", serving(tmp_path, ca)) as (publisher, served):
        port = port_of(served.tls)
        await publisher.publish(CHUNK, b"x")
        async with open_coap_transport("demo", quick(port, **shown)) as transport:
            assert await transport.fetch(CHUNK, most_bytes=10) == b"x"
            link, before = transport._link, await shown_at(port, ca)
            assert before == der(tmp_path / "server.crt")
            certificate, key = (each.read_bytes() for each in new_pair(ca, tmp_path))
            as_renewed = PairFolder(
                tmp_path / "data" / "shelf", tmp_path / "server.crt", tmp_path / "server.key"
            )
            as_renewed.put(Pair(certificate, key))
            assert await shown_at(port, ca) == der(tmp_path / "server.crt") != before
            assert await transport.fetch(CHUNK, most_bytes=10) == b"x"
            assert transport._link is link
        async with open_coap_transport("demo", quick(port, **shown)) as transport:
            assert await transport.fetch(CHUNK, most_bytes=10) == b"x"


async def test_half_of_a_pair_and_none_change_nothing_until_it_is_whole(
    tmp_path: Path, ca: OpensslCA, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_served(tmp_path / "mirror", serving(tmp_path)) as (_, served):
        port = port_of(served.tls)
        before = der(tmp_path / "server.crt")
        certificate, key = new_pair(ca, tmp_path)
        certificate.replace(tmp_path / "server.crt")
        with caplog.at_level(logging.WARNING):
            assert await shown_at(port, ca) == before
            assert await shown_at(port, ca) == before
        assert sum("certificate before" in each.message for each in caplog.records) == 1
        (tmp_path / "server.key").unlink()
        assert await shown_at(port, ca) == before
        key.replace(tmp_path / "server.key")
        assert await shown_at(port, ca) == der(tmp_path / "server.crt") != before


async def test_who_may_read_is_whoever_the_file_of_authorities_names_now(
    tmp_path: Path, ca: OpensslCA
) -> None:
    other = OpensslCA(tmp_path / "other", "another authority")
    other.pair(tmp_path / "other", "stranger")
    shown = {
        "tls": True,
        "ca_file": ca.cert_file,
        "cert_file": tmp_path / "other" / "stranger.crt",
        "key_file": tmp_path / "other" / "stranger.key",
    }
    async with open_served(tmp_path / "mirror", serving(tmp_path, ca)) as (publisher, served):
        await publisher.publish(CHUNK, b"x")
        options = quick(port_of(served.tls), **shown)
        (tmp_path / "fresh").write_bytes(ca.cert_file.read_bytes() + other.cert_file.read_bytes())
        (tmp_path / "fresh").replace(tmp_path / "readers.crt")
        async with open_coap_transport("demo", options) as transport:
            assert await transport.fetch(CHUNK, most_bytes=10) == b"x"
