"""How the routes answer: by method, as JSON, as a record."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from edgehost.api.problems import MethodNotAllowedError
from edgehost.api.reading import JSON
from edgehost.domain.json_text import tell_json
from edgehost.domain.record import Record
from edgehost.usecases.record_keeping import record_document

_Found = TypeVar("_Found")


def handler_for(request: Request, handlers: Mapping[str, _Found]) -> _Found:
    """The handler of the request's method; HEAD is a GET whose body is not sent.

    Raises:
        MethodNotAllowedError: the path does not have this method.
    """
    method = "GET" if request.method == "HEAD" else request.method
    handler = handlers.get(method)
    if handler is None:
        allowed = ", ".join(sorted({*handlers, *({"HEAD"} if "GET" in handlers else ())}))
        raise MethodNotAllowedError(
            f"{request.method[:20]} is not possible here.", hint=f"Use {allowed}.", headers={"allow": allowed}
        )
    return handler


def json_response(
    value: object, status: HTTPStatus = HTTPStatus.OK, *, headers: Mapping[str, str] | None = None
) -> Response:
    """The value as a JSON response."""
    return Response(tell_json(value), status, headers=headers, media_type=JSON)


def record_response(
    record: Record, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> Response:
    """The record as a JSON response, with its revision as ETag."""
    return json_response(
        record_document(record),
        status,
        headers={"etag": f'"{record.revision}"', "cache-control": "no-cache", **(headers or {})},
    )
