"""HTTP requests of a guest, in the form that its sandbox sends and wants them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from edgehost.domain.errors import InvalidRecordError
from edgehost.granted_http import fetch_granted, make_request

# Threads of their own, so that slow servers never hold up the host's own work; made at the first request.
_THREADS: Final = ThreadPoolExecutor(8, thread_name_prefix="edgehost.guest-http")


async def fetch(
    request: bytes, body: bytes, *, granted: Iterable[str], timeout_s: float, most_bytes: int
) -> bytes:
    """The answer as the sandbox wants it: u32 length of a JSON head, the head, the body.

    Raises:
        NotGrantedError: the host, or one that it redirects to, was not granted.
        InvalidRecordError: the request is no request.
        TooLargeError: the answer is longer than ``most_bytes``.
        UnavailableError: nobody answers.
    """
    try:
        members = json.loads(request)
        url = members["url"]
        method = members.get("method") or "GET"
        headers = members.get("headers") or members.get("header") or {}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InvalidRecordError("Invalid HTTP request: it must be JSON with a 'url'.") from None
    answer = await fetch_granted(
        make_request(method, url, headers, body),
        granted=tuple(granted),
        timeout_s=timeout_s,
        most_bytes=most_bytes,
        threads=_THREADS,
    )
    head = json.dumps({"status": answer.status, "headers": answer.headers}).encode()
    return b"".join((len(head).to_bytes(4, "little"), head, answer.body))
