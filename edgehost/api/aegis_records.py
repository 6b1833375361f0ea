"""Records and queries in the form of AEGIS."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from edgehost.domain.errors import InvalidQueryError, RefusedError
from edgehost.domain.json_text import read_json
from edgehost.domain.record import Record
from edgehost.domain.record_query import MAX_PAGE, AnyOf, Condition, Filter, Operator, RecordQuery
from edgehost.usecases.live_models import LiveModel
from edgehost.usecases.query_records import make_query, types_of

#: What is more than a text with an anchor: one could be made to take for ever.
_EXPRESSION: Final = re.compile(r"[\\^$.|?*+()\[\]{}]")
_CACHED: Final = "__cached"


def as_aegis(model: LiveModel, record: Record) -> dict[str, Any]:
    """The data with what AEGIS calls its own; times in milliseconds."""
    return {
        **record.data,
        "id": record.id,
        "modelName": model.spec.name.upper(),
        "createTime": int(record.created_at * 1000),
        "updateTime": int(record.updated_at * 1000),
    }


def read_aegis_query(model: LiveModel, parameters: Iterable[tuple[str, str]]) -> tuple[RecordQuery, bool]:
    """The query, and whether only the number of records is asked for.

    Raises:
        InvalidQueryError: a parameter is unknown, or a pattern is more than a text with an anchor.
    """
    conditions: list[Condition] = []
    options: dict[str, str] = {}
    for name, text in parameters:
        if name in {"__limit", "__count", "__operand", _CACHED}:
            options[name] = text
        elif name.startswith("__"):
            raise InvalidQueryError(
                f"{name[:80]!r} is not understood here.", hint="Use the options of the host's own API."
            )
        else:
            conditions.append(_condition(model, name, text))
    operand = options.get("__operand", "and").lower()
    if operand not in {"and", "or"}:
        raise InvalidQueryError(f"__operand is {operand[:80]!r}.", hint="Use 'and' or 'or'.")
    if operand == "or" and conditions:
        conditions = [AnyOf(tuple(conditions))]
    limit = options.get("__limit", str(MAX_PAGE))
    query = make_query(
        model,
        conditions,
        limit=int(limit) if limit.isascii() and limit.isdigit() and len(limit) < 5 else 0,  # noqa: PLR2004
    )
    return query, "__count" in options


def _condition(model: LiveModel, field: str, text: str) -> Filter:
    types = types_of(model, field)
    if types is not None and "string" not in types:
        try:
            return Filter(field, Operator.EQ, read_json(text.encode()))
        except RefusedError:
            raise InvalidQueryError(f"{field} is {' or '.join(sorted(types))}.") from None
    begins, ends = text.startswith("^"), text.endswith("$")
    plain = text.removeprefix("^").removesuffix("$")
    if _EXPRESSION.search(plain) or (ends and not begins):
        raise InvalidQueryError(
            f"{field} is matched with an expression, which is not done here.",
            hint="Use a text, '^text' or '^text$'; or the operators of the host's own API.",
        )
    if begins and ends:
        return Filter(field, Operator.EQ, plain)
    return Filter(field, Operator.PREFIX if begins else Operator.CONTAINS, plain)
