"""The order of sorted pages, and the cursors between them, whatever the store.

A sort key keeps the first characters of a text and numbers of common size: enough for an order that is the same
on every store, and short enough to travel in a cursor. What is equal by its key comes in order of creation.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from zlib import crc32

from edgehost.domain.errors import InvalidQueryError
from edgehost.domain.record import Record
from edgehost.domain.record_conditions import NUMBER, TEXT, field_of, kind_of
from edgehost.domain.record_query import MAX_CURSOR_LENGTH, RecordPage, RecordQuery, Sort

#: Characters of a text that count for its place.
SORTED_TEXT: Final = 64

#: Before numbers and texts: all else.
UNORDERED: Final = -1

#: Kind, then value.
FieldKey = tuple[int, Any]

_VERSION: Final = 2
_MOST_PLACE: Final = 1 << 63


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands in the order of a query."""

    keys: tuple[FieldKey, ...]
    created: int  # grows with every record that the model gets


def field_key(value: object) -> FieldKey:
    """Where a value stands in the order of one field."""
    kind = kind_of(value)
    if isinstance(value, str):
        return TEXT, value[:SORTED_TEXT]
    if kind == NUMBER and isinstance(value, int | float):
        return NUMBER, _common(value)
    return UNORDERED, 0


def place_of(record: Record, created: int, sort: Sequence[Sort]) -> Place:
    """Where the record stands."""
    return Place(tuple([field_key(field_of(record, each.field)) for each in sort]), created)


class OrderedPlaces:
    """The first places of a query's page, of all that are offered; memory is bounded by the page."""

    def __init__(self, query: RecordQuery, after: Place | None) -> None:
        self._sort = query.sort
        self._descending = query.descending
        self._enough = query.limit + 1
        self._after = None if after is None else self.rank(after)
        self._kept: list[tuple[tuple[Any, ...], Place]] = []
        self._worst: tuple[Any, ...] | None = None

    def rank(self, place: Place) -> tuple[Any, ...]:
        """What sorts places as the query wants them."""
        keys = [
            _Backwards(key) if sort.descending else key
            for key, sort in zip(place.keys, self._sort, strict=True)
        ]
        return (*keys, -place.created if self._descending else place.created)

    def offer(self, place: Place) -> bool:
        """Keep the place when it is beyond the cursor and among the first; whether it is, for now."""
        rank = self.rank(place)
        if self._after is not None and rank <= self._after:
            return False
        if self._worst is not None and rank >= self._worst:
            return False
        self._kept.append((rank, place))
        if len(self._kept) >= 2 * self._enough + 256:
            self._cut()
        return True

    @property
    def full(self) -> bool:
        """Whether a page and one more are kept."""
        return len(self._kept) >= self._enough

    def first(self) -> list[Place]:
        """A page and one more, in order."""
        self._cut()
        return [place for _, place in self._kept]

    def _cut(self) -> None:
        self._kept.sort(key=lambda kept: kept[0])
        del self._kept[self._enough :]
        if len(self._kept) == self._enough:
            self._worst = self._kept[-1][0]


class PageInTheMaking:
    """Records in the order of a query, until the page is full; one more tells that there is a next page."""

    def __init__(self, query: RecordQuery) -> None:
        self._query = query
        self._records: list[Record] = []
        self._size = 0
        self._last: Place | None = None
        self._more = False

    def is_over(self) -> bool:
        """Whether a record that is there need not be added any more; to be asked before each."""
        query = self._query
        full = len(self._records) >= query.limit
        heavy = bool(query.most_bytes) and bool(self._records) and self._size >= query.most_bytes
        self._more = full or heavy
        return self._more

    def add(self, place: Place, record: Record, size_bytes: int) -> None:
        """The next record."""
        self._records.append(record)
        self._size += size_bytes
        self._last = place

    def finished(self) -> RecordPage:
        """The page, with a cursor when there is more."""
        cursor = cursor_after(self._query, self._last) if self._more and self._last is not None else ""
        return RecordPage(tuple(self._records), cursor)


@dataclass(frozen=True, slots=True, eq=False)
class _Backwards:
    key: FieldKey

    def __lt__(self, other: _Backwards) -> bool:
        return other.key < self.key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Backwards) and self.key == other.key

    def __le__(self, other: _Backwards) -> bool:
        return other.key <= self.key

    def __hash__(self) -> int:
        return hash(self.key)


def cursor_after(query: RecordQuery, place: Place) -> str:
    """The page after this place, for the same model and order."""
    content = json.dumps(
        [_VERSION, place.created, [list(key) for key in place.keys]], separators=(",", ":")
    ).encode()
    sealed = crc32(_sealed(query) + content).to_bytes(4, "big") + content
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def place_after(query: RecordQuery) -> Place | None:
    """Where the page before ended; None for the first page.

    Raises:
        InvalidQueryError: the cursor was not made for this model and order.
    """
    if not query.after:
        return None
    try:
        return _read(query)
    except (ValueError, TypeError, binascii.Error, RecursionError):
        raise InvalidQueryError(
            "The cursor does not belong to this query.",
            hint="Use 'next_cursor' of the page before with the same model and order, or start without a cursor.",
        ) from None


def _read(query: RecordQuery) -> Place:
    text = query.after
    if len(text) > MAX_CURSOR_LENGTH:
        raise ValueError
    packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    seal, content = packed[:4], packed[4:]
    if crc32(_sealed(query) + content).to_bytes(4, "big") != seal:
        raise ValueError
    version, created, keys = json.loads(content)
    if version != _VERSION or type(created) is not int or not -_MOST_PLACE < created < _MOST_PLACE:
        raise ValueError
    if len(keys) != len(query.sort):
        raise ValueError
    return Place(tuple(_read_key(*key) for key in keys), created)


def _read_key(kind: object, value: object) -> FieldKey:
    if kind == NUMBER and isinstance(value, int | float) and not isinstance(value, bool):
        return NUMBER, _common(value)
    if kind == TEXT and isinstance(value, str):
        return TEXT, value[:SORTED_TEXT]
    if kind == UNORDERED:
        return UNORDERED, 0
    raise ValueError


def _sealed(query: RecordQuery) -> bytes:
    order = [[sort.field, sort.descending] for sort in query.sort]
    return json.dumps([query.model, query.descending, order]).encode()


def _common(number: float) -> float:
    """The number, when it is of a size that cursors hold; else the nearest that is."""
    if isinstance(number, int) and -(1 << 64) <= number <= 1 << 64:
        return number
    try:
        nearest = float(number)
    except OverflowError:
        nearest = math.inf if number > 0 else -math.inf
    return nearest if math.isfinite(nearest) else math.copysign(sys.float_info.max, nearest)
