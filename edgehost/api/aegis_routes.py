"""The paths of AEGIS, with the replies that it documents, for clients written for it: ``/aegis/api/...``.

Its errors are ``{"error": ...}`` on top of a problem document. What was dangerous there (deploying code by a
request, reloading by a GET) is answered with what to use instead.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from edgehost.api.aegis_records import as_aegis, read_aegis_query
from edgehost.api.calling import context_of
from edgehost.api.own_routes import OwnRoutes
from edgehost.api.permissions import require_own_page, require_permissions, require_relations
from edgehost.api.port_routes import PortRoutes
from edgehost.api.problems import MEDIA_TYPE, GoneError, problem_document, reported, status_of
from edgehost.api.reading import (
    idempotency_key,
    query_parameters,
    read_json_body,
    read_optional_json_body,
    take_id,
)
from edgehost.api.responses import handler_for, json_response
from edgehost.api.rooms import ApiRooms
from edgehost.domain.errors import InvalidQueryError, InvalidRecordError, NotFoundError, RefusedError
from edgehost.domain.json_text import read_json, tell_json
from edgehost.domain.record import Record
from edgehost.ports.host_control import HostControl
from edgehost.usecases.create_record import Idempotency, create_record
from edgehost.usecases.delete_record import delete_record
from edgehost.usecases.follow_relation import follow_relation
from edgehost.usecases.list_records import count_records, list_records
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.run_command import permissions_for, run_command
from edgehost.usecases.show_record import show, shown
from edgehost.usecases.update_record import update_record

_Handler = Callable[..., Awaitable[Response]]
#: What its views are called here.
_VIEWS: Final = {"data": "sources", "threads": "sandboxes"}
_MAX_ARGS: Final = 4096


class AegisRoutes:
    """Answers below ``/aegis/api``."""

    def __init__(self, rooms: ApiRooms, ports: PortRoutes, own: OwnRoutes, host: HostControl | None) -> None:
        self._rooms = rooms
        self._keeping = rooms.keeping
        self._ports = ports
        self._own = own
        self._host = host
        #: What is behind the endpoint, ids and names as "*".
        self._handlers: Final[Mapping[tuple[str, ...], Mapping[str, _Handler]]] = {
            (): {"GET": self._list, "POST": self._create},
            ("*",): {"GET": self._get, "PATCH": self._update, "DELETE": self._delete},
            ("*", "*"): {"PATCH": self._command},
        }

    async def answer(self, request: Request, steps: tuple[str, ...]) -> ASGIApp:
        """The answer at a path below the prefix; errors are answered here too."""
        try:
            return await self._answer(request, steps)
        except Exception as fault:  # noqa: BLE001 - each is told to the client, faults of ours in the log
            error = reported(fault)
            document = problem_document(error) | {"error": error.message}
            headers = dict(getattr(error, "headers", {}))
            return Response(tell_json(document), status_of(error), headers=headers, media_type=MEDIA_TYPE)

    async def _answer(self, request: Request, steps: tuple[str, ...]) -> ASGIApp:
        match steps:
            case ["config"]:
                return await handler_for(request, {"GET": self._config})(request)
            case ["models", endpoint, *rest] if endpoint in self._rooms.models.table.by_endpoint:
                return await self._below(request, self._rooms.models.table.at(endpoint), rest)
            case ["models", "reload"] | ["reload"]:
                raise GoneError(
                    "Components are not reloaded by a request here.",
                    hint="Publish a new version: it goes live by itself. Or use 'edgehost deploy'.",
                )
            case ["deploy"]:
                raise GoneError(
                    "Code is not deployed by a request here.",
                    hint="Publish a signed release with 'edgehost publish', then 'edgehost deploy' where hosts wait.",
                )
            case ["models", endpoint, *_]:
                self._rooms.models.table.at(endpoint)
            case _:
                if (response := await self._own.answer(request, steps)) is not None:
                    return response
        raise NotFoundError(f"There is nothing at '{'/'.join(steps)[:120]}'.")

    async def _below(self, request: Request, model: LiveModel, rest: list[str]) -> Response:
        match rest:
            case ["service", "ports", port]:
                return await self._port(request, model, port, None)
            case [record_id, "service", "ports", port]:
                return await self._port(request, model, port, record_id)
            case _:
                handlers = self._handlers.get(tuple("*" for _ in rest))
        if handlers is None:
            raise NotFoundError(f"There is nothing at '{'/'.join(rest)[:120]}'.")
        return await handler_for(request, handlers)(request, model, *rest)

    async def _config(self, request: Request) -> Response:
        if self._host is None:
            raise NotFoundError("This host shows nothing of itself.")
        asked = dict(query_parameters(request))
        details = asked.pop("details", "models")
        name = asked.pop("modelName", asked.pop("poolName", "")).lower()
        asked.pop("isCached", None)
        if asked:
            raise InvalidQueryError(
                f"{next(iter(asked))[:80]!r} is unknown here.", hint="Use ?details=VIEW&modelName=NAME."
            )
        view = await self._host.view(_VIEWS.get(details, details), name)
        return json_response(next(iter(view.values())))

    async def _list(self, request: Request, model: LiveModel) -> Response:
        require_permissions(request, model, "read")
        query, counts = read_aegis_query(model, query_parameters(request))
        if counts:
            return json_response({"total": await count_records(self._keeping, model, query)})
        page = await list_records(self._keeping, model, query, context=context_of(request, model))
        return json_response([as_aegis(model, record) for record in page.records])

    async def _create(self, request: Request, model: LiveModel) -> Response:
        require_permissions(request, model, "create")
        key = idempotency_key(request)
        data, _ = await read_json_body(request, limit_bytes=self._rooms.body_bytes)
        created = await create_record(
            self._keeping,
            model,
            data,
            record_id=take_id(data),
            idempotency=Idempotency(key, "") if key else None,  # the key alone counts there
            context=context_of(request, model),
        )
        return _done(created.record.id)

    async def _get(self, request: Request, model: LiveModel, record_id: str) -> Response:
        options = dict(query_parameters(request))
        if "command" in options:
            require_own_page(request)
            require_permissions(request, model, *permissions_for(model.spec, options["command"]))
            outcome = await run_command(
                self._keeping,
                model,
                record_id,
                options["command"],
                _args(options.get("args", "")),
                context=context_of(request, model),
            )
            return json_response(outcome.result)
        require_permissions(request, model, "read")
        record = await self._keeping.require(model, record_id)
        if "relation" in options:
            return await self._related(request, model, record, options["relation"])
        return json_response(as_aegis(model, await show(self._keeping, model, record)))

    async def _related(self, request: Request, model: LiveModel, record: Record, name: str) -> Response:
        relations = self._rooms.relations
        if relations is None:
            raise NotFoundError("This host follows no relations.")
        require_relations(request, self._rooms.models, model, {name: {}})
        found = await follow_relation(relations, model, record, name, context=context_of(request, model))
        records, target = found.records, self._rooms.models.table.by_name.get(found.model)
        if target is not None:
            records = tuple(await shown(self._keeping, target, records))
        mine = as_aegis(model, await show(self._keeping, model, record))
        theirs = [as_aegis(target or model, each) for each in records]
        return json_response({model.spec.name.upper(): mine, name.upper(): theirs})

    async def _update(self, request: Request, model: LiveModel, record_id: str) -> Response:
        require_permissions(request, model, "update")
        changes, _ = await read_json_body(request, limit_bytes=self._rooms.body_bytes)
        if not isinstance(changes, dict):
            raise InvalidRecordError("Changes must be a JSON object.")
        await update_record(self._keeping, model, record_id, changes, context=context_of(request, model))
        return _done(record_id)

    async def _delete(self, request: Request, model: LiveModel, record_id: str) -> Response:
        require_permissions(request, model, "delete")
        await delete_record(self._keeping, model, record_id, context=context_of(request, model))
        return _done(record_id)

    async def _command(self, request: Request, model: LiveModel, record_id: str, command: str) -> Response:
        require_permissions(request, model, *permissions_for(model.spec, command))
        args = await read_optional_json_body(request, limit_bytes=self._rooms.body_bytes)
        outcome = await run_command(
            self._keeping, model, record_id, command, args, context=context_of(request, model)
        )
        return json_response(outcome.result, HTTPStatus.CREATED)

    async def _port(self, request: Request, model: LiveModel, port: str, record_id: str | None) -> Response:
        require_permissions(request, model, "port")
        outcome = await self._ports.outcome(request, model, port, record_id)
        return json_response(outcome.answer, HTTPStatus.CREATED)


def _done(record_id: str) -> Response:
    return json_response({"status": "ok", "modelId": record_id}, HTTPStatus.CREATED)


def _args(text: str) -> Any:  # noqa: ANN401 - JSON
    """``args`` as JSON, or as the text that it is; None without any."""
    if not text:
        return None
    if len(text) > _MAX_ARGS:
        raise InvalidQueryError(f"args has more than {_MAX_ARGS} characters.", hint="PATCH the command.")
    try:
        return read_json(text.encode())
    except RefusedError:
        return text
