"""The paths of a model's records, commands and relations in the document."""

from __future__ import annotations

from typing import Final

from edgehost.api.list_routes import STREAMED
from edgehost.api.openapi_parts import (
    Json,
    header,
    id_parameter,
    new_name,
    ok,
    operation,
    patch_name,
    record_name,
)
from edgehost.api.openapi_queries import list_parameters, page_parameters
from edgehost.api.openapi_schemas import new_schema
from edgehost.api.reading import JSON, MERGE_PATCH
from edgehost.domain.relation_spec import RelationType
from edgehost.usecases.live_models import LiveModel, ModelTable
from edgehost.usecases.run_command import commands_of

_LISTED: Final[Json] = {"$ref": "#/components/schemas/ListedRecord"}
_CURSOR: Final[Json] = {"type": "string"}


def model_paths(model: LiveModel, table: ModelTable, root: str) -> Json:
    """Every path of the model but those of its ports and routes."""
    base = f"{root}/models/{model.spec.endpoint}"
    paths: Json = {
        base: {"get": _list(model), "post": _create(model)},
        f"{base}/bulk": {"post": _bulk(model)},
        f"{base}/td": {"get": _description(model)},
        f"{base}/{{id}}": _item(model),
    }
    for command in commands_of(model.spec):
        paths[f"{base}/{{id}}/commands/{command}"] = _command(model, command)
    for name in model.spec.relations:
        paths[f"{base}/{{id}}/relations/{name}"] = _relation(model, name, table)
    return paths


def shared_schemas() -> Json:
    """What the answers of every model have in common."""
    related: Json = {"type": "array", "items": _LISTED}
    return {
        "Json": {"description": "Any JSON; whole numbers fit 64 bits"},
        "ListedRecord": {
            "type": "object",
            "description": "A record, with the fields that were asked for, and what was to be included",
            "required": ["model", "id", "data", "revision", "created_at", "updated_at"],
            "properties": {
                "model": {"type": "string"},
                "id": {"type": "string"},
                "data": {"type": "object"},
                "revision": {"type": "string"},
                "created_at": {"type": "number"},
                "updated_at": {"type": "number"},
                "related": {
                    "type": "object",
                    "additionalProperties": {"anyOf": [_LISTED, related, {"type": "null"}]},
                },
            },
        },
        "Page": {
            "type": "object",
            "required": ["records", "next_cursor"],
            "properties": {"records": related, "next_cursor": _CURSOR},
        },
        "Count": {
            "type": "object",
            "required": ["count"],
            "properties": {"count": {"type": "integer", "minimum": 0}},
            "additionalProperties": False,
        },
        "Figures": {
            "type": "object",
            "required": ["rows"],
            "properties": {
                "rows": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["group", "count", "values"],
                        "properties": {
                            "group": {"type": "object"},
                            "bucket": {
                                "type": ["number", "null"],
                                "description": "Unix seconds of its beginning",
                            },
                            "count": {"type": "integer"},
                            "values": {"type": "object"},
                        },
                    },
                }
            },
        },
        "ImportReport": {
            "type": "object",
            "required": ["lines", "created", "replaced", "unchanged", "failed", "stopped", "errors"],
            "properties": {
                **{
                    name: {"type": "integer"}
                    for name in ("lines", "created", "replaced", "unchanged", "failed")
                },
                "stopped": {"type": "boolean"},
                "errors": {"type": "array", "items": {"type": "object"}},
            },
        },
    }


