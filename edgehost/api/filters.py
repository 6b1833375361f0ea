"""The query string of a list of records, read by the model's schema."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request

from edgehost.api.reading import query_parameters
from edgehost.domain.errors import InvalidQueryError, RefusedError
from edgehost.domain.json_text import read_json
from edgehost.domain.record_query import DEFAULT_PAGE, MAX_PAGE, Filter, Operator, RecordQuery
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.query_records import make_query, read_filter_name, types_of

#: A field of this name is reached as ``limit__eq``.
RESERVED: Final = ("limit", "cursor", "order")


def read_query(model: LiveModel, request: Request) -> RecordQuery:
    """The query: ``limit``, ``cursor``, ``order``, and a filter for every other parameter.

    Raises:
        InvalidQueryError: a parameter is unknown, repeated, or of the wrong type.
    """
    settings: dict[str, str] = {}
    filters: list[Filter] = []
    for name, text in query_parameters(request):
        if name not in RESERVED:
            filters.append(_read_filter(model, name, text))
        elif name in settings:
            raise InvalidQueryError(f"{name} is given twice.")
        else:
            settings[name] = text
    order = settings.get("order", "asc")
    if order not in {"asc", "desc"}:
        raise InvalidQueryError(f"order is {order[:80]!r}.", hint="Use order=asc or order=desc.")
    return make_query(
        model,
        filters,
        limit=_read_limit(settings.get("limit", str(DEFAULT_PAGE))),
        cursor=settings.get("cursor", ""),
        descending=order == "desc",
    )


def _read_limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_PAGE))):
        raise InvalidQueryError(f"limit is {text[:80]!r}; it must be 1 to {MAX_PAGE}.")
    return int(text)


def _read_filter(model: LiveModel, name: str, text: str) -> Filter:
    field, operator = read_filter_name(name)
    types = types_of(model, field)
    return Filter(field, operator, _read_value(field, operator, text, types))


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
    if types is None or not isinstance(value, str):
        return value  # type: ignore[no-any-return]  # what JSON has beside objects and arrays
    raise InvalidQueryError(
        f"{field} is {' or '.join(sorted(types))}; {text[:80]!r} is not.",
        hint="Write numbers as 21.5, and true, false or null in lower case.",
    )
