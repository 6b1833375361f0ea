"""One way to a CoAP server: a TCP or TLS connection, or datagrams. It asks, waits as long as is sensible, and ends."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from typing import Final

import aiocoap
from aiocoap.interfaces import EndpointAddress
from aiocoap.message import UndecidedRemote
from aiocoap.numbers.codes import Code
from aiocoap.protocol import Request
from aiocoap.tokenmanager import TokenManager

from edgehost.domain.errors import RemoteUnreachableError
from remotes.coap_bounds import ANSWER_MOST_BYTES, WIRE_LOG, BoundedConnection, BoundedStreamClient
from remotes.coap_datagrams import add_datagrams
from remotes.coap_options import CoapOptions
from remotes.coap_oscore import OscoreClient, UnprotectedError
from remotes.coap_sockets import datagram_socket

_LOG: Final = logging.getLogger(__name__)
_BERT, _BLOCK_1024 = 7, 6
#: What OSCORE needs to know of a request to read its answers; None without OSCORE.
RequestIds = object | None


class LinkLostError(Exception):
    """The way to the server has ended, or does not answer."""


class CoapLink:
    """Open it with open_link. ``gone`` is done once a connection has ended; datagrams have no end."""

    def __init__(
        self,
        context: aiocoap.Context,
        options: CoapOptions,
        oscore: OscoreClient | None,
        connection: BoundedConnection | None,
    ) -> None:
        self._context = context
        self._options = options
        self._oscore = oscore
        self._connection = connection
        self._remote: EndpointAddress | None = connection
        self._answered = False
        self._closing = asyncio.Lock()
        self._closed = False
        self.gone: asyncio.Future[Exception | None] = (
            asyncio.get_running_loop().create_future() if connection is None else connection.gone
        )

    @property
    def is_stream(self) -> bool:
        """Whether it is a connection."""
        return self._connection is not None

    @property
    def exponent(self) -> int:
        """The largest block that it carries, as RFC 7959 and RFC 8323 have it."""
        return _BERT if self.is_stream else _BLOCK_1024

    async def ask(self, message: aiocoap.Message) -> aiocoap.Message:
        """The answer to one request.

        Raises:
            LinkLostError: there is none, or it is no answer of the server's.
        """
        answer, _, _ = await self._asked(message)
        return answer

    async def observe(
        self, message: aiocoap.Message
    ) -> tuple[aiocoap.Message, AsyncIterator[aiocoap.Message] | None]:
        """The answer, and those that come after it; None when the server sends no more.

        Raises:
            LinkLostError: as in ask; the later answers too.
        """
        message.opt.observe = 0
        answer, request, request_id = await self._asked(message)
        if answer.opt.observe is None or not answer.code.is_successful():
            _forget(request)
            return answer, None
        return answer, self._notifications(request, request_id)

    async def close(self) -> None:
        """End it; a second time does nothing, and waits for the first."""
        async with self._closing:
            if self._closed:
                return
            if not self.gone.done() and self._connection is None:
                self.gone.set_result(None)
            await self._context.shutdown()
            self._closed = True

    async def _notifications(
        self, request: Request, request_id: RequestIds
    ) -> AsyncIterator[aiocoap.Message]:
        try:
            async for notification in request.observation:
                yield self._unprotected(notification, request_id)
        except (aiocoap.error.Error, OSError) as error:
            raise LinkLostError(_reason(error)) from error
        finally:
            _forget(request)

    async def _asked(self, message: aiocoap.Message) -> tuple[aiocoap.Message, Request, RequestIds]:
        request, request_id = await self._sent(message)
        answer = self._unprotected(await self._answer(request), request_id)
        if answer.code is Code.UNAUTHORIZED and answer.opt.echo is not None:
            # RFC 9175 section 2.3: the server has lost its memory and wants a sign of life.
            _forget(request)
            request, request_id = await self._sent(message.copy(echo=answer.opt.echo, mid=None, token=None))
            answer = self._unprotected(await self._answer(request), request_id)
        return answer, request, request_id

    async def _sent(self, message: aiocoap.Message) -> tuple[Request, RequestIds]:
        message.remote = self._remote or UndecidedRemote("coap", _host_port(self._options))
        request_id = None
        if self._remote is None:
            try:
                await self._context.find_remote_and_interface(message)
            except (aiocoap.error.Error, OSError, StopAsyncIteration) as error:
                raise LinkLostError(_reason(error)) from error
            self._remote = message.remote
        elif self.gone.done():
            raise LinkLostError(_ended(self.gone.result()))
        if self._oscore is not None:
            message, request_id = self._oscore.protect(message)
        return self._context.request(message, handle_blockwise=False), request_id

    async def _answer(self, request: Request) -> aiocoap.Message:
        """Wait while bytes come fast enough, and at most as long as the largest message may take."""
        options, response = self._options, request.response
        least = options.answer_timeout_s * options.least_bytes_per_s
        windows = 1 + ANSWER_MOST_BYTES // max(1, int(least)) if self._connection is not None else 1
        heard = self._progress_bytes
        try:
            for _ in range(windows):
                await asyncio.wait({response}, timeout=options.answer_timeout_s)
                if response.done():
                    answer = response.result()
                    self._answered = True
                    return answer
                before, heard = heard, self._progress_bytes
                if heard - before < least:
                    break
            raise LinkLostError(f"no answer within {options.answer_timeout_s:g} s")
        except (aiocoap.error.Error, OSError) as error:
            reason = _reason(error)
            if options.tls and not self._answered:
                # Since TLS 1.3 a server looks at the certificate when the client takes the handshake for done.
                reason += "; maybe the server wants a client certificate, or another one"
            raise LinkLostError(reason) from error
        finally:
            if not response.done():
                response.cancel()
                # At once and not at the next turn of the loop, when an answer may already have come in between.
                request._response_cancellation_handler(response)  # noqa: SLF001
            elif not response.cancelled():
                response.exception()  # who is cancelled as the link ends does not ask for it

    @property
    def _progress_bytes(self) -> int:
        return 0 if self._connection is None else self._connection.progress_bytes

    def _unprotected(self, answer: aiocoap.Message, request_id: RequestIds) -> aiocoap.Message:
        if self._oscore is None:
            return answer
        try:
            return self._oscore.unprotect(answer, request_id)
        except UnprotectedError as error:
            raise LinkLostError(str(error)) from error


async def open_link(
    options: CoapOptions, oscore: OscoreClient | None, *, stream: bool, tls: ssl.SSLContext | None = None
) -> CoapLink:
    """A new link.

    Raises:
        LinkLostError: nobody is there.
        RemoteUnreachableError: TLS fails.
    """
    context = aiocoap.Context(loop=asyncio.get_running_loop(), loggername=WIRE_LOG)
    try:
        if not stream:
            await add_datagrams(context, datagram_socket())
            return CoapLink(context, options, oscore, None)
        tokens = TokenManager(context)
        client = BoundedStreamClient(tokens, tls=tls is not None)
        tokens.token_interface = client
        context.request_interfaces.append(tokens)
        async with asyncio.timeout(options.connect_timeout_s):
            connection = await client.connect(options.host, options.address_port, tls)
        return CoapLink(context, options, oscore, connection)
    except ssl.SSLError as error:
        raise RemoteUnreachableError(
            f"{_host_port(options)}: TLS fails: {_tls_reason(error)}.",
            hint="Check ca_file, and that the certificate names this host; then the clock.",
        ) from error
    except TimeoutError:
        raise LinkLostError(f"no connection within {options.connect_timeout_s:g} s") from None
    except OSError as error:
        raise LinkLostError(_reason(error)) from error


def _forget(request: Request) -> None:
    """Let the library know that nobody waits for more."""
    observation = request.observation
    if observation is not None and not observation.cancelled:
        observation.cancel()


def _host_port(options: CoapOptions) -> str:
    host = f"[{options.host}]" if ":" in options.host else options.host
    return f"{host}:{options.address_port}"


def _ended(error: Exception | None) -> str:
    return "the connection has ended" if error is None else _reason(error)


def _reason(error: BaseException) -> str:
    """Why, for people: the library wraps the system's errors."""
    cause = error.__cause__ or error
    if isinstance(cause, ssl.SSLError):
        return _tls_reason(cause)
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror.split(" (")[0]
    return str(error).strip() or type(error).__name__


def _tls_reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is not trusted ({error.verify_message})"
    reason = error.reason or str(error)
    if "CERTIFICATE_REQUIRED" in reason or "HANDSHAKE_FAILURE" in reason:
        return "the server wants a client certificate"
    return f"the server refuses ({reason})"
