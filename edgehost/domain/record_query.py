"""What to ask of the records of one model, and how far a question may go."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from edgehost.domain.errors import InvalidQueryError
from edgehost.domain.record import Record

#: A page is one JSON document in memory: this bounds it.
MAX_PAGE: Final = 1000
DEFAULT_PAGE: Final = 100
#: Every condition may be tried on every record.
MAX_CONDITIONS: Final = 64
MAX_DEPTH: Final = 4
#: Values in one list of ``in`` or ``nin``.
MAX_VALUES: Final = 1000
MAX_SORTS: Final = 3
MAX_FIELDS: Final = 32
MAX_FIELD_LENGTH: Final = 256
#: A cursor of a sorted page holds the values where the page ended.
MAX_CURSOR_LENGTH: Final = 2048


class Operator(enum.StrEnum):
    """How a field is compared."""

    EQ = "eq"
    NE = "ne"
    LT = "lt"
    LE = "le"
    GT = "gt"
    GE = "ge"
    PREFIX = "prefix"
    IN = "in"  # equal to one of a list
    NIN = "nin"  # there, and equal to none of a list
    CONTAINS = "contains"  # a list that holds the value, or a text that holds the text
    EXISTS = "exists"  # true: the field is there, be it null; false: it is not


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition on a field; ``field`` is a dotted path into the record's data, or id/created_at/updated_at."""

    field: str
    operator: Operator
    value: Any


@dataclass(frozen=True, slots=True)
class Words:
    """Every word of ``text`` begins a word in one of these fields."""

    text: str
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every one of these holds; of none: true."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one of these holds; of none: false."""

    conditions: tuple[Condition, ...]


Condition = Filter | Words | AllOf | AnyOf


@dataclass(frozen=True, slots=True)
class Sort:
    """By one field: what has no order first, then numbers, then texts; the other way round when ``descending``."""

    field: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class RecordQuery:
    """All conditions must hold.

    Records come sorted, and where that leaves it open in the order of their creation, newest first when
    ``descending``.
    """

    model: str
    filters: tuple[Condition, ...] = ()
    limit: int = DEFAULT_PAGE
    after: str = ""  # opaque cursor from the page before
    descending: bool = False
    sort: tuple[Sort, ...] = ()
    fields: tuple[str, ...] = ()  # the paths of the data that are told; none: all of it
    most_bytes: int = 0  # a page ends early, but not empty, once its records have so many; 0: never


@dataclass(frozen=True, slots=True)
class RecordPage:
    """Some records, and where to go on; ``next_cursor`` is empty on the last page."""

    records: tuple[Record, ...]
    next_cursor: str = ""


class PlanKind(enum.StrEnum):
    """What finds the records of a query."""

    NOTHING = "nothing"  # no record can match
    ID = "id"
    INDEX = "index"
    TEXT = "text"
    ORDER = "order"  # an index walked in the order that is asked for
    SCAN = "scan"


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """How a query is answered: what serves it, and how many records are looked at, at most."""

    kind: PlanKind
    fields: tuple[str, ...] = ()
    records: int = 0
    sorts: bool = False  # whether the matches must be sorted afterwards


def require_query(query: RecordQuery) -> None:
    """Refuse what would cost more than one page may.

    Raises:
        InvalidQueryError: a bound is passed.
    """
    if not 1 <= query.limit <= MAX_PAGE:
        raise InvalidQueryError(f"The limit is {query.limit}.", hint=f"Ask for 1 to {MAX_PAGE} records.")
    if len(query.sort) > MAX_SORTS:
        raise InvalidQueryError(f"The query sorts by {len(query.sort)} fields; {MAX_SORTS} are allowed.")
    if len(query.fields) > MAX_FIELDS:
        raise InvalidQueryError(f"{len(query.fields)} fields are asked for; {MAX_FIELDS} are allowed.")
    require_conditions(query.filters)
    for path in (*(sort.field for sort in query.sort), *query.fields):
        require_path(path)


def require_conditions(conditions: Sequence[Condition]) -> None:
    """Refuse conditions that are too many, too deep or too long.

    Raises:
        InvalidQueryError: a bound is passed.
    """
    level, depth, found = list(conditions), 0, 0
    while level:
        depth += 1
        found += len(level)
        if depth > MAX_DEPTH + 1:
            raise InvalidQueryError(
                f"The conditions are nested more than {MAX_DEPTH} deep.", hint="Flatten them."
            )
        if found > MAX_CONDITIONS:
            raise InvalidQueryError(
                f"The query has more than {MAX_CONDITIONS} conditions.", hint="'in' takes a list of values."
            )
        below: list[Condition] = []
        for condition in level:
            if isinstance(condition, AllOf | AnyOf):
                below += condition.conditions[: MAX_CONDITIONS + 1]
            else:
                _require_leaf(condition)
        level = below


def require_path(path: str) -> None:
    """Refuse a field's name that is none.

    Raises:
        InvalidQueryError: it is empty or too long.
    """
    if not 0 < len(path) <= MAX_FIELD_LENGTH:
        raise InvalidQueryError(
            f"The field {path[:80]!r} is empty or too long.",
            hint=f"Name fields with 1 to {MAX_FIELD_LENGTH} characters.",
        )


def leaves(conditions: Sequence[Condition]) -> Iterator[Filter | Words]:
    """Every condition that looks at fields, wherever it stands."""
    for condition in conditions:
        if isinstance(condition, AllOf | AnyOf):
            yield from leaves(condition.conditions)
        else:
            yield condition


def _require_leaf(condition: Filter | Words) -> None:
    if isinstance(condition, Words):
        if not condition.fields or len(condition.fields) > MAX_FIELDS:
            raise InvalidQueryError("Words are looked for in no field, or in too many.")
        for path in condition.fields:
            require_path(path)
        return
    require_path(condition.field)
    if condition.operator in {Operator.IN, Operator.NIN}:
        if not isinstance(condition.value, list | tuple):
            raise InvalidQueryError(f"{condition.field}: '{condition.operator}' needs a list of values.")
        if len(condition.value) > MAX_VALUES:
            raise InvalidQueryError(
                f"{condition.field}: {len(condition.value)} values are given; {MAX_VALUES} are allowed."
            )
    if condition.operator is Operator.EXISTS and not isinstance(condition.value, bool):
        raise InvalidQueryError(f"{condition.field}: 'exists' needs true or false.")
