"""Answer at a path that a component declares for itself: its export gets the request and makes the response."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from edgehost.domain.errors import GuestProtocolError
from edgehost.domain.json_text import write_json
from edgehost.ports.sandbox import CallContext
from edgehost.usecases.ask_guest import ask
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.record_keeping import RecordKeeping

#: What a guest may say about its answer; nothing that concerns the connection, other origins or credentials.
ANSWER_HEADERS: Final = frozenset(
    {
        "cache-control",
        "content-disposition",
        "content-language",
        "content-type",
        "etag",
        "last-modified",
        "link",
        "location",
        "retry-after",
    }
)
#: What a guest learns of a request; no credentials.
REQUEST_HEADERS: Final = (
    "accept",
    "accept-language",
    "content-type",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "user-agent",
)
#: These have no body (RFC 9110, sections 15.3.5, 15.3.6, 15.4.5).
BODILESS: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.RESET_CONTENT, HTTPStatus.NOT_MODIFIED})
_LONGEST_HEADER: Final = 1024
_TEXT: Final = "text/plain; charset=utf-8"
_JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class RouteRequest:
    """What the export is told of a request."""

    method: str
    path: str  # below the API's root
    params: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, list[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None  # JSON, or a text


@dataclass(frozen=True, slots=True)
class RouteAnswer:
    """What the export answered, checked."""

    status: HTTPStatus
    headers: Mapping[str, str]
    body: bytes


async def answer_route(
    keeping: RecordKeeping,
    model: LiveModel,
    export: str,
    request: RouteRequest,
    *,
    context: CallContext,
) -> RouteAnswer:
    """Ask the export once.

    Raises:
        GuestError: the guest failed or refused, or answered with something that is no response.
    """
    question = {
        "method": request.method,
        "path": request.path,
        "params": request.params,
        "query": request.query,
        "headers": request.headers,
        "body": request.body,
    }
    answer = await ask(
        keeping, model, export, question, context=context, members={"status", "headers", "body"}
    )
    problem = _problem_of(answer)
    if problem:
        keeping.components.blame(model.component)
        raise GuestProtocolError(
            f"'{export}' of '{model.component}' answered with {problem}",
            hint='A route answers {"status": 200, "headers": {...}, "body": ...}, each of them optional.',
        )
    return _read(answer)


def _problem_of(answer: Mapping[str, Any]) -> str:
    status, headers = answer.get("status", 200), answer.get("headers", {})
    if isinstance(status, bool) or status not in {each.value for each in HTTPStatus if each >= HTTPStatus.OK}:
        return f"the status {str(status)[:20]!r}, which is none of a final response."
    if not isinstance(headers, dict):
        return "headers that are no object."
    for name, value in headers.items():
        if name.lower() not in ANSWER_HEADERS:
            return f"the header {name[:80]!r}, which a component may not set."
        if not isinstance(value, str) or len(value) > _LONGEST_HEADER or not _is_printable(value):
            return f"a value of the header {name!r} that is no short text of printable ASCII."
    return ""


def _is_printable(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _read(answer: Mapping[str, Any]) -> RouteAnswer:
    body = answer.get("body")
    default = HTTPStatus.OK if body is not None else HTTPStatus.NO_CONTENT
    status = HTTPStatus(answer.get("status", default))
    headers = {name.lower(): value for name, value in answer.get("headers", {}).items()}
    if body is None or status in BODILESS:
        headers.pop("content-type", None)
        return RouteAnswer(status, headers, b"")
    headers.setdefault("content-type", _TEXT if isinstance(body, str) else _JSON)
    content = body.encode() if isinstance(body, str) and _is_text(headers) else write_json(body)
    return RouteAnswer(status, headers, content)


def _is_text(headers: Mapping[str, str]) -> bool:
    kind = headers["content-type"].partition(";")[0].strip().lower()
    return kind != _JSON and not kind.endswith("+json")
