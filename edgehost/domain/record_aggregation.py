"""Counting, adding up and comparing the records of one model, in groups and by time; bounded and exact.

The outcome does not depend on the order in which records are added, so every store gives the same.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from edgehost.domain.errors import InvalidQueryError
from edgehost.domain.record import Record
from edgehost.domain.record_conditions import MISSING, NUMBER, field_of, kind_of, matches
from edgehost.domain.record_query import Condition, require_conditions, require_path

#: One answer in memory and in one document.
MAX_GROUPS: Final = 1000
MAX_MEASURES: Final = 16
MAX_GROUP_BY: Final = 3
#: Of a text in a group's name, or as the least or greatest value.
_SHOWN_TEXT: Final = 256
#: Up to here JSON readers agree on whole numbers, and floats are exact.
_MOST_WHOLE: Final = 2**64 - 1
_EXACT: Final = 2**53
#: A second to ten years.
_LEAST_WIDTH_S, _MOST_WIDTH_S = 1.0, 10 * 366 * 86_400.0


class Function(enum.StrEnum):
    """What is made of a field's values; what is no number is left out, and of min and max what has no order."""

    COUNT = "count"  # of records that have the field
    SUM = "sum"
    AVG = "avg"
    MIN = "min"
    MAX = "max"


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure per group."""

    function: Function
    field: str

    @property
    def name(self) -> str:
        """What it is called in the answer."""
        return f"{self.function}({self.field})"


@dataclass(frozen=True, slots=True)
class TimeBuckets:
    """Groups of equal length in time: Unix seconds, or date and time by RFC 3339."""

    width_s: float
    field: str = "created_at"


@dataclass(frozen=True, slots=True)
class AggregateQuery:
    """Figures over the records that fulfil all conditions; the number of records always comes with them."""

    model: str
    filters: tuple[Condition, ...] = ()
    measures: tuple[Measure, ...] = ()
    group_by: tuple[str, ...] = ()
    buckets: TimeBuckets | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """Every field that is looked at beside the conditions."""
        buckets = () if self.buckets is None else (self.buckets.field,)
        return (*self.group_by, *buckets, *(measure.field for measure in self.measures))


@dataclass(frozen=True, slots=True)
class AggregateRow:
    """The figures of one group; ``bucket`` is when it begins, None without buckets or without a time."""

    count: int
    values: Mapping[str, float | str | None]
    group: Mapping[str, Any]
    bucket: float | None = None

    def document(self) -> dict[str, Any]:
        """The row as clients see it."""
        bucket = {} if self.bucket is None else {"bucket": self.bucket}
        return {"group": dict(self.group), **bucket, "count": self.count, "values": dict(self.values)}


def require_aggregate(query: AggregateQuery) -> None:
    """Refuse what would cost more than one answer may.

    Raises:
        InvalidQueryError: a bound is passed.
    """
    require_conditions(query.filters)
    if len(query.measures) > MAX_MEASURES or len(query.group_by) > MAX_GROUP_BY:
        raise InvalidQueryError(
            f"{len(query.measures)} figures by {len(query.group_by)} fields are asked for.",
            hint=f"{MAX_MEASURES} figures by {MAX_GROUP_BY} fields are allowed.",
        )
    for path in query.fields:
        require_path(path)
    if query.buckets is not None and not _LEAST_WIDTH_S <= query.buckets.width_s <= _MOST_WIDTH_S:
        raise InvalidQueryError(
            f"A time bucket of {query.buckets.width_s:g} seconds is not possible.",
            hint="Use one second to ten years.",
        )


class Aggregation:
    """The figures so far; ``add`` every record, then take the ``rows``."""

    def __init__(self, query: AggregateQuery) -> None:
        require_aggregate(query)
        self._query = query
        self._groups: dict[tuple[Any, ...], _Group] = {}

    def add(self, record: Record) -> None:
        """Count the record in, when it fulfils the conditions.

        Raises:
            InvalidQueryError: there are too many groups.
        """
        query = self._query
        if not matches(record, query.filters):
            return
        names = tuple([_group_value(field_of(record, path)) for path in query.group_by])
        bucket = None if query.buckets is None else _bucket_of(record, query.buckets)
        key = (bucket, *[(type(name) is bool, name) for name in names])
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) >= MAX_GROUPS:
                raise InvalidQueryError(
                    f"The records fall into more than {MAX_GROUPS} groups.",
                    hint="Use wider time buckets, fewer fields, or a filter.",
                )
            group = self._groups[key] = _Group(bucket, names, [_Figure() for _ in query.measures])
        group.count += 1
        for measure, figure in zip(query.measures, group.figures, strict=True):
            figure.add(field_of(record, measure.field))

    def rows(self) -> tuple[AggregateRow, ...]:
        """The groups, by time and then by name; one with zeroes when there are no groups to be made."""
        query = self._query
        groups = list(self._groups.values())
        if not groups and not query.group_by and query.buckets is None:
            groups = [_Group(None, (), [_Figure() for _ in query.measures])]
        groups.sort(key=lambda group: (_sortable(group.bucket), *map(_sortable, group.names)))
        return tuple(
            AggregateRow(
                count=group.count,
                values={
                    measure.name: figure.value(measure.function)
                    for measure, figure in zip(query.measures, group.figures, strict=True)
                },
                group=dict(zip(query.group_by, group.names, strict=True)),
                bucket=group.bucket,
            )
            for group in groups
        )


class _Group:
    __slots__ = ("bucket", "count", "figures", "names")

    def __init__(self, bucket: float | None, names: tuple[Any, ...], figures: list[_Figure]) -> None:
        self.bucket = bucket
        self.names = names
        self.figures = figures
        self.count = 0


class _Figure:
    """One field's values: whole numbers are added exactly, others in Shewchuk's parts, so order does not matter."""

    __slots__ = ("_greatest", "_least", "_numbers", "_parts", "_seen", "_whole")

    def __init__(self) -> None:
        self._seen = self._numbers = self._whole = 0
        self._parts: list[float] = []
        self._least: tuple[int, Any] | None = None
        self._greatest: tuple[int, Any] | None = None

    def add(self, value: Any) -> None:  # noqa: ANN401  any JSON value
        if value is MISSING:
            return
        self._seen += 1
        kind = kind_of(value)
        if kind is None:
            return
        key = (kind, value if kind == NUMBER else value[:_SHOWN_TEXT])
        self._least = key if self._least is None else min(self._least, key)
        self._greatest = key if self._greatest is None else max(self._greatest, key)
        if kind == NUMBER:
            self._numbers += 1
            if isinstance(value, int):
                self._whole += value
            else:
                self._add_part(value)

    def value(self, function: Function) -> float | str | None:
        """The figure; None when there was nothing to make it of."""
        match function:
            case Function.COUNT:
                return self._seen
            case Function.SUM:
                return self._sum() if self._numbers else 0
            case Function.AVG:
                return self._average()
            case Function.MIN:
                return _plain(self._least)
            case Function.MAX:
                return _plain(self._greatest)

    def _add_part(self, number: float) -> None:
        place = 0
        for part in self._parts:
            big, small = (number, part) if abs(number) >= abs(part) else (part, number)
            number = big + small
            rest = small - (number - big)
            if rest:
                self._parts[place] = rest
                place += 1
        self._parts[place:] = [number]

    def _sum(self) -> float | None:
        if not self._parts and -_MOST_WHOLE <= self._whole <= _MOST_WHOLE:
            return self._whole
        try:
            total = math.fsum([*self._parts, *_in_floats(self._whole)])
        except (OverflowError, ValueError):
            return None
        return _shown(total) if math.isfinite(total) else None

    def _average(self) -> float | None:
        total = self._sum()
        if total is None or not self._numbers:
            return None
        try:
            return _shown(total / self._numbers)
        except OverflowError:
            return None


def _in_floats(whole: int) -> list[float]:
    """A whole number as floats that add up to it, as exactly as matters."""
    high = float(whole)
    return [high, float(whole - int(high))]


def _shown(number: float) -> float:
    """One form for one number: 1.0 is shown as 1; a whole number beyond 64 bits becomes the nearest float."""
    if isinstance(number, int):
        return number if -_MOST_WHOLE <= number <= _MOST_WHOLE else float(number)
    return int(number) if number.is_integer() and abs(number) < _EXACT else number


def _plain(key: tuple[int, Any] | None) -> float | str | None:
    if key is None:
        return None
    value: float | str = key[1]
    try:
        return value if isinstance(value, str) else _shown(value)
    except OverflowError:
        return None


def _group_value(value: Any) -> Any:  # noqa: ANN401  any JSON value
    """What names a group; what is no plain value shares the group of null."""
    if isinstance(value, str):
        return value[:_SHOWN_TEXT]
    if isinstance(value, bool):
        return value
    return _plain((NUMBER, value)) if isinstance(value, int | float) else None


def _bucket_of(record: Record, buckets: TimeBuckets) -> float | None:
    moment = _unix_s(field_of(record, buckets.field))
    if moment is None:
        return None
    start = math.floor(moment / buckets.width_s) * buckets.width_s
    return start if math.isfinite(start) else None


def _unix_s(value: Any) -> float | None:  # noqa: ANN401  any JSON value
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value[:64])
        except ValueError:
            return None
        return moment.timestamp() if moment.tzinfo is not None else None
    if kind_of(value) != NUMBER:
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _sortable(value: Any) -> tuple[int, Any]:  # noqa: ANN401  any plain JSON value
    if value is None:
        return 0, 0
    if isinstance(value, bool):
        return 1, value
    return (3, value) if isinstance(value, str) else (2, value)
