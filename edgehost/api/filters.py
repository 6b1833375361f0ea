"""The query string of a list of records, read by the model's schema.

Every parameter is a condition on a field, or one of the options below. An option whose name is a field of the
model means the field; the option is then written with an underscore in front: ``_count=true``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request

from edgehost.api.reading import query_parameters
from edgehost.domain.errors import InvalidQueryError, RefusedError
from edgehost.domain.json_text import read_json
from edgehost.domain.record_query import (
    DEFAULT_PAGE,
    MAX_FIELDS,
    MAX_PAGE,
    AnyOf,
    Condition,
    Filter,
    Operator,
    RecordQuery,
)
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.query_records import make_query, read_filter_name, read_sort, types_of
from edgehost.usecases.read_conditions import read_conditions

#: These are options whatever the model's fields; a field of this name is reached as ``limit__eq``.
RESERVED: Final = ("limit", "cursor", "order")
#: These give way to fields.
YIELDING: Final = (
    "sort",
    "fields",
    "q",
    "or",
    "where",
    "include",
    "format",
    "count",
    "aggregate",
    "group_by",
    "bucket",
)
#: These say nothing when they are empty.
_NEEDED: Final = frozenset(YIELDING) - {"q"}
_LISTS: Final = frozenset({Operator.IN, Operator.NIN})


@dataclass(frozen=True, slots=True)
class ListQuestion:
    """What a request for a list asks: the query, and the options that the query does not hold."""

    query: RecordQuery
    options: Mapping[str, str]

    def flag(self, name: str) -> bool:
        """Whether an option that is true or false is set.

        Raises:
            InvalidQueryError: it is neither.
        """
        text = self.options.get(name, "false")
        if text not in {"true", "false"}:
            raise InvalidQueryError(f"{name} is {text[:80]!r}.", hint=f"Use {name}=true, or leave it out.")
        return text == "true"


def option_name(model: LiveModel, option: str) -> str:
    """How an option is written for this model."""
    return f"_{option}" if option in YIELDING and option in _fields(model) else option


def read_question(model: LiveModel, request: Request) -> ListQuestion:
    """The options, and a condition for every other parameter.

    Raises:
        InvalidQueryError: a parameter is unknown, repeated, or of the wrong type.
    """
    names = {option_name(model, option): option for option in (*RESERVED, *YIELDING)}
    names |= {f"_{option}": option for option in YIELDING}
    options: dict[str, str] = {}
    conditions: list[Condition] = []
    for name, text in query_parameters(request):
        option = names.get(name)
        if option is None:
            conditions.append(_read_filter(model, name, text))
        elif option in options:
            raise InvalidQueryError(f"{option} is given twice.")
        elif not text and option in _NEEDED:
            raise InvalidQueryError(f"{option} is empty.", hint="Leave it out, or say what.")
        else:
            options[option] = text
    conditions += _written(model, options)
    order = options.get("order", "asc")
    if order not in {"asc", "desc"}:
        raise InvalidQueryError(f"order is {order[:80]!r}.", hint="Use order=asc or order=desc.")
    query = make_query(
        model,
        conditions,
        limit=read_limit(options.get("limit", str(DEFAULT_PAGE))),
        cursor=options.get("cursor", ""),
        descending=order == "desc",
        sort=read_sort(options.get("sort", "")),
        fields=_read_fields(model, options.get("fields", "")),
        text=options.get("q", ""),
    )
    return ListQuestion(query, options)


def read_query(model: LiveModel, request: Request) -> RecordQuery:
    """The query alone.

    Raises:
        InvalidQueryError: as for ``read_question``.
    """
    return read_question(model, request).query


def _fields(model: LiveModel) -> Mapping[str, Any]:
    known = model.schema.document.get("properties", {})
    return known if isinstance(known, Mapping) else {}


def _written(model: LiveModel, options: Mapping[str, str]) -> list[Condition]:
    """The conditions in ``where`` and ``or``, which are JSON."""
    found: list[Condition] = []
    if "where" in options:
        found += read_conditions(model, _json("where", options["where"]))
    if "or" in options:
        alternatives = _json("or", options["or"])
        if not isinstance(alternatives, list):
            raise InvalidQueryError("or is no list.", hint='Use or=[{"celsius__gt": 20}, {"room": "hall"}].')
        (any_of,) = read_conditions(model, {"$or": alternatives})
        assert isinstance(any_of, AnyOf)  # noqa: S101 - what $or reads as
        found.append(any_of)
    return found


def _json(name: str, text: str) -> Any:  # noqa: ANN401 - JSON
    try:
        return read_json(text.encode())
    except RefusedError as error:
        raise InvalidQueryError(f"{name} is not understood. {error.message}") from None


def _read_fields(model: LiveModel, text: str) -> tuple[str, ...]:
    fields = tuple(dict.fromkeys(name.strip() for name in text.split(",", MAX_FIELDS + 1) if name.strip()))
    for name in fields:
        types_of(model, name)
    return fields


def read_limit(text: str) -> int:
    """The records of one page.

    Raises:
        InvalidQueryError: it is no number, or out of range.
    """
    limit = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(MAX_PAGE)) else 0
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidQueryError(f"limit is {text[:80]!r}; it must be 1 to {MAX_PAGE}.")
    return limit


def _read_filter(model: LiveModel, name: str, text: str) -> Filter:
    field, operator = read_filter_name(model, name)
    types = types_of(model, field)
    if operator is Operator.EXISTS:
        return Filter(field, operator, {"true": True, "false": False}.get(text, text))
    if operator in _LISTS:
        return Filter(field, operator, [_read_value(field, operator, part, types) for part in _parts(text)])
    return Filter(field, operator, _read_value(field, operator, text, types))


def _parts(text: str) -> list[str]:
    return text.split(",") if text else []


def _read_value(
    field: str, operator: Operator, text: str, types: frozenset[str] | None
) -> str | float | bool | None:
    if operator is Operator.PREFIX or (types is not None and "string" in types):
        return text
    try:
        value = read_json(text.encode())
    except RefusedError:
        value = text
    if isinstance(value, dict | list):
        value = text
    if types is None or operator is Operator.CONTAINS or not isinstance(value, str):
        return value  # type: ignore[no-any-return]  # what JSON has beside objects and arrays
    raise InvalidQueryError(
        f"{field} is {' or '.join(sorted(types))}; {text[:80]!r} is not.",
        hint="Write numbers as 21.5, and true, false or null in lower case.",
    )
