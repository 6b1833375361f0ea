"""The generated routes of the live models."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from edgehost.api.bulk_routes import BulkRoutes
from edgehost.api.calling import context_of
from edgehost.api.list_routes import ListRoutes
from edgehost.api.permissions import require_path
from edgehost.api.port_routes import PortRoutes
from edgehost.api.reading import (
    JSON,
    MERGE_PATCH,
    entity_tags,
    idempotency_key,
    read_json_body,
    read_optional_json_body,
    take_id,
)
from edgehost.api.relation_routes import RelationRoutes
from edgehost.api.responses import handler_for, json_response, record_response
from edgehost.api.rooms import ApiRooms
from edgehost.api.thing_routes import ThingRoutes
from edgehost.domain.errors import NotFoundError
from edgehost.domain.record import ID_PATTERN, Record
from edgehost.usecases.create_record import Idempotency, create_record
from edgehost.usecases.delete_record import delete_record
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.record_keeping import record_document
from edgehost.usecases.run_command import commands_of, run_command
from edgehost.usecases.show_record import domain_of, show
from edgehost.usecases.update_record import update_record

_Handler = Callable[
    ..., Awaitable[ASGIApp]
]  # of the request, the model, and an id and a name where the path has them


class ModelRoutes:
    """Answers below ``<root>/models``; which models there are is looked up anew for every request."""

    def __init__(self, rooms: ApiRooms, ports: PortRoutes, things: ThingRoutes) -> None:
        self._rooms = rooms
        self._things = things
        self._keeping = rooms.keeping
        self._root = rooms.root
        self._body_bytes = rooms.body_bytes
        self._ports = ports
        self._relations: Final = RelationRoutes(rooms)
        self._bulk: Final = BulkRoutes(rooms)
        self._lists: Final = ListRoutes(rooms, self._relations)
        #: What is behind the endpoint, ids and names as "*" -> handlers by method; they get the "*" in their order.
        self._handlers: Final[Mapping[tuple[str, ...], Mapping[str, _Handler]]] = {
            (): {"GET": self._lists.answer, "POST": self._create},
            ("*",): {"GET": self._get, "PATCH": self._update, "DELETE": self._delete},
            ("*", "commands", "*"): {"POST": self._command},
            ("*", "relations", "*"): {"GET": self._relations.related, "POST": self._relations.create},
        }

    async def answer(self, request: Request, path: tuple[str, ...]) -> ASGIApp:
        """The answer for a path below ``models``.

        Raises:
            NotFoundError, MethodNotAllowedError, or what the use case raises.
        """
        if not path:
            return self._index(request)
        endpoint, *rest = path
        model = self._rooms.models.table.at(endpoint)
        require_path(request, model, tuple(rest))
        match rest:
            case ["td"]:
                return handler_for(request, {"GET": self._things}).describe(request, model)
            case ["bulk"]:
                return await handler_for(request, {"POST": self._bulk}).answer(request, model)
            case ["ports", port]:
                return await self._ports.answer(request, model, port)
            case [record_id, "ports", port]:
                return await self._ports.answer(request, model, port, _id(model, record_id))
            case _:
                pass
        handlers = self._handlers.get(tuple("*" if at % 2 == 0 else step for at, step in enumerate(rest)))
        if handlers is None:
            raise NotFoundError(
                f"There is nothing at '{'/'.join(path)[:120]}'.", hint=f"See {self._root}/openapi.json."
            )
        handler = handler_for(request, handlers)
        if rest:
            _id(model, rest[0])
        return await handler(request, model, *rest[::2])

    def _index(self, request: Request) -> Response:
        handler_for(request, {"GET": self._get})
        models = [
            {
                "name": model.spec.name,
                "endpoint": model.spec.endpoint,
                "domain": domain_of(model.spec),
                "href": self._href(model),
                "component": model.component,
                "version": model.version,
                "digest": model.digest,
                "description": model.description,
                "commands": sorted(commands_of(model.spec)),
            }
            for model in self._rooms.models.table.by_endpoint.values()
        ]
        return json_response({"models": models})

    async def _create(self, request: Request, model: LiveModel) -> Response:
        key = idempotency_key(request)
        data, body = await read_json_body(request, limit_bytes=self._body_bytes)
        record_id = take_id(data)
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
        return await self._told(model, created.record, HTTPStatus.CREATED, headers)

    async def _get(self, request: Request, model: LiveModel, record_id: str) -> Response:
        if request.scope["query_string"]:
            related = await self._relations.item(request, model, record_id)
            if related is not None:
                return related
        record = await self._keeping.require(model, record_id)
        if request.headers.get("if-none-match", "").strip():
            tags = entity_tags(request, "if-none-match")
            if tags is None or record.revision in tags:
                return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"etag": f'"{record.revision}"'})
        return await self._told(model, record)

    async def _update(self, request: Request, model: LiveModel, record_id: str) -> Response:
        expected = entity_tags(request, "if-match")
        patch, _ = await read_json_body(
            request, limit_bytes=self._body_bytes, media_types=(MERGE_PATCH, JSON)
        )
        record = await update_record(
            self._keeping, model, record_id, patch, expected=expected, context=context_of(request, model)
        )
        return await self._told(model, record)

    async def _delete(self, request: Request, model: LiveModel, record_id: str) -> Response:
        expected = entity_tags(request, "if-match")
        context = context_of(request, model)
        await delete_record(self._keeping, model, record_id, expected=expected, context=context)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def _command(self, request: Request, model: LiveModel, record_id: str, command: str) -> Response:
        args = await read_optional_json_body(request, limit_bytes=self._body_bytes)
        expected = entity_tags(request, "if-match")
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
            answer["record"] = record_document(await show(self._keeping, model, outcome.changed))
            headers["etag"] = f'"{outcome.changed.revision}"'
        return json_response(answer, headers=headers)

    async def _told(
        self,
        model: LiveModel,
        record: Record,
        status: HTTPStatus = HTTPStatus.OK,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        return record_response(await show(self._keeping, model, record), status, headers)

    def _href(self, model: LiveModel, record_id: str = "") -> str:
        below = f"/{quote(record_id)}" if record_id else ""
        return f"{self._root}/models/{model.spec.endpoint}{below}"


def _id(model: LiveModel, text: str) -> str:
    if not ID_PATTERN.fullmatch(text):
        raise NotFoundError(f"'{model.spec.endpoint}' has no record '{text[:128]}'.")
    return text
