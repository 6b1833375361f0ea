"""The schemas of a model in the document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from edgehost.api.openapi_parts import Json, data_name, id_schema, new_name, patch_name, record_name
from edgehost.usecases.live_models import LiveModel

#: Keywords whose value is data, not a schema.
_PLAIN_VALUES: Final = {"const", "default", "enum", "examples"}


def model_schemas(model: LiveModel) -> Json:
    """The schemas of the model's data, new records and records, by their names."""
    return {
        data_name(model): _data_schema(model),
        new_name(model): new_schema(model),
        patch_name(model): _patch_schema(model),
        record_name(model): _record_schema(model),
    }


def _data_schema(model: LiveModel) -> Json:
    schema = _rebased(model.schema.document, f"#/components/schemas/{data_name(model)}")
    schema.pop("$schema", None)
    return {"type": "object", **schema}


def new_schema(model: LiveModel) -> Json:
    """What creating a record needs."""
    schema = _data_schema(model)
    return {**schema, "properties": {"id": id_schema(), **schema.get("properties", {})}}


def _patch_schema(model: LiveModel) -> Json:
    """Some members of the data; what is required may not be taken away."""
    schema = _data_schema(model)
    required = schema.pop("required", [])
    optional = {
        name: each if name in required else {"anyOf": [each, {"type": "null"}]}
        for name, each in schema.get("properties", {}).items()
    }
    return {**schema, **({"properties": optional} if optional else {})}


def _rebased(value: Any, base: str) -> Any:  # noqa: ANN401 - JSON
    """The schema with its references counted from the whole document's root."""
    if isinstance(value, list | tuple):
        return [_rebased(item, base) for item in value]
    if not isinstance(value, Mapping):
        return value
    rebased: Json = {}
    for key, item in value.items():
        if key == "$ref" and isinstance(item, str):
            rebased[key] = base + item.removeprefix("#")
        else:
            rebased[key] = item if key in _PLAIN_VALUES else _rebased(item, base)
    return rebased


def _record_schema(model: LiveModel) -> Json:
    return {
        "type": "object",
        "required": ["model", "id", "data", "revision", "created_at", "updated_at"],
        "properties": {
            "model": {"const": model.spec.name},
            "id": id_schema(),
            "data": {"type": "object"}
            if _is_rewritten(model)
            else {"$ref": f"#/components/schemas/{data_name(model)}"},
            "revision": {"type": "string"},
            "created_at": {"type": "number", "description": "Unix seconds"},
            "updated_at": {"type": "number", "description": "Unix seconds"},
        },
    }


def _is_rewritten(model: LiveModel) -> bool:
    """Whether what is told of a record can differ from what its schema says."""
    hashed = any(each.hashed or each.encrypted for each in model.spec.properties.values())
    return hashed or bool(model.spec.serializers)
