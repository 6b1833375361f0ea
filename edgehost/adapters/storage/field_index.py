"""One field of a model's records, sorted: ranges of it, and all of it in order."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, Protocol

from sortedcontainers import SortedList

from edgehost.domain.record import Record
from edgehost.domain.record_conditions import TEXT, field_of, kind_of
from edgehost.domain.record_order import SORTED_TEXT, UNORDERED, FieldKey, field_key
from edgehost.domain.record_query import Filter, Operator

#: Later than every document.
LAST_ID: Final = 1 << 62
#: Beyond, a number's sort key may be rounded.
_EXACT_NUMBER: Final = 1 << 64
_KINDS: Final = (UNORDERED, 0, 1)


class Candidates(Protocol):
    """Documents that may fulfil a condition: no other does."""

    exact: bool  # and each of these does

    def __len__(self) -> int:
        """How many, at most."""
        ...

    def doc_ids(self, after: int | None, *, descending: bool, enough: int) -> list[int]:
        """The documents beyond ``after``, in the order of creation; ``enough`` of them when that costs less."""
        ...


class FieldIndex:
    """Every record's value, by kind; ``candidates`` answers what has an order."""

    def __init__(self, path: str, *, complete: bool) -> None:
        self.path = path
        self.complete = complete  # knows every record: until then it cannot answer
        self._sorted: tuple[Any, Any, Any] = (SortedList(), SortedList(), SortedList())

    def add(self, doc_id: int, record: Record) -> None:
        """Note the record's value."""
        kind, value = _entry(record, self.path)
        self._sorted[kind + 1].add((value, doc_id))

    def renew(self, doc_id: int, record: Record) -> None:
        """Note the record's value, which may have been noted before."""
        self.discard(doc_id, record)
        self.add(doc_id, record)

    def discard(self, doc_id: int, record: Record) -> None:
        """Forget the record's value."""
        kind, value = _entry(record, self.path)
        self._sorted[kind + 1].discard((value, doc_id))

    def candidates(self, condition: Filter) -> Stretch | None:
        """The documents that fulfil the condition; None when the index cannot tell."""
        value = condition.value
        kind = kind_of(value)
        if kind is None:
            return None
        entries = self._sorted[kind + 1]
        first, last = 0, len(entries)
        match condition.operator:
            case Operator.EQ:
                first, last = entries.bisect_left((value, 0)), entries.bisect_left((value, LAST_ID))
                return Stretch(entries, first, last, in_order=True)
            case Operator.LT:
                last = entries.bisect_left((value, 0))
            case Operator.LE:
                last = entries.bisect_left((value, LAST_ID))
            case Operator.GT:
                first = entries.bisect_left((value, LAST_ID))
            case Operator.GE:
                first = entries.bisect_left((value, 0))
            case Operator.PREFIX if kind == TEXT:
                first = entries.bisect_left((value, 0))
                beyond = beyond_prefix(value)
                last = entries.bisect_left((beyond, 0)) if beyond else last
            case _:
                return None
        return Stretch(entries, first, last, in_order=False)

    def next_in_order(
        self, kind: int, after: tuple[Any, int] | None, size: int, *, descending: bool
    ) -> list[tuple[Any, int]]:
        """Up to ``size`` values and documents of one kind beyond an entry, from the least or from the greatest."""
        entries = self._sorted[kind + 1]
        if descending:
            found: Iterator[tuple[Any, int]] = entries.irange(
                maximum=after, inclusive=(True, False), reverse=True
            )
        else:
            found = entries.irange(minimum=after, inclusive=(False, True))
        return list(islice(found, size))


def kinds_in_order(*, descending: bool) -> tuple[int, ...]:
    """Which kind of value comes first."""
    return _KINDS[::-1] if descending else _KINDS


def key_is_exact(key: FieldKey) -> bool:
    """Whether only one value has this sort key."""
    kind, value = key
    if kind == TEXT:
        return len(value) < SORTED_TEXT
    return kind == UNORDERED or -_EXACT_NUMBER < value < _EXACT_NUMBER


def entry_before(key: FieldKey, *, descending: bool) -> tuple[Any, int] | None:
    """An entry that stands before all that have the sort key, in the direction of the walk."""
    kind, value = key
    if kind == UNORDERED:
        return None
    if kind == TEXT:
        if not descending:
            return value, -1
        beyond = beyond_prefix(value) if len(value) == SORTED_TEXT else ""
        if beyond:
            return beyond, 0
        return None if len(value) == SORTED_TEXT else (value, LAST_ID)
    if key_is_exact(key):
        return value, LAST_ID if descending else -1
    return math.nextafter(value, math.inf if descending else -math.inf), LAST_ID if descending else -1


def beyond_prefix(prefix: str) -> str:
    """The first text after all that begin with the prefix; empty when there is none."""
    stem = prefix.rstrip(chr(sys.maxunicode))
    return stem[:-1] + chr(ord(stem[-1]) + 1) if stem else ""


class Stretch:
    """A stretch of a sorted index; valid until the loop turns."""

    exact = True

    def __init__(self, entries: Any, first: int, last: int, *, in_order: bool) -> None:  # noqa: ANN401  untyped library
        self._entries = entries
        self._first = first
        self._last = last
        self._in_order = in_order

    def __len__(self) -> int:
        return max(0, self._last - self._first)

    def doc_ids(self, after: int | None, *, descending: bool, enough: int) -> list[int]:
        """The documents beyond ``after``, in the order of creation; ``enough`` of them when that costs less."""
        if self._in_order and len(self):
            return self._doc_ids_of_one_value(after, descending=descending, enough=enough)
        found = [doc_id for _, doc_id in self._entries.islice(self._first, self._last)]
        return in_creation_order(found, after, descending=descending)

    def _doc_ids_of_one_value(self, after: int | None, *, descending: bool, enough: int) -> list[int]:
        first, last = self._first, self._last
        value = self._entries[first][0]
        if descending:
            last = last if after is None else self._entries.bisect_left((value, after))
            stretch = self._entries.islice(max(first, last - enough), last, reverse=True)
        else:
            first = first if after is None else self._entries.bisect_left((value, after + 1))
            stretch = self._entries.islice(first, min(last, first + enough))
        return [doc_id for _, doc_id in stretch]


def in_creation_order(doc_ids: list[int], after: int | None, *, descending: bool) -> list[int]:
    """The documents beyond ``after``, sorted."""
    if after is not None:
        doc_ids = [doc_id for doc_id in doc_ids if (doc_id < after if descending else doc_id > after)]
    doc_ids.sort(reverse=descending)
    return doc_ids


def _entry(record: Record, path: str) -> tuple[int, Any]:
    value = field_of(record, path)
    kind = kind_of(value)
    return (UNORDERED, 0) if kind is None else (kind, value)


def key_of_entry(kind: int, value: Any) -> FieldKey:  # noqa: ANN401  numbers or texts
    """The sort key of a value that the index holds."""
    return (UNORDERED, 0) if kind == UNORDERED else field_key(value)
