"""The API of this moment as an OpenAPI 3.1 document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from edgehost.api import problems
from edgehost.api.reading import JSON, MERGE_PATCH
from edgehost.api.responses import handler_for
from edgehost.domain.errors import NotFoundError
from edgehost.domain.json_text import write_json
from edgehost.domain.record import ID_PATTERN
from edgehost.domain.record_query import DEFAULT_PAGE, MAX_PAGE, Operator
from edgehost.usecases.live_models import LiveModel, LiveModels, ModelTable
from edgehost.usecases.query_records import RECORD_FIELDS

_Json = dict[str, Any]

_FILTERABLE: Final = {"string", "number", "integer", "boolean"}
#: Keywords whose value is data, not a schema.
_PLAIN_VALUES: Final = {"const", "default", "enum", "examples"}
_PROBLEM: Final[_Json] = {"$ref": "#/components/responses/Problem"}


class ApiDocument:
    """Made when it is first asked for after a change of the models."""

    def __init__(self, models: LiveModels, *, root: str, title: str, version: str) -> None:
        self._models = models
        self._root = root
        self._info = {"title": f"edgehost on {title}", "version": version or "0"}
        self._made: tuple[ModelTable, bytes] | None = None

    async def answer(self, request: Request, path: tuple[str, ...]) -> Response:
        """The document."""
        if path:
            raise NotFoundError("The document has no parts.", hint=f"Get {self._root}/openapi.json.")
        handler_for(request, {"GET": self.answer})
        table = self._models.table
        if self._made is None or self._made[0] is not table:
            self._made = (table, write_json(openapi_document(table, root=self._root, info=self._info)))
        return Response(self._made[1], media_type=JSON)


def openapi_document(table: ModelTable, *, root: str, info: Mapping[str, str]) -> _Json:
    """The document for these models."""
    paths: _Json = {
        f"{root}/models": {
            "get": _operation("List the models", "listModels", {"200": _ok("The models", {})})
        },
        f"{root}/events": {"get": _events_operation()},
    }
    schemas: _Json = {"Problem": _problem_schema()}
    for model in table.by_endpoint.values():
        schemas[_data_name(model)] = _data_schema(model)
        schemas[_new_name(model)] = _new_schema(model)
        schemas[_record_name(model)] = _record_schema(model)
        paths |= _model_paths(model, root)
    return {
        "openapi": "3.1.0",
        "info": dict(info),
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {
                "Problem": {
                    "description": "What went wrong and what to do (RFC 9457)",
                    "content": {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _model_paths(model: LiveModel, root: str) -> _Json:
    base = f"{root}/models/{model.spec.endpoint}"
    name = model.spec.endpoint
    record = {"$ref": f"#/components/schemas/{_record_name(model)}"}
    page = {
        "type": "object",
        "required": ["records", "next_cursor"],
        "properties": {"records": {"type": "array", "items": record}, "next_cursor": {"type": "string"}},
    }
    new = {"$ref": f"#/components/schemas/{_new_name(model)}"}
    paths: _Json = {
        base: {
            "get": _operation(
                f"List {name}",
                f"list-{name}",
                {"200": _ok("A page", page)},
                parameters=_query_parameters(model),
            ),
            "post": _operation(
                f"Create {name}",
                f"create-{name}",
                {"201": _ok("Created", record, headers=("ETag", "Location"))},
                parameters=[_header("Idempotency-Key", "The same key and body create one record only")],
                body={JSON: {"schema": new}},
            ),
        },
        f"{base}/{{id}}": {
            "parameters": [_id_parameter()],
            "get": _operation(
                f"Get {name}",
                f"get-{name}",
                {"200": _ok("The record", record, headers=("ETag",)), "304": {"description": "Not modified"}},
                parameters=[_header("If-None-Match", "ETag that the client has")],
            ),
            "patch": _operation(
                f"Change {name}",
                f"update-{name}",
                {"200": _ok("The changed record", record, headers=("ETag",))},
                parameters=[_header("If-Match", "ETag that the record must have")],
                body={MERGE_PATCH: {"schema": {"type": "object"}}, JSON: {"schema": {"type": "object"}}},
            ),
            "delete": _operation(
                f"Delete {name}",
                f"delete-{name}",
                {"204": {"description": "Deleted"}},
                parameters=[_header("If-Match", "ETag that the record must have")],
            ),
        },
    }
    for command, spec in model.spec.commands.items():
        answer = {"type": "object", "required": ["result"], "properties": {"result": {}, "record": record}}
        operation = _operation(
            spec.description or f"Run {command}",
            f"{command}-{name}",
            {"200": _ok("What it answered", answer)},
            body={JSON: {"schema": {}}},
        )
        operation["requestBody"]["required"] = False
        paths[f"{base}/{{id}}/commands/{command}"] = {"parameters": [_id_parameter()], "post": operation}
    return paths


def _operation(
    summary: str,
    operation_id: str,
    responses: Mapping[str, _Json],
    *,
    parameters: list[_Json] | None = None,
    body: Mapping[str, _Json] | None = None,
) -> _Json:
    operation: _Json = {
        "summary": summary,
        "operationId": operation_id,
        "responses": {**responses, "default": _PROBLEM},
    }
    if parameters:
        operation["parameters"] = parameters
    if body is not None:
        operation["requestBody"] = {"required": True, "content": dict(body)}
    return operation


def _ok(description: str, schema: _Json, *, headers: tuple[str, ...] = ()) -> _Json:
    response: _Json = {"description": description, "content": {JSON: {"schema": schema}}}
    if headers:
        response["headers"] = {name: {"schema": {"type": "string"}} for name in headers}
    return response


def _events_operation() -> _Json:
    parameters = [
        {
            "name": name,
            "in": "query",
            "description": description,
            "schema": {"type": "array", "items": {"type": "string"}},
        }
        for name, description in (
            ("model", "Only records of these models"),
            ("type", "Only these types; a family as 'edgehost.record.*'"),
        )
    ]
    stream = {
        "description": "Server-sent events",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
    return _operation("Follow what happens", "events", {"200": stream}, parameters=parameters)


def _query_parameters(model: LiveModel) -> list[_Json]:
    fields: _Json = {
        name: schema
        for name, schema in model.schema.document.get("properties", {}).items()
        if isinstance(schema, Mapping) and _is_filterable(schema.get("type"))
    }
    operators = ", ".join(f"{operator}" for operator in Operator if operator is not Operator.EQ)
    parameters: list[_Json] = [
        {
            "name": "limit",
            "in": "query",
            "schema": {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": DEFAULT_PAGE},
        },
        {
            "name": "cursor",
            "in": "query",
            "schema": {"type": "string"},
            "description": "'next_cursor' of the page before",
        },
        {
            "name": "order",
            "in": "query",
            "schema": {"enum": ["asc", "desc"], "default": "asc"},
            "description": "By creation",
        },
    ]
    for name, schema in {**fields, **{name: {"type": kind} for name, kind in RECORD_FIELDS.items()}}.items():
        parameters.append(
            {
                "name": name,
                "in": "query",
                "schema": {"type": schema["type"]},
                "description": f"Equal to; also {name}__ with {operators}",
            }
        )
    return parameters


def _is_filterable(kind: object) -> bool:
    """Whether a field of this type, or of one of these types, can be compared; null never is."""
    kinds = set(kind if isinstance(kind, list | tuple) else [kind]) - {"null"}
    return bool(kinds) and kinds <= _FILTERABLE


def _data_schema(model: LiveModel) -> _Json:
    schema = _rebased(model.schema.document, f"#/components/schemas/{_data_name(model)}")
    schema.pop("$schema", None)
    return {"type": "object", **schema}


def _new_schema(model: LiveModel) -> _Json:
    schema = _data_schema(model)
    return {**schema, "properties": {"id": _id_schema(), **schema.get("properties", {})}}


def _rebased(value: Any, base: str) -> Any:  # noqa: ANN401 - JSON
    """The schema with its references counted from the whole document's root."""
    if isinstance(value, list | tuple):
        return [_rebased(item, base) for item in value]
    if not isinstance(value, Mapping):
        return value
    rebased: _Json = {}
    for key, item in value.items():
        if key == "$ref" and isinstance(item, str):
            rebased[key] = base + item.removeprefix("#")
        else:
            rebased[key] = item if key in _PLAIN_VALUES else _rebased(item, base)
    return rebased


