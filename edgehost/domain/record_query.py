"""What to ask of the records of one model."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Final

from edgehost.domain.record import Record

#: A page is one JSON document in memory: this bounds it.
MAX_PAGE: Final = 1000
DEFAULT_PAGE: Final = 100


class Operator(enum.StrEnum):
    """How a field is compared."""

    EQ = "eq"
    NE = "ne"
    LT = "lt"
    LE = "le"
    GT = "gt"
    GE = "ge"
    PREFIX = "prefix"


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition on a field; ``field`` is a dotted path into the record's data, or id/created_at/updated_at."""

    field: str
    operator: Operator
    value: Any


@dataclass(frozen=True, slots=True)
class RecordQuery:
    """All conditions must hold. Records come in the order of their creation, newest first when ``descending``."""

    model: str
    filters: tuple[Filter, ...] = ()
    limit: int = DEFAULT_PAGE
    after: str = ""  # opaque cursor from the page before
    descending: bool = False


@dataclass(frozen=True, slots=True)
class RecordPage:
    """Some records, and where to go on; ``next_cursor`` is empty on the last page."""

    records: tuple[Record, ...]
    next_cursor: str = ""
