"""The service ``http``: requests to the hosts that the configuration grants."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlencode, urljoin, urlsplit

from edgehost.adapters.services.secret_file import read_secret
from edgehost.config_services import HttpOptions
from edgehost.domain.errors import RefusedError, TooLargeError, UnavailableError
from edgehost.domain.json_text import read_json, write_json
from edgehost.domain.spec_reader import SpecReader
from edgehost.granted_http import HttpAnswer, fetch_granted, make_request
from edgehost.ports.service import Service, ServiceHealth, ServiceNotice

_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")
_THREADS: Final = 8  # requests at one time; more wait
#: Answers that say that the server may do better later.
_NOT_NOW: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST_URL: Final = 8192

FUNCTIONS: Final = {
    "request": 'any request: {"method"?, "url", "query"?, "headers"?, "json"? or "body"?}',
    **{word.lower(): f"a {word} request, with the same members" for word in _METHODS if word != "HEAD"},
}


class HttpService:
    """A Service over ``http.client``."""

    functions: Mapping[str, str] = FUNCTIONS
    events: Mapping[str, str] = {}

    def __init__(self, name: str, options: HttpOptions, threads: ThreadPoolExecutor) -> None:
        self._name, self._options, self._threads = name, options, threads
        self._trouble = ""

    async def call(self, function: str, given: Any, *, timeout_s: float) -> Any:  # noqa: ANN401 - JSON
        """``{"status", "headers", "json"? | "text"? | "base64"?}``.

        Raises:
            RefusedError, NotGrantedError, TooLargeError: the request is wrong, or not allowed.
            UnavailableError: nobody answers, or the server says that it cannot now (408, 425, 429, 5xx).
        """
        if not isinstance(given, Mapping):
            raise RefusedError(f"The service '{self._name}' wants an object with a url.")
        request = SpecReader(given, error=RefusedError)
        method = (
            request.choice("method", _METHODS, default="GET") if function == "request" else function.upper()
        )
        url = self._url(request)
        headers = {str(key): value for key, value in request.document("headers").items()}
        body = self._body(request, headers)
        request.refuse_unknown()
        if self._options.token_file is not None and self._is_home(url):
            headers["Authorization"] = f"Bearer {await read_secret(self._options.token_file)}"
        try:
            answer = await fetch_granted(
                make_request(method, url, headers, body),
                granted=self._options.hosts,
                timeout_s=min(timeout_s, self._options.timeout_s),
                most_bytes=self._options.answer_kib * 1024,
                threads=self._threads,
            )
        except UnavailableError as error:
            self._trouble = error.message
            raise
        self._trouble = ""
        if answer.status in _NOT_NOW:
            raise UnavailableError(f"{urlsplit(url).hostname} answered {answer.status}.")
        return _told(answer)

    def health(self) -> ServiceHealth:
        """How the last request went."""
        return ServiceHealth("warning", self._trouble) if self._trouble else ServiceHealth()

    def _url(self, request: SpecReader) -> str:
        url = urljoin(self._options.url, request.text("url", default="", longest=_LONGEST_URL))
        query = request.document("query")
        for value in query.values():
            if isinstance(value, dict | list):
                raise RefusedError("query must hold strings and numbers only.")
        if not query:
            return url
        return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"

    def _is_home(self, url: str) -> bool:
        home, there = urlsplit(self._options.url), urlsplit(url)
        return bool(home.netloc) and (home.scheme, home.netloc) == (there.scheme, there.netloc)

    def _body(self, request: SpecReader, headers: dict[str, Any]) -> bytes:
        body = request.text("body", default="", longest=self._options.request_kib * 1024).encode()
        if request.has("json"):
            if body:
                raise RefusedError("The request has both json and body.", hint="Drop one.")
            body = write_json(request.anything("json"))
            headers.setdefault("Content-Type", "application/json")
        if len(body) > self._options.request_kib * 1024:
            raise TooLargeError(
                f"The request's body has {len(body)} bytes; {self._options.request_kib} KiB are allowed."
            )
        return body


def _told(answer: HttpAnswer) -> dict[str, Any]:
    told: dict[str, Any] = {"status": answer.status, "headers": dict(answer.headers)}
    if not answer.body:
        return told
    if "json" in answer.headers.get("content-type", ""):
        try:
            return told | {"json": read_json(answer.body)}
        except RefusedError:
            pass  # told as text, so that the caller sees what came
    try:
        return told | {"text": answer.body.decode()}
    except UnicodeDecodeError:
        return told | {"base64": base64.b64encode(answer.body).decode()}


@asynccontextmanager
async def open_http_service(
    name: str,
    options: HttpOptions,
    notice: ServiceNotice,  # noqa: ARG001 - it tells nothing by itself
) -> AsyncIterator[Service]:
    """A service with threads of its own, so that slow servers hold up nobody else."""
    threads = ThreadPoolExecutor(_THREADS, thread_name_prefix=f"edgehost.{name}")
    try:
        yield HttpService(name, options, threads)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