def _record_schema(model: LiveModel) -> _Json:
    return {
        "type": "object",
        "required": ["model", "id", "data", "revision", "created_at", "updated_at"],
        "properties": {
            "model": {"const": model.spec.name},
            "id": _id_schema(),
            "data": {"$ref": f"#/components/schemas/{_data_name(model)}"},
            "revision": {"type": "string"},
            "created_at": {"type": "number", "description": "Unix seconds"},
            "updated_at": {"type": "number", "description": "Unix seconds"},
        },
    }


def _problem_schema() -> _Json:
    text = {"type": "string"}
    return {
        "type": "object",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": text,
            "title": text,
            "status": {"type": "integer"},
            "detail": {**text, "description": "What happened"},
            "code": {**text, "description": "A stable word"},
            "hint": {**text, "description": "What to do"},
            "problems": {
                "type": "array",
                "items": {"type": "object", "properties": {"pointer": text, "detail": text}},
            },
        },
    }


def _header(name: str, description: str) -> _Json:
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}


def _id_parameter() -> _Json:
    return {"name": "id", "in": "path", "required": True, "schema": _id_schema()}


def _id_schema() -> _Json:
    return {"type": "string", "pattern": f"^{ID_PATTERN.pattern}$"}


def _data_name(model: LiveModel) -> str:
    return f"{model.spec.endpoint}-data"


def _record_name(model: LiveModel) -> str:
    return f"{model.spec.endpoint}-record"


def _new_name(model: LiveModel) -> str:
    return f"{model.spec.endpoint}-new"
