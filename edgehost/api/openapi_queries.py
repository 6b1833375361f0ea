"""The query parameters of a list in the document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from edgehost.api.filters import option_name
from edgehost.api.openapi_parts import Json
from edgehost.domain.record_aggregation import Function
from edgehost.domain.record_query import DEFAULT_PAGE, MAX_PAGE, Operator
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.query_records import RECORD_FIELDS
from edgehost.usecases.record_lines import BulkFormat

_COMPARABLE: Final = {"string", "number", "integer", "boolean"}
_TEXT: Final[Json] = {"type": "string"}


def list_parameters(model: LiveModel) -> list[Json]:
    """The options of a list, and its fields as conditions."""
    return [*_page_parameters(), *_options(model), *_conditions(model)]


def page_parameters() -> list[Json]:
    """How a list goes on."""
    return _page_parameters()[:2]


def comparable_fields(model: LiveModel) -> dict[str, Json]:
    """The fields that conditions may name, with the schema of what they are compared with."""
    hidden = {each.key for each in model.spec.serializers if each.on == "network"}
    hidden |= {name for name, each in model.spec.properties.items() if each.hashed or each.encrypted}
    hidden |= {each.key for each in model.spec.serializers}
    own = {
        name: {"type": kind}
        for name, schema in model.schema.document.get("properties", {}).items()
        if name not in hidden and isinstance(schema, Mapping) and (kind := _comparable(schema.get("type")))
    }
    return {**own, **{name: {"type": kind} for name, kind in RECORD_FIELDS.items()}}


def _page_parameters() -> list[Json]:
    return [
        _query(
            "limit",
            {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": DEFAULT_PAGE},
            "Records of a page",
        ),
        _query("cursor", _TEXT, "'next_cursor' of the page before"),
        _query("order", {"enum": ["asc", "desc"], "default": "asc"}, "By creation"),
    ]


def _options(model: LiveModel) -> list[Json]:
    fields = sorted(comparable_fields(model))
    options = [
        (
            "sort",
            _one_or_more(fields, "-?"),
            "By these fields, as '-celsius,sensor'; '-' for the greatest first",
        ),
        (
            "fields",
            _one_or_more(sorted(model.schema.document.get("properties", {})) or ["id"]),
            "Only these of the data",
        ),
        ("count", {"type": "boolean"}, "Only the number of records"),
        (
            "aggregate",
            _measures(fields),
            f"Figures instead of records: {', '.join(Function)}, as 'avg(celsius)'",
        ),
        ("group_by", _one_or_more(fields), "Figures for each value of these fields"),
        (
            "bucket",
            {"type": "string", "pattern": "^[1-9][0-9]{0,3}[smh]$"},
            "Figures by time: '15m', '1h:measured_at'",
        ),
        ("format", {"enum": ["json", *BulkFormat]}, "A page, or all records as a stream"),
    ]
    if model.spec.source.text:
        options.append(("q", _TEXT, f"Words in {', '.join(model.spec.source.text)}"))
    if model.spec.relations:
        known = sorted(model.spec.relations)
        options.append(("include", _one_or_more(known), "With the records that these relations lead to"))
    return [
        *(_query(option_name(model, name), schema, description) for name, schema, description in options),
        _json_query(
            option_name(model, "where"), _document(model), "Conditions as a document; $or and $and nest"
        ),
        _json_query(
            option_name(model, "or"),
            {"type": "array", "minItems": 1, "maxItems": 8, "items": _document(model)},
            "At least one of these holds",
        ),
    ]


def _conditions(model: LiveModel) -> list[Json]:
    operators = ", ".join(operator for operator in Operator if operator is not Operator.EQ)
    return [
        _query(name, schema, f"Equal to; also {name}__ with {operators}")
        for name, schema in comparable_fields(model).items()
    ]


def _document(model: LiveModel) -> Json:
    return {
        "type": "object",
        "maxProperties": 8,
        "properties": comparable_fields(model),
        "additionalProperties": False,
    }


def _measures(fields: list[str]) -> Json:
    one = f"({'|'.join(Function)})\\(({'|'.join(_escaped(name) for name in fields)})\\)"
    return {"type": "string", "pattern": f"^{one}(,{one}){{0,3}}$"}


def _one_or_more(names: list[str], before: str = "") -> Json:
    one = f"{before}({'|'.join(_escaped(name) for name in names)})"
    return {"type": "string", "pattern": f"^{one}(,{one}){{0,1}}$"}


def _escaped(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "_-" else f"\\{letter}" for letter in name)


def _query(name: str, schema: Json, description: str) -> Json:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _json_query(name: str, schema: Json, description: str) -> Json:
    return {
        "name": name,
        "in": "query",
        "description": description,
        "content": {"application/json": {"schema": schema}},
    }


def _comparable(kind: Any) -> Any:  # noqa: ANN401 - a type, or several
    """The type or types to compare with; none when there is one that has no order and no equality here."""
    kinds = [each for each in (kind if isinstance(kind, list | tuple) else [kind]) if each != "null"]
    if not kinds or not set(kinds) <= _COMPARABLE:
        return None
    compared = list(dict.fromkeys("number" if each == "integer" else each for each in kinds))
    return compared[0] if len(compared) == 1 else compared
