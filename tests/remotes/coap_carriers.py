"""Carriers whose publisher writes a folder, and whose readers find it on our CoAP server."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from remotes.coap_options import CoapOptions, CoapServing
from remotes.coap_oscore import make_contexts
from remotes.coap_server import CoapServed, open_coap_server
from remotes.coap_transport import open_coap_transport
from remotes.folder_transport import FolderTransport, open_folder_transport
from remotes.served_repository import ServedSource
from remotes.transport import Source, Transport

COAP_CARRIERS = ("coap+tcp", "coap+udp", "coaps+tcp", "coap-oscore")
#: Streams and datagrams; what is attacked there is the trust, which knows no transport.
ATTACKED_CARRIERS = ("coap+tcp", "coap-oscore")
#: Any free port on loopback.
LOOPBACK = CoapServing(port=0, tls_port=0)


def quick(port: int, **changes: object) -> CoapOptions:
    """Loopback answers at once or not at all."""
    options = CoapOptions("127.0.0.1", port, answer_timeout_s=5, backoff_base_s=0.02, backoff_most_s=0.1)
    return replace(options, **changes)  # type: ignore[arg-type]  # tests name what they change


def port_of(address: str) -> int:
    """The port of one of the server's addresses."""
    return int(address.rpartition(":")[2])


@asynccontextmanager
async def open_served(
    folder: Path, serving: CoapServing = LOOPBACK
) -> AsyncIterator[tuple[FolderTransport, CoapServed]]:
    """A folder's publisher, and the server over the folder, which calls the repository "demo"."""
    await asyncio.to_thread(folder.mkdir, exist_ok=True)
    async with (
        open_folder_transport(folder, poll_s=0.02) as publisher,
        open_folder_transport(folder, poll_s=0.02) as source,
        open_coap_server({"demo": ServedSource(source)}, serving) as served,
    ):
        yield publisher, served


@asynccontextmanager
async def open_coap_carrier(carrier: str, folder: Path) -> AsyncIterator[tuple[Transport, Source]]:
    """A publisher's and a reader's side of it."""
    serving, changes = LOOPBACK, {}
    if carrier == "coaps+tcp":
        write_certificates(folder)
        serving = replace(
            serving,
            cert_file=folder / "server.pem",
            key_file=folder / "server.key",
            client_ca_file=folder / "ca.pem",
        )
        changes = with_certificate(folder)
    elif carrier == "coap-oscore":
        make_contexts(folder / "oscore-server", "reader", folder / "oscore-reader")
        serving = replace(serving, oscore_folder=folder / "oscore-server")
        changes = {"oscore_folder": folder / "oscore-reader", "over": "udp"}
    else:
        changes = {"over": carrier.partition("+")[2]}
    async with AsyncExitStack() as stack:
        publisher, served = await stack.enter_async_context(open_served(folder / "mirror", serving))
        port = port_of(served.tls or served.tcp)
        yield (
            publisher,
            await stack.enter_async_context(open_coap_transport("demo", quick(port, **changes))),
        )


def with_certificate(folder: Path) -> dict[str, object]:
    """A client that trusts our CA and has a certificate by it."""
    return {
        "tls": True,
        "ca_file": folder / "ca.pem",
        "cert_file": folder / "client.pem",
        "key_file": folder / "client.key",
    }


def write_certificates(folder: Path) -> None:
    """A CA of our own, and certificates for a server at 127.0.0.1 and for a client."""
    now = dt.datetime.now(dt.UTC)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "edgehost test")])
    for name in ("ca", "server", "client"):
        key = ca_key if name == "ca" else ec.generate_private_key(ec.SECP256R1())
        subject = issuer if name == "ca" else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
        certificate = (
            x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=name == "ca", path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(authority, critical=False)
            .add_extension(names, critical=False)
            .sign(ca_key, hashes.SHA256())
        )
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (folder / f"{name}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