def _reference(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _record(model: LiveModel) -> Json:
    return _reference(record_name(model))


def _list(model: LiveModel) -> Json:
    name = model.spec.endpoint
    answers = {"anyOf": [_reference("Page"), _reference("Count"), _reference("Figures")]}
    content: Json = {JSON: {"schema": answers}, **{media: {} for media in STREAMED}}
    response = {"description": "A page, or what the options ask for instead", "content": content}
    return operation(f"List {name}", f"list-{name}", {"200": response}, parameters=list_parameters(model))


def _create(model: LiveModel) -> Json:
    name = model.spec.endpoint
    key = header("Idempotency-Key", "The same key and body create one record only")
    key["schema"]["pattern"] = "^[!-~]{1,128}$"
    return operation(
        f"Create {name}",
        f"create-{name}",
        {"201": ok("Created", _record(model), headers=("ETag", "Location"))},
        parameters=[key],
        body={JSON: {"schema": _reference(new_name(model))}},
    )


def _bulk(model: LiveModel) -> Json:
    name = model.spec.endpoint
    parameters: list[Json] = [
        {
            "name": "on_error",
            "in": "query",
            "description": "What a line that cannot be imported means for those that follow",
            "schema": {"enum": ["stop", "skip"], "default": "stop"},
        },
        {
            "name": "replace",
            "in": "query",
            "description": "A record that is there with other data gets the new data",
            "schema": {"type": "boolean", "default": False},
        },
    ]
    return operation(
        f"Import {name}",
        f"import-{name}",
        {"200": ok("What became of the lines", _reference("ImportReport"))},
        parameters=parameters,
        body={media: {"schema": {"type": "string"}} for media in STREAMED},
    )


def _description(model: LiveModel) -> Json:
    described = {"description": "W3C Thing Description 1.1", "content": {"application/td+json": {}}}
    name = model.spec.endpoint
    return operation(f"Describe {name} as a thing", f"describe-{name}", {"200": described})


def _item(model: LiveModel) -> Json:
    name, record = model.spec.endpoint, _record(model)
    parameters = [header("If-None-Match", "ETag that the client has")]
    shown: Json = record
    if model.spec.relations:
        names = sorted(model.spec.relations)
        shown = {"anyOf": [record, _LISTED, _reference("Page")]}
        parameters += [
            _choice("relation", names, "The records that this relation leads to, in place of the record"),
            _choice("include", names, "With the records that these relations lead to"),
            *page_parameters(),
        ]
    return {
        "parameters": [id_parameter()],
        "get": operation(
            f"Get {name}",
            f"get-{name}",
            {"200": ok("The record", shown, headers=("ETag",)), "304": {"description": "Not modified"}},
            parameters=parameters,
        ),
        "patch": operation(
            f"Change {name}",
            f"update-{name}",
            {"200": ok("The changed record", record, headers=("ETag",))},
            parameters=[header("If-Match", "ETag that the record must have")],
            body={media: {"schema": _reference(patch_name(model))} for media in (MERGE_PATCH, JSON)},
        ),
        "delete": operation(
            f"Delete {name}",
            f"delete-{name}",
            {"204": {"description": "Deleted"}},
            parameters=[header("If-Match", "ETag that the record must have")],
        ),
    }


def _command(model: LiveModel, command: str) -> Json:
    spec = model.spec.commands.get(command)
    post = operation(
        (spec.description if spec is not None else "") or f"Run {command}",
        f"{command}-{model.spec.endpoint}",
        {"200": ok("What it answered", outcome(model))},
        parameters=[header("If-Match", "ETag that the record must have")],
        body={JSON: {"schema": _reference("Json")}},
    )
    post["requestBody"]["required"] = False
    return {"parameters": [id_parameter()], "post": post}


def outcome(model: LiveModel) -> Json:
    """What a command or a port answers."""
    return {
        "type": "object",
        "required": ["result"],
        "properties": {"result": {}, "record": _record(model)},
    }


def _relation(model: LiveModel, name: str, table: ModelTable) -> Json:
    spec, endpoint = model.spec.relations[name], model.spec.endpoint
    related = {
        "type": "object",
        "required": ["relation", "model", "records", "next_cursor"],
        "properties": {
            "relation": {"const": name},
            "model": {"const": spec.model},
            "records": {"type": "array", "items": _LISTED},
            "next_cursor": _CURSOR,
        },
    }
    return {
        "parameters": [id_parameter()],
        "get": operation(
            spec.description or f"Follow {name}",
            f"follow-{name}-{endpoint}",
            {"200": ok("What it leads to", related)},
            parameters=page_parameters(),
        ),
        "post": operation(
            f"Create a record that {name} leads to",
            f"relate-{name}-{endpoint}",
            {"201": ok("Created", _LISTED, headers=("ETag", "Location"))},
            body={JSON: {"schema": _related_schema(model, name, table)}},
        ),
    }


def _related_schema(model: LiveModel, name: str, table: ModelTable) -> Json:
    """What a record at the other end needs; the reference to ours is filled in."""
    relation = model.spec.relations[name]
    target = table.by_name.get(relation.model)
    if target is None:
        return {"type": "object"}
    schema = new_schema(target)
    if relation.type is RelationType.ONE_TO_MANY:
        filled = relation.foreign_key.partition(".")[0]
        schema["properties"] = {key: each for key, each in schema["properties"].items() if key != filled}
        schema["required"] = [key for key in schema.get("required", []) if key != filled]
    return schema


def _choice(name: str, known: list[str], description: str) -> Json:
    return {"name": name, "in": "query", "description": description, "schema": {"enum": known}}
