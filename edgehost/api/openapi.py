"""The API of this moment as an OpenAPI 3.1 document."""

from __future__ import annotations

from collections.abc import Mapping

from edgehost.api import problems
from edgehost.api.event_stream import MAX_REPLAY
from edgehost.api.openapi_models import model_paths, shared_schemas
from edgehost.api.openapi_parts import Json, ok, operation
from edgehost.api.openapi_ports import own_path, port_paths
from edgehost.api.openapi_schemas import model_schemas
from edgehost.usecases.live_models import ModelTable


def openapi_document(table: ModelTable, *, root: str, info: Mapping[str, str]) -> Json:
    """The document for these models."""
    paths: Json = {
        f"{root}/models": {"get": operation("List the models", "listModels", {"200": ok("The models", {})})},
        f"{root}/events": {"get": _events_operation()},
        f"{root}/things": {
            "get": operation(
                "List the models as things",
                "listThings",
                {"200": {"description": "Thing Descriptions", "content": {"application/ld+json": {}}}},
            )
        },
    }
    schemas: Json = {"Problem": _problem_schema(), **shared_schemas()}
    for model in table.by_endpoint.values():
        schemas |= model_schemas(model)
        paths |= model_paths(model, table, root) | port_paths(model, root)
    for route in table.routes.by_shape.values():
        paths |= own_path(table.by_endpoint[route.endpoint], route, root)
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


def _events_operation() -> Json:
    parameters: list[Json] = [
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
    parameters += [
        {
            "name": "on",
            "in": "query",
            "description": "A pattern of names: '*' for one step, '**' at the end for the rest",
            "schema": {"type": "string", "default": "**"},
        },
        {
            "name": "replay",
            "in": "query",
            "description": "So many of the last events first",
            "schema": {"type": "integer", "minimum": 0, "maximum": MAX_REPLAY, "default": 0},
        },
    ]
    stream = {
        "description": "Server-sent events",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
    return operation("Follow what happens", "events", {"200": stream}, parameters=parameters)


def _problem_schema() -> Json:
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
