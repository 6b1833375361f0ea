"""The same API over CoAP, on loopback: a cross-proxy in the sense of RFC 8075 that ends in the application.

Paths, queries and bodies are those of HTTP. Bodies are JSON (content format 50), merge patches (52) or CBOR (60,
translated); answers are JSON, or CBOR for who asks for it. There are no credentials over CoAP yet, so it stays on
loopback and shows nothing of the host itself.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import aiocoap
import cbor2
from aiocoap import resource
from aiocoap.numbers.codes import Code

from edgehost.domain.errors import RefusedError, UnavailableError
from edgehost.domain.json_text import read_json, write_json
from edgehost.usecases.live_models import LiveModels

log = logging.getLogger("edgehost.api")

_JSON, _MERGE_PATCH, _CBOR, _LINKS = 50, 52, 60, 40
_MEDIA: Final = {_JSON: b"application/json", _MERGE_PATCH: b"application/merge-patch+json"}
#: RFC 7252 section 5.8 and RFC 8132.
_METHODS: Final = {
    Code.GET: "GET",
    Code.POST: "POST",
    Code.PUT: "PUT",
    Code.DELETE: "DELETE",
    Code.PATCH: "PATCH",
    Code.iPATCH: "PATCH",
}
#: RFC 8075 section 7, for the statuses that the application gives.
_CODES: Final = {
    200: Code.CONTENT,
    201: Code.CREATED,
    202: Code.CHANGED,
    204: Code.CHANGED,
    400: Code.BAD_REQUEST,
    401: Code.UNAUTHORIZED,
    403: Code.FORBIDDEN,
    404: Code.NOT_FOUND,
    405: Code.METHOD_NOT_ALLOWED,
    406: Code.NOT_ACCEPTABLE,
    409: Code.CONFLICT,
    412: Code.PRECONDITION_FAILED,
    413: Code.REQUEST_ENTITY_TOO_LARGE,
    415: Code.UNSUPPORTED_CONTENT_FORMAT,
    422: Code.UNPROCESSABLE_ENTITY,
    429: Code.TOO_MANY_REQUESTS,
    502: Code.BAD_GATEWAY,
    503: Code.SERVICE_UNAVAILABLE,
    504: Code.GATEWAY_TIMEOUT,
}
#: What one answer may hold; block-wise transfer carries it in pieces of a kilobyte.
_MOST_ANSWER_BYTES: Final = 1024 * 1024


class CoapGateway(resource.Resource, resource.PathCapable):  # type: ignore[misc]  # aiocoap ships no types
    """Every path below the root; the application judges it as it would over HTTP."""

    def __init__(self, app: Any, models: LiveModels, *, root: str, body_bytes: int) -> None:  # noqa: ANN401 - ASGI
        super().__init__()
        self._app = app
        self._models = models
        self._root = root
        self._body_bytes = body_bytes

    async def render(self, request: aiocoap.Message) -> aiocoap.Message:
        """Answer one request."""
        path = "/" + "/".join(request.opt.uri_path)
        method = _METHODS.get(request.code, "")
        if path == "/.well-known/core" and method == "GET":
            return aiocoap.Message(code=Code.CONTENT, payload=self._links(), content_format=_LINKS)
        refusal = self._refusal(request, method, path)
        if refusal is not None:
            return aiocoap.Message(code=refusal)
        try:
            body, media = _body(request)
        except (RefusedError, cbor2.CBORDecodeError, ValueError, TypeError, RecursionError) as problem:
            return aiocoap.Message(code=Code.BAD_REQUEST, payload=str(problem).encode()[:256])
        status, answer = await self._asked(method, path, request.opt.uri_query, body, media)
        return _answer(method, status, answer, wants_cbor=request.opt.accept == _CBOR)

    def _refusal(self, request: aiocoap.Message, method: str, path: str) -> Code | None:
        """The code for a request that does not reach the application."""
        if not method:
            return Code.METHOD_NOT_ALLOWED
        if path.startswith((f"{self._root}/events", f"{self._root}/ws")) or request.opt.if_match:
            return (
                Code.BAD_OPTION
            )  # a stream has no end; an ETag of HTTP does not fit the eight bytes of CoAP's
        if len(request.payload) > self._body_bytes:
            return Code.REQUEST_ENTITY_TOO_LARGE
        known = {_CBOR, *_MEDIA}
        if request.opt.content_format is not None and int(request.opt.content_format) not in known:
            return Code.UNSUPPORTED_CONTENT_FORMAT
        return None

    async def _asked(
        self, method: str, path: str, query: tuple[str, ...], body: bytes, media: bytes
    ) -> tuple[int, bytes]:
        headers = [(b"host", b"127.0.0.1")]
        if body:
            headers += [(b"content-type", media), (b"content-length", str(len(body)).encode())]
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "coap",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": "&".join(query).encode(),
            "headers": headers,
            "client": ("127.0.0.1", 0),
            "server": ("127.0.0.1", 0),
        }
        sent = False
        status, content = 500, bytearray()

        async def receive() -> Mapping[str, Any]:
            nonlocal sent
            if sent:
                return {"type": "http.disconnect"}
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Mapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                content.extend(message.get("body", b""))
                if len(content) > _MOST_ANSWER_BYTES:
                    raise RefusedError("The answer is too large for CoAP.", hint="Ask for less with 'limit'.")

        try:
            await self._app(scope, receive, send)
        except RefusedError as problem:
            return 413, write_json({"detail": str(problem)})
        return status, bytes(content)

    def _links(self) -> bytes:
        """The models as links (RFC 6690)."""
        links = [f'<{self._root}/models>;rt="edgehost.models";ct=50']
        links += [
            f'<{self._root}/models/{endpoint}>;rt="edgehost.model";ct="50 60"'
            for endpoint in self._models.table.by_endpoint
        ]
        return ",".join(links).encode()


def _body(request: aiocoap.Message) -> tuple[bytes, bytes]:
    """The body as HTTP would carry it, and its media type."""
    content_format = _JSON if request.opt.content_format is None else int(request.opt.content_format)
    if not request.payload:
        return b"", _MEDIA[_JSON]
    if content_format == _CBOR:
        return write_json(cbor2.loads(request.payload)), _MEDIA[_JSON]
    return request.payload, _MEDIA[content_format]


def _answer(method: str, status: int, body: bytes, *, wants_cbor: bool) -> aiocoap.Message:
    code = _CODES.get(status, Code.INTERNAL_SERVER_ERROR if status >= 500 else Code.BAD_REQUEST)  # noqa: PLR2004 - HTTP's classes
    if code is Code.CONTENT and method != "GET":
        code = Code.DELETED if method == "DELETE" else Code.CHANGED
    elif code is Code.CHANGED and method == "DELETE":
        code = Code.DELETED
    if not body:
        return aiocoap.Message(code=code)
    if wants_cbor:
        return aiocoap.Message(code=code, payload=cbor2.dumps(read_json(body)), content_format=_CBOR)
    return aiocoap.Message(code=code, payload=body, content_format=_JSON)


@asynccontextmanager
async def serving_coap(gateway: CoapGateway, udp_port: int) -> AsyncIterator[str]:
    """Serve on loopback, UDP and TCP (RFC 8323); gives the base address.

    Raises:
        UnavailableError: the port cannot be had.
    """
    try:
        _require_free(udp_port)  # aiocoap loses its socket when it cannot bind it
        context = await aiocoap.Context.create_server_context(
            gateway, bind=("127.0.0.1", udp_port), transports=["udp6", "tcpserver"]
        )
    except OSError as error:
        raise UnavailableError(
            f"CoAP cannot listen at 127.0.0.1:{udp_port}: {error.strerror or error}.",
            hint="Set [api] coap_port to another port, or to 0 for none.",
        ) from error
    try:
        yield f"coap://127.0.0.1:{udp_port}"
    finally:
        await context.shutdown()


def _require_free(port: int) -> None:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(type=kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, kind == socket.SOCK_STREAM)
            probe.bind(("127.0.0.1", port))
