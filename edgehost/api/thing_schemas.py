"""JSON Schemas as the data schemas of Thing Descriptions, which know fewer words and no references."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

#: What a data schema may say as it is (TD 1.1, section 5.3.2).
_KEPT: Final = (
    "title",
    "description",
    "const",
    "default",
    "enum",
    "format",
    "pattern",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "required",
    "contentEncoding",
    "contentMediaType",
    "readOnly",
    "writeOnly",
)
_CHOICES: Final = ("oneOf", "anyOf")


def data_schema(document: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a model's data as a data schema; models' schemas are bounded and do not refer to themselves."""
    return {"type": "object", **_read(document, document)}


def _read(document: Mapping[str, Any], schema: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    if not isinstance(schema, Mapping):  # true, which is open
        return {}
    if "$ref" in schema:
        return _read(document, _referred(document, schema["$ref"]))
    read = {key: schema[key] for key in _KEPT if key in schema}
    if isinstance(properties := schema.get("properties"), Mapping):
        read["properties"] = {name: _read(document, each) for name, each in properties.items()}
    if "items" in schema:
        read["items"] = _read(document, schema["items"])
    for word in _CHOICES:
        if word in schema:
            read["oneOf"] = [_read(document, each) for each in schema[word]]
    kinds = schema.get("type")
    if isinstance(kinds, str):
        read["type"] = kinds
    elif kinds:
        read["oneOf"] = [{"type": kind} for kind in kinds]
    return read


def _referred(document: Mapping[str, Any], reference: str) -> Any:  # noqa: ANN401 - JSON
    found: Any = document
    for step in reference.split("/")[1:]:
        found = found[step.replace("~1", "/").replace("~0", "~")]
    return found
