"""A small EST server (RFC 7030) for tests. No EST server is to be had from PyPI, npm or Debian.

TLS and HTTP are Python's; whoever issues is the genuine openssl command, which also packs the PKCS#7.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.adapters.certificates.openssl_ca import OpensslCA, pkcs7


@dataclass
class Question:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    subject: str  # of the client certificate; "" without one

    @property
    def operation(self) -> str:
        return self.path.rpartition("/")[2]

    def request(self) -> bytes:
        """The PKCS#10 request, PEM."""
        lines = b"".join(self.body.split())
        return b"-----BEGIN CERTIFICATE REQUEST-----\n" + lines + b"\n-----END CERTIFICATE REQUEST-----\n"


@dataclass
class EstServer:
    """What it does can be changed by a test at any time; ``odd`` answers instead of it, byte for byte."""

    ca: OpensslCA
    password: str = "correct horse"
    days: float = 90
    now: Callable[[], float] | None = None
    pending: int = 0  # requests that are told to come again
    retry_after: str = "120"
    odd: Callable[[Question, asyncio.StreamWriter], Any] | None = None
    handed_out: bytes | None = None  # cacerts, DER; None: the authority's own
    asked: list[Question] = field(default_factory=list)
    tcp_port: int = 0
    working: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.tcp_port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection; its work is a task of its own, which can be cancelled without a word to the loop."""
        work = asyncio.create_task(self._serve(reader, writer), name="est")
        self.working.add(work)
        await asyncio.wait({work})
        self.working.discard(work)
        writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError):
            question = await _read(reader, writer)
            self.asked.append(question)
            if self.odd is not None:
                await self.odd(question, writer)
            else:
                writer.write(await asyncio.to_thread(self._answer, question))
            await writer.drain()
        with suppress(OSError):
            writer.close()
            await writer.wait_closed()

    def _answer(self, question: Question) -> bytes:
        match question.method, question.operation:
            case "GET", "cacerts":
                der = pkcs7(self.ca.cert_file.read_bytes()) if self.handed_out is None else self.handed_out
                return answer(200, base64.encodebytes(der), "application/pkcs7-mime")
            case "POST", "simplereenroll":
                if not question.subject:
                    return answer(403)
            case "POST", "simpleenroll":
                basic = base64.b64encode(f"gate:{self.password}".encode()).decode()
                if question.headers.get("authorization") != f"Basic {basic}":
                    return answer(401, more={"WWW-Authenticate": "Basic realm=est"})
            case _:
                return answer(404)
        if self.pending:
            self.pending -= 1
            return answer(202, more={"Retry-After": self.retry_after})
        now = None if self.now is None else self.now()
        certificate = self.ca.sign(question.request(), days=self.days, now=now)
        return answer(
            200, base64.encodebytes(pkcs7(certificate)), "application/pkcs7-mime; smime-type=certs-only"
        )


def answer(
    status: int, body: bytes = b"", kind: str = "text/plain", more: dict[str, str] | None = None
) -> bytes:
    """An answer's bytes."""
    headers = {"Content-Length": str(len(body)), "Content-Type": kind, **(more or {})}
    head = f"HTTP/1.1 {status} x\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return head.encode() + b"\r\n" + body


@asynccontextmanager
async def est_server(
    folder: Path, ca: OpensslCA, *, tls_ca: OpensslCA | None = None
) -> AsyncIterator[EstServer]:
    """A server on loopback; ``tls_ca`` signs its own certificate, ``ca`` those of clients."""
    folder.mkdir(exist_ok=True)  # noqa: ASYNC240 - before anything runs
    cert_file, key_file = (tls_ca or ca).pair(folder, "est", days=3650)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert_file, key_file)
    context.load_verify_locations(ca.cert_file)
    context.verify_mode = ssl.CERT_OPTIONAL
    server = EstServer(ca)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context)
    server.tcp_port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for work in server.working:
            work.cancel()
        while server.working:
            await asyncio.sleep(0)


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Question:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)
    }
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    shown = writer.get_extra_info("peercert") or {}
    subject = ",".join(f"{key}={value}" for each in shown.get("subject", ()) for key, value in each)
    return Question(method, path, headers, body, subject)
