"""The generated routes of the live models."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response

from edgehost.api.calling import context_of
from edgehost.api.filters import read_query
from edgehost.api.port_routes import PortRoutes
from edgehost.api.reading import (
    JSON,
    MERGE_PATCH,
    entity_tags,
    idempotency_key,
    query_parameters,
    read_json_body,
    read_optional_json_body,
)
from edgehost.api.responses import handler_for, json_response, record_response
from edgehost.api.rooms import ApiRooms
from edgehost.domain.errors import InvalidRecordError, NotFoundError
from edgehost.domain.record import ID_PATTERN
from edgehost.usecases.create_record import Idempotency, create_record
from edgehost.usecases.delete_record import delete_record
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.query_records import query_records
from edgehost.usecases.record_keeping import record_document
from edgehost.usecases.run_command import run_command
from edgehost.usecases.update_record import update_record

_Handler = Callable[[Request, LiveModel, tuple[str, ...]], Awaitable[Response]]


class ModelRoutes:
    """Answers below ``<root>/models``; which models there are is looked up anew for every request."""

    def __init__(self, rooms: ApiRooms, ports: PortRoutes) -> None:
        self._rooms = rooms
        self._keeping = rooms.keeping
        self._root = rooms.root
        self._body_bytes = rooms.body_bytes
        self._ports = ports
        self._of_list: Final[Mapping[str, _Handler]] = {"GET": self._list, "POST": self._create}
        self._of_item: Final[Mapping[str, _Handler]] = {
            "GET": self._get,
            "PATCH": self._update,
            "DELETE": self._delete,
        }
        self._of_command: Final[Mapping[str, _Handler]] = {"POST": self._command}

    async def answer(self, request: Request, path: tuple[str, ...]) -> Response:
        """The answer for a path below ``models``.

        Raises:
            NotFoundError, MethodNotAllowedError, or what the use case raises.
        """
        if not path:
            return self._index(request)
        endpoint, *rest = path
        model = self._rooms.models.table.at(endpoint)
        match rest:
            case []:
                return await handler_for(request, self._of_list)(request, model, ())
            case [record_id]:
                return await handler_for(request, self._of_item)(request, model, (_id(model, record_id),))
            case ["ports", port]:
                return await self._ports.answer(request, model, port)
            case [record_id, "ports", port]:
                return await self._ports.answer(request, model, port, _id(model, record_id))
            case [record_id, "commands", command]:
                handler = handler_for(request, self._of_command)
                return await handler(request, model, (_id(model, record_id), command))
            case _:
                raise NotFoundError(
                    f"There is nothing at '{'/'.join(path)[:120]}'.", hint=f"See {self._root}/openapi.json."
                )

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
            for model in self._rooms.models.table.by_endpoint.values()
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
            context=context_of(request, model),
        )
        headers = {"location": self._href(model, created.record.id)}
        if created.repeated:
            headers["idempotency-replayed"] = "true"
        return record_response(created.record, HTTPStatus.CREATED, headers)

    async def _get(self, request: Request, model: LiveModel, path: tuple[str, ...]) -> Response:
        record = await self._keeping.require(model, path[0])
        known = request.headers.get("if-none-match")
        if known is not None:
            tags = entity_tags(request, "if-none-match")
            if tags is None or record.revision in tags:
                return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"etag": f'"{record.revision}"'})
        return record_response(record)

    async def _update(self, request: Request, model: LiveModel, path: tuple[str, ...]) -> Response:
        expected = entity_tags(request, "if-match")
        patch, _ = await read_json_body(
            request, limit_bytes=self._body_bytes, media_types=(MERGE_PATCH, JSON)
        )
        record = await update_record(
            self._keeping, model, path[0], patch, expected=expected, context=context_of(request, model)
        )
        return record_response(record)

    async def _delete(self, request: Request, model: LiveModel, path: tuple[str, ...]) -> Response:
        expected = entity_tags(request, "if-match")
        context = context_of(request, model)
        await delete_record(self._keeping, model, path[0], expected=expected, context=context)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def _command(self, request: Request, model: LiveModel, path: tuple[str, ...]) -> Response:
        args = await read_optional_json_body(request, limit_bytes=self._body_bytes)
        expected = entity_tags(request, "if-match")
        record_id, command = path
        outcome = await run_command(
            self._keeping,
            model,
            record_id,
            command,
            args,
            expected=expected,
            context=context_of(request, model),
        )
        answer: dict[str, Any] = {"result": outcome.result}
        headers = {}
        if outcome.changed is not None:
            answer["record"] = record_document(outcome.changed)
            headers["etag"] = f'"{outcome.changed.revision}"'
        return json_response(answer, headers=headers)

    def _href(self, model: LiveModel, record_id: str = "") -> str:
        below = f"/{quote(record_id)}" if record_id else ""
        return f"{self._root}/models/{model.spec.endpoint}{below}"


def _id(model: LiveModel, text: str) -> str:
    if not ID_PATTERN.fullmatch(text):
        raise NotFoundError(f"'{model.spec.endpoint}' has no record '{text[:128]}'.")
    return text
