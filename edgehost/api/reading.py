"""Reads what a request brings: bounded first, then understood."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, HTTPConnection, Request

from edgehost.api.problems import (
    ApiError,
    BodyTooLargeError,
    HeadersTooLargeError,
    MediaTypeError,
    RequestTimeoutError,
)
from edgehost.domain.errors import InvalidQueryError, InvalidRecordError
from edgehost.domain.json_text import read_json

JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
MAX_HEADERS: Final = 64
MAX_PARAMETERS: Final = 32
#: Whoever sends slower than this keeps a connection busy for nothing.
BODY_TIMEOUT_S: Final = 20.0
#: A body that is refused is read on for a moment: closing at once could destroy the answer on its way.
_DRAIN_BYTES: Final = 4 * 1024 * 1024
_DRAIN_TIMEOUT_S: Final = 2.0

_ETAG: Final = re.compile(r'\s*(W/)?"([\x21\x23-\x7e]{0,128})"\s*')
_MAX_ETAGS: Final = 16
_IDEMPOTENCY_KEY: Final = re.compile(r"[\x21-\x7e]{1,128}")


async def read_json_body(
    request: Request, *, limit_bytes: int, media_types: tuple[str, ...] = (JSON,)
) -> tuple[Any, bytes]:
    """The body as a value, and as it came.

    Raises:
        MediaTypeError, BodyTooLargeError, RequestTimeoutError: it is not read.
        MalformedJSONError, TooLargeError: it is read and refused.
    """
    _require_media_type(request, media_types)
    body = await _read_body(request, limit_bytes)
    return read_json(body), body


async def read_optional_json_body(request: Request, *, limit_bytes: int) -> Any:  # noqa: ANN401 - JSON
    """As ``read_json_body``; None when there is no body."""
    headers = request.headers
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return None
    value, _ = await read_json_body(request, limit_bytes=limit_bytes)
    return value


def is_json(request: Request) -> bool:
    """Whether the body says that it is JSON."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == JSON


def require_few_headers(scope: Mapping[str, Any]) -> None:
    """Check how many headers there are; the server bounds their bytes."""
    if len(scope["headers"]) > MAX_HEADERS:
        raise HeadersTooLargeError(
            f"The request has more than {MAX_HEADERS} headers.", headers={"connection": "close"}
        )


def query_parameters(request: HTTPConnection) -> list[tuple[str, str]]:
    """The query string, taken apart.

    Raises:
        InvalidQueryError: it is not UTF-8 or has too many parameters.
    """
    text: bytes = request.scope["query_string"]
    if not text:
        return []
    try:
        return parse_qsl(
            text.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS
        )
    except UnicodeError:
        raise InvalidQueryError("The query string is not percent-encoded UTF-8.") from None
    except ValueError:
        raise InvalidQueryError(f"The query string has more than {MAX_PARAMETERS} parameters.") from None


def entity_tags(request: Request, header: str) -> frozenset[str] | None:
    """The revisions that a precondition names; None without one, or when it accepts any.

    Raises:
        ApiError: the header cannot be understood.
    """
    given = request.headers.getlist(header)
    value = ", ".join(given)
    # An empty header is no absent one: its sender meant a precondition, and lost it on the way.
    if not given or value.strip() == "*":
        return None
    tags: set[str] = set()
    at = 0
    while (found := _ETAG.match(value, at)) and len(tags) < _MAX_ETAGS:
        # A weak tag never matches where bytes must be the same (RFC 9110, section 8.8.3.2).
        if not found[1] or header == "if-none-match":
            tags.add(found[2])
        at = found.end()
        if at == len(value):
            return frozenset(tags)
        if value[at] != ",":
            break
        at += 1
    raise ApiError(
        f"The {header} header cannot be understood.", hint='Send the ETag as it came, with its quotes: "...".'
    )


def idempotency_key(request: Request) -> str:
    """The request's idempotency key, or "".

    Raises:
        ApiError: it has characters that a key may not have.
    """
    key = request.headers.get("idempotency-key")
    if key is None:
        return ""
    if not _IDEMPOTENCY_KEY.fullmatch(key):
        raise ApiError(
            "The idempotency key must have 1 to 128 printable ASCII characters, no space.",
            hint="Send a UUID.",
        )
    return key


def take_id(data: object) -> str:
    """The id in the data of a new record, taken out of it; "" when there is none.

    Raises:
        InvalidRecordError: it is no text, or empty.
    """
    if not isinstance(data, dict) or "id" not in data:
        return ""
    record_id = data.pop("id")
    if not isinstance(record_id, str) or not record_id:
        raise InvalidRecordError("The id must be a string.", hint="Leave it out to have one made.")
    return record_id


def _require_media_type(request: Request, media_types: tuple[str, ...]) -> None:
    given, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().replace('"', "")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if (
        given.strip().lower() not in media_types
        or charset not in {"", "charset=utf-8"}
        or encoding != "identity"
    ):
        accepted = ", ".join(media_types)
        raise MediaTypeError(
            f"The body is {given.strip()[:80] or 'of no stated type'}, which is not understood here.",
            hint=f"Send {accepted} in UTF-8, not compressed.",
            headers={"accept-patch" if MERGE_PATCH in media_types else "accept": accepted},
        )


async def _read_body(request: Request, limit_bytes: int) -> bytes:
    length = request.headers.get("content-length", "0")
    declared = int(length) if length.isascii() and length.isdigit() and len(length) < 20 else limit_bytes + 1  # noqa: PLR2004 - 64 bits
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            while declared <= limit_bytes:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                part = message.get("body", b"")
                size += len(part)
                if size > limit_bytes:
                    break
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise RequestTimeoutError(
            f"The body did not arrive within {BODY_TIMEOUT_S:.0f} s.", headers={"connection": "close"}
        ) from None
    if "expect" not in request.headers:  # whoever asks first has not sent it yet
        await _drain(request)
    raise BodyTooLargeError(
        f"The body has more than {limit_bytes} bytes.",
        hint="Send less at once, or raise [api] body_kib.",
        headers={"connection": "close"},
    )


async def _drain(request: Request) -> None:
    size = 0
    try:
        async with asyncio.timeout(_DRAIN_TIMEOUT_S):
            while size < _DRAIN_BYTES:
                message = await request.receive()
                size += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        return


async def read_optional_body(request: Request, *, limit_bytes: int) -> bytes:
    """The body as it came, whatever it is.

    Raises:
        BodyTooLargeError, RequestTimeoutError: it is not read.
    """
    return await _read_body(request, limit_bytes)
