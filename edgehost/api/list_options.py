"""The options of a list that ask for figures: ``aggregate``, ``group_by``, ``bucket``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from edgehost.domain.errors import InvalidQueryError
from edgehost.domain.record_aggregation import (
    MAX_GROUP_BY,
    MAX_MEASURES,
    AggregateQuery,
    Function,
    Measure,
    TimeBuckets,
)
from edgehost.domain.record_query import RecordQuery

_MEASURE: Final = re.compile(r"([a-z]+)\(([^()]{1,256})\)")
_BUCKET: Final = re.compile(r"([0-9]{1,10})([smhdw]?)(?::(.{1,256}))?")
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def read_aggregate(query: RecordQuery, options: Mapping[str, str]) -> AggregateQuery:
    """``aggregate=avg(celsius),count(sensor)``, ``group_by=room``, ``bucket=1h`` or ``bucket=1h:measured_at``.

    Raises:
        InvalidQueryError: one of them is not understood.
    """
    return AggregateQuery(
        query.model,
        query.filters,
        tuple(_read_measure(part) for part in _parts(options.get("aggregate", ""), MAX_MEASURES)),
        tuple(_parts(options.get("group_by", ""), MAX_GROUP_BY)),
        _read_bucket(options["bucket"]) if "bucket" in options else None,
    )


def _parts(text: str, most: int) -> list[str]:
    return [part.strip() for part in text.split(",", most) if part.strip()]


def _read_measure(text: str) -> Measure:
    found = _MEASURE.fullmatch(text)
    if found is None or found[1] not in set(Function):
        raise InvalidQueryError(
            f"aggregate holds {text[:80]!r}.",
            hint=f"Use {', '.join(f'{function}(field)' for function in Function)}, with commas between.",
        )
    return Measure(Function(found[1]), found[2])


def _read_bucket(text: str) -> TimeBuckets:
    found = _BUCKET.fullmatch(text)
    if found is None:
        raise InvalidQueryError(
            f"bucket is {text[:80]!r}.",
            hint="Use a length such as 300, 15m, 1h or 1d, and a field: 1h:measured_at.",
        )
    width_s = float(int(found[1]) * _SECONDS[found[2]])
    return TimeBuckets(width_s, found[3]) if found[3] else TimeBuckets(width_s)
