"""The generated routes of the live models."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response

from edgehost.api.filters import read_query
from edgehost.api.problems import MethodNotAllowedError
from edgehost.api.reading import (
    JSON,
    MERGE_PATCH,
    entity_tags,
    idempotency_key,
    query_parameters,
    read_json_body,
    read_optional_json_body,
)
from edgehost.domain.errors import InvalidRecordError, NotFoundError
from edgehost.domain.json_text import tell_json
from edgehost.domain.record import ID_PATTERN, Record
from edgehost.usecases.create_record import Idempotency, create_record
from edgehost.usecases.delete_record import delete_record
from edgehost.usecases.live_models import LiveModel, LiveModels
from edgehost.usecases.query_records import query_records
from edgehost.usecases.record_keeping import RecordKeeping, record_document
from edgehost.usecases.run_command import run_command
from edgehost.usecases.update_record import update_record

_Found = TypeVar("_Found")
_Handler = Callable[[Request, LiveModel, tuple[str, ...]], Awaitable[Response]]

#: What the path behind the endpoint looks like: nothing, an id, or an id and a command.
_LIST, _ITEM, _COMMAND = 0, 1, 3


class ModelRoutes:
    """Answers below ``<root>/models``; which models there are is looked up anew for every request."""

    def __init__(self, keeping: RecordKeeping, models: LiveModels, *, root: str, body_bytes: int) -> None:
        self._keeping = keeping
        self._models = models
        self._root = root
        self._body_bytes = body_bytes
        self._handlers: Final[Mapping[int, Mapping[str, _Handler]]] = {
            _LIST: {"GET": self._list, "POST": self._create},
            _ITEM: {"GET": self._get, "PATCH": self._update, "DELETE": self._delete},
            _COMMAND: {"POST": self._command},
        }

    async def answer(self, request: Request, path: tuple[str, ...]) -> Response:
        """The answer for a path below ``models``.

        Raises:
            NotFoundError, MethodNotAllowedError, or what the use case raises.
        """
        if not path:
            return self._index(request)
        endpoint, *rest = path
        model = self._models.table.at(endpoint)
        handlers = self._handlers.get(len(rest))
        if handlers is None or (len(rest) == _COMMAND and rest[1] != "commands"):
            raise NotFoundError(
                f"There is nothing at '{'/'.join(path)[:120]}'.", hint=f"See {self._root}/openapi.json."
            )
        return await handler_for(request, handlers)(request, model, tuple(rest))

    def _index(self, request: Request) -> Response:
        handler_for(request, {"GET": self._get})
        models = [
            {
                "name": model.spec.name,
                "endpoint": model.spec.endpoint,
                "href": self._href(model),
                "component": model.component,
                "version": model.version,
                "digest": model.digest,
                "description": model.description,
                "commands": sorted(model.spec.commands),
            }
            for model in self._models.table.by_endpoint.values()
        ]
        return json_response({"models": models})

    async def _list(self, request: Request, model: LiveModel, _: tuple[str, ...]) -> Response:
        page = await query_records(self._keeping, read_query(model, request))
        headers = {}
        if page.next_cursor:
            kept = [(name, value) for name, value in query_parameters(request) if name != "cursor"]
            query = urlencode([*kept, ("cursor", page.next_cursor)])
            headers["link"] = f'<{self._href(model)}?{query}>; rel="next"'
        return Response(page.to_json(), headers=headers, media_type=JSON)

    async def _create(self, request: Request, model: LiveModel, _: tuple[str, ...]) -> Response:
        key = idempotency_key(request)
        data, body = await read_json_body(request, limit_bytes=self._body_bytes)
        record_id = ""
        if isinstance(data, dict) and "id" in data:
            record_id = data.pop("id")
            if not isinstance(record_id, str) or not record_id:
                raise InvalidRecordError("The id must be a string.", hint="Leave it out to have one made.")
        created = await create_record(
            self._keeping,
            model,
            data,
            record_id=record_id,
            idempotency=Idempotency(key, hashlib.sha256(body).hexdigest()) if key else None,
        )
        headers = {"location": self._href(model, created.record.id)}
        if created.repeated:
            headers["idempotency-replayed"] = "true"
        return _record_response(created.record, HTTPStatus.CREATED, headers)

    async def _get(self, request: Request, model: LiveModel, path: tuple[str, ...]) -> Response:
        record = await self._keeping.require(model, _id(model, path))
        known = request.headers.get("if-none-match")
        if known is not None:
            tags = entity_tags(request, "if-none-match")
            if tags is None or record.revision in tags:
                return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"etag": f'"{record.revision}"'})
        return _record_response(record)

    async def _update(self, request: Request, model: LiveModel, path: tuple[str, ...]) -> Response:
        expected = entity_tags(request, "if-match")
        patch, _ = await read_json_body(
            request, limit_bytes=self._body_bytes, media_types=(MERGE_PATCH, JSON)
        )
        record = await update_record(self._keeping, model, _id(model, path), patch, expected=expected)
        return _record_response(record)

    async def _delete(self, request: Request, model: LiveModel, path: tuple[str, ...]) -> Response:
        await delete_record(self._keeping, model, _id(model, path), expected=entity_tags(request, "if-match"))
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def _command(self, request: Request, model: LiveModel, path: tuple[str, ...]) -> Response:
        args = await read_optional_json_body(request, limit_bytes=self._body_bytes)
        expected = entity_tags(request, "if-match")
        outcome = await run_command(self._keeping, model, _id(model, path), path[2], args, expected=expected)
        answer: dict[str, Any] = {"result": outcome.result}
        headers = {}
        if outcome.changed is not None:
            answer["record"] = record_document(outcome.changed)
            headers["etag"] = f'"{outcome.changed.revision}"'
        return json_response(answer, headers=headers)

    def _href(self, model: LiveModel, record_id: str = "") -> str:
        below = f"/{quote(record_id)}" if record_id else ""
        return f"{self._root}/models/{model.spec.endpoint}{below}"


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


def _record_response(
    record: Record, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> Response:
    return json_response(
        record_document(record),
        status,
        headers={"etag": f'"{record.revision}"', "cache-control": "no-cache", **(headers or {})},
    )


def _id(model: LiveModel, path: tuple[str, ...]) -> str:
    if not ID_PATTERN.fullmatch(path[0]):
        raise NotFoundError(f"'{model.spec.endpoint}' has no record '{path[0][:128]}'.")
    return path[0]
