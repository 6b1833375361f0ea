"""What is known of one model's records without looking at each: ids, keys, order and declared fields."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

from sortedcontainers import SortedList

from edgehost.adapters.storage.record_codec import decode_record, field_of
from edgehost.adapters.storage.record_matching import TEXT, kind_of
from edgehost.domain.record import Record
from edgehost.domain.record_query import Filter, Operator, RecordQuery

#: Later than every document.
_LAST_ID: Final = 1 << 62


class FieldIndex:
    """Numbers and texts of one field, sorted; ``candidates`` answers what has an order."""

    def __init__(self, path: str, *, complete: bool) -> None:
        self.path = path
        self.complete = complete  # knows every record: until then it cannot answer
        self._sorted: tuple[Any, Any] = (SortedList(), SortedList())

    def add(self, doc_id: int, record: Record) -> None:
        """Note the record's value, when it has one that can be sorted."""
        value = field_of(record, self.path)
        kind = kind_of(value)
        if kind is not None:
            self._sorted[kind].add((value, doc_id))

    def renew(self, doc_id: int, record: Record) -> None:
        """Note the record's value, which may have been noted before."""
        self.discard(doc_id, record)
        self.add(doc_id, record)

    def discard(self, doc_id: int, record: Record) -> None:
        """Forget the record's value."""
        value = field_of(record, self.path)
        kind = kind_of(value)
        if kind is not None:
            self._sorted[kind].discard((value, doc_id))

    def candidates(self, condition: Filter) -> Candidates | None:
        """The documents that can fulfil the condition; None when the index cannot tell."""
        value = condition.value
        kind = kind_of(value)
        if kind is None:
            return None
        entries = self._sorted[kind]
        first, last = 0, len(entries)
        match condition.operator:
            case Operator.EQ:
                first, last = entries.bisect_left((value, 0)), entries.bisect_left((value, _LAST_ID))
                return Candidates(entries, first, last, in_order=True)
            case Operator.LT:
                last = entries.bisect_left((value, 0))
            case Operator.LE:
                last = entries.bisect_left((value, _LAST_ID))
            case Operator.GT:
                first = entries.bisect_left((value, _LAST_ID))
            case Operator.GE:
                first = entries.bisect_left((value, 0))
            case Operator.PREFIX if kind == TEXT:
                first = entries.bisect_left((value, 0))
                beyond = _beyond_prefix(value)
                last = entries.bisect_left((beyond, 0)) if beyond else last
            case Operator.PREFIX | Operator.NE:
                return None
        return Candidates(entries, first, last, in_order=False)


def _beyond_prefix(prefix: str) -> str:
    """The first text after all that begin with the prefix; empty when there is none."""
    stem = prefix.rstrip(chr(sys.maxunicode))
    return stem[:-1] + chr(ord(stem[-1]) + 1) if stem else ""


class Candidates:
    """A stretch of a sorted index."""

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
        if after is not None:
            found = [doc_id for doc_id in found if (doc_id < after if descending else doc_id > after)]
        found.sort(reverse=descending)
        return found

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


class ModelIndex:
    """The indexes over the documents of one model; ``documents`` is the store's own mapping."""

    def __init__(self, model: str, documents: Mapping[int, bytes], fields: Iterable[str] = ()) -> None:
        self.model = model
        self.documents = documents
        self.order: Any = SortedList(documents)
        self._ids: dict[str, int] = {}
        self._keys: dict[str, tuple[int, ...]] = {}
        self._fields: dict[str, FieldIndex] = {path: FieldIndex(path, complete=True) for path in fields}
        for doc_id, raw in documents.items():
            self._note(doc_id, decode_record(model, raw))

    def add_field(self, path: str) -> FieldIndex:
        """Keep one more field from now on; the caller enters what is there already, then calls it complete."""
        return self._fields.setdefault(path, FieldIndex(path, complete=False))

    def current(self, record_id: str) -> tuple[int, str] | None:
        """Document and revision of a record."""
        doc_id = self._ids.get(record_id)
        return None if doc_id is None else (doc_id, self.record(doc_id).revision)

    def doc_id(self, record_id: str) -> int | None:
        """The document that holds the record."""
        return self._ids.get(record_id)

    def record(self, doc_id: int) -> Record:
        """The record that the document holds."""
        return decode_record(self.model, self.documents[doc_id])

    def first_with_key(self, key: str) -> int | None:
        """The earliest document with this idempotency key."""
        doc_ids = self._keys.get(key)
        return doc_ids[0] if doc_ids else None

    def forget(self, doc_id: int) -> None:
        """To be called before a stored document is replaced or removed."""
        raw = self.documents.get(doc_id)
        if raw is None:
            return
        record = decode_record(self.model, raw)
        self.order.discard(doc_id)
        self._ids.pop(record.id, None)
        if record.idempotency_key:
            others = tuple(d for d in self._keys.pop(record.idempotency_key, ()) if d != doc_id)
            if others:
                self._keys[record.idempotency_key] = others
        for index in self._fields.values():
            index.discard(doc_id, record)

    def learn(self, doc_id: int, record: Record) -> None:
        """To be called once the document is stored."""
        self.order.add(doc_id)
        # The caller's data may have changed since it was written: fields are taken from what is stored.
        self._note(doc_id, self.record(doc_id) if self._fields else record)

    def plan(self, query: RecordQuery, after: int | None) -> list[int] | None:
        """The few documents that can match, by the most selective index; None when none serves."""
        best: Candidates | None = None
        for condition in query.filters:
            if condition.field == "id" and condition.operator is Operator.EQ:
                doc_id = self._ids.get(condition.value) if isinstance(condition.value, str) else None
                return [] if doc_id is None or not _beyond(doc_id, after, query) else [doc_id]
            index = self._fields.get(condition.field)
            candidates = index.candidates(condition) if index and index.complete else None
            if candidates is not None and (best is None or len(candidates) < len(best)):
                best = candidates
        if best is None:
            return None
        enough = query.limit + 1 if len(query.filters) == 1 else len(best)
        return best.doc_ids(after, descending=query.descending, enough=enough)

    def next_slice(self, after: int | None, size: int, *, descending: bool) -> list[int]:
        """Up to ``size`` documents beyond ``after``, in order of creation."""
        if descending:
            found: Iterator[int] = self.order.irange(maximum=after, inclusive=(True, False), reverse=True)
        else:
            found = self.order.irange(minimum=after, inclusive=(False, True))
        return list(islice(found, size))

    def _note(self, doc_id: int, record: Record) -> None:
        self._ids[record.id] = doc_id
        key = record.idempotency_key
        if key:
            self._keys[key] = tuple(sorted((*self._keys.get(key, ()), doc_id)))
        for index in self._fields.values():
            index.add(doc_id, record)


def _beyond(doc_id: int, after: int | None, query: RecordQuery) -> bool:
    return after is None or (doc_id < after if query.descending else doc_id > after)
