"""An authority that speaks EST (RFC 7030): a CertificateAuthority.

A certificate that holds vouches for its successor (``simplereenroll``). Without one, user and password do
(``simpleenroll``). Certificate and name of the server are always checked. Not spoken: ``csrattrs``, ``fullcmc``,
``serverkeygen``, and the channel binding of 3.5, for which Python has no tls-unique with TLS 1.3.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from edgehost.adapters.certificates.est_answers import (
    ANSWER_MOST_BYTES,
    no_certificates,
    pkcs7_of,
    request_body,
    retry_after_s,
)
from edgehost.domain.errors import EdgehostError, RefusedError, UnavailableError
from edgehost.ports.certificate_authority import PairPaths, RequestPendingError, SigningRequest
from remotes.http_client import read_origin
from remotes.http_connection import HttpAnswer
from remotes.http_connector import open_connection
from remotes.http_options import HttpOptions

log = logging.getLogger("edgehost.certificates")

#: RFC 7030, 3.2.2.
WELL_KNOWN: Final = "/.well-known/est"
_OK, _ACCEPTED, _NO_CONTENT, _NOT_FOUND = 200, 202, 204, 404
_SAYS_NO: Final = frozenset({401, 403})
_REDIRECTS: Final = range(300, 400)
_SERVER_TROUBLE: Final = 500
_TOO_MANY: Final = 429


@dataclass(frozen=True, slots=True)
class EstServer:
    """Where it is and what vouches for this host there."""

    url: str  # https://HOST[:PORT][/.well-known/est[/LABEL]]
    options: HttpOptions = field(default_factory=HttpOptions)  # ca_file, username, password_file, bounds

    @property
    def base(self) -> str:
        """The path in front of the operations."""
        path = urlsplit(self.url).path.rstrip("/")
        return path or WELL_KNOWN


class EstAuthority:
    """Meets the CertificateAuthority port; each question has a connection of its own."""

    def __init__(
        self, server: EstServer, now: Callable[[], float], certificates_in: Callable[[bytes], bytes]
    ) -> None:
        """``certificates_in``: of a PKCS#7, as the workshop does it; blocking."""
        self._server = server
        self._certificates_in = certificates_in
        self._origin = read_origin(server.url)
        self._now = now

    async def look(self, current: PairPaths | None) -> str:
        """What would be asked for, after the server has shown its authorities."""
        operation, how = self._way(current)
        await self.authorities()
        return f"{self._origin} answers; {operation} would be asked for, vouched for by {how}"

    async def sign(self, request: SigningRequest) -> bytes:
        """What the server answers to simplereenroll, or simpleenroll.

        A certificate that may have ended is no longer taken then, and the password still is.
        """
        try:
            return await self._signed(request.pem, request.current)
        except RequestPendingError:
            raise
        except EdgehostError as problem:
            if request.current is None or not request.may_have_ended or not self._server.options.username:
                raise
            log.info("The certificate in use, which may have ended, is not taken: %s", problem)
            return await self._signed(request.pem, None)

    async def _signed(self, request: bytes, current: PairPaths | None) -> bytes:
        operation, _ = self._way(current)
        answer = await self._ask(
            "POST",
            operation,
            {"Content-Type": "application/pkcs10", "Content-Transfer-Encoding": "base64"},
            body=request_body(request),
            current=current,
            with_password=current is None,
        )
        if answer.status == _ACCEPTED:
            raise RequestPendingError(
                f"{self._origin} has taken the request and wants to be asked again later.",
                hint="Somebody may have to approve it there.",
                retry_after_s=retry_after_s(answer.headers, self._now()),
            )
        self._require_answered(answer, operation)
        return await self._certificates(answer)

    async def authorities(self) -> bytes:
        """The authorities that the server hands out (RFC 7030, 4.1)."""
        answer = await self._ask("GET", "cacerts", {}, body=b"", current=None, with_password=False)
        if answer.status in {_NO_CONTENT, _NOT_FOUND}:
            return b""
        self._require_answered(answer, "cacerts")
        return await self._certificates(answer)

    def _way(self, current: PairPaths | None) -> tuple[str, str]:
        if current is not None:
            return "simplereenroll", "the certificate in use"
        if not self._server.options.username:
            raise RefusedError(
                "There is no certificate that holds, and nothing else that could vouch for this host.",
                hint="Set username and password_file in its [[certificates]] table, or bring a new certificate "
                "and key by hand; they are taken without a restart.",
            )
        return "simpleenroll", "user and password"

    async def _ask(
        self,
        method: str,
        operation: str,
        headers: Mapping[str, str],
        *,
        body: bytes,
        current: PairPaths | None,
        with_password: bool,
    ) -> HttpAnswer:
        options = self._server.options
        if current is not None:
            options = replace(options, cert_file=Path(current.certificate), key_file=Path(current.key))
        sent = {"User-Agent": "edgehost", "Accept-Encoding": "identity", **headers}
        if with_password:
            authorization = await asyncio.to_thread(options.authorization)
            sent["Authorization"] = authorization or ""
        tls = await asyncio.to_thread(options.tls_context, with_certificate=current is not None)
        connection = await open_connection(self._origin, options, tls)
        try:
            target = f"{self._server.base}/{operation}"
            return await connection.send(method, target, sent, body=body, most_bytes=ANSWER_MOST_BYTES)
        finally:
            connection.close()

    async def _certificates(self, answer: HttpAnswer) -> bytes:
        whose = str(self._origin)
        content = pkcs7_of(answer.body, whose)
        try:
            return await asyncio.to_thread(self._certificates_in, content)
        except RefusedError:
            raise no_certificates(whose) from None

    def _require_answered(self, answer: HttpAnswer, operation: str) -> None:
        status = answer.status
        if status == _OK:
            return
        if status in _REDIRECTS:
            there = answer.headers.get("location", "nowhere")[:200]
            raise RefusedError(
                f"{self._origin} redirects {operation} to {there!r}, which is not followed.",
                hint="If that is the right server, give its address as url.",
            )
        if status in _SAYS_NO:
            raise RefusedError(
                f"{self._origin} refuses {operation} ({status}).",
                hint="The server does not take what vouches for this host: look at its log, then at the "
                "certificate in use, or at username and password_file.",
            )
        what = f"{self._origin} answers {operation} with {status}."
        if status >= _SERVER_TROUBLE or status == _TOO_MANY:
            raise UnavailableError(what, hint="See the server's log.")
        raise RefusedError(what, hint="Check url, and the server's log.")
