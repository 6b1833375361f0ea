"""What is known of one model's records without looking at each: ids, keys, order, declared fields and words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from sortedcontainers import SortedList

from edgehost.adapters.storage.field_index import Candidates, FieldIndex
from edgehost.adapters.storage.record_codec import decode_record
from edgehost.adapters.storage.text_index import TextIndex
from edgehost.domain.record import Record
from edgehost.domain.record_query import Words


class ModelIndex:
    """The indexes over the documents of one model; ``documents`` is the store's own mapping."""

    def __init__(
        self,
        model: str,
        documents: Mapping[int, bytes],
        fields: Iterable[str] = (),
        text_fields: tuple[str, ...] = (),
    ) -> None:
        self.model = model
        self.documents = documents
        self.order: Any = SortedList(documents)
        self._ids: dict[str, int] = {}
        self._keys: dict[str, tuple[int, ...]] = {}
        self._fields: dict[str, FieldIndex] = {path: FieldIndex(path, complete=True) for path in fields}
        self._text = TextIndex(text_fields, complete=True) if text_fields else None
        for doc_id, raw in documents.items():
            self._note(doc_id, decode_record(model, raw))

    def add_field(self, path: str) -> FieldIndex:
        """Keep one more field from now on; the caller enters what is there already, then calls it complete."""
        return self._fields.setdefault(path, FieldIndex(path, complete=False))

    def add_text(self, fields: tuple[str, ...]) -> TextIndex:
        """Keep the words of these fields from now on, in place of other fields'; else as for ``add_field``."""
        self._text = TextIndex(fields, complete=False)
        return self._text

    def field(self, path: str) -> FieldIndex | None:
        """The index of a field, when it knows every record."""
        index = self._fields.get(path)
        return index if index is not None and index.complete else None

    def words(self, condition: Words) -> Candidates | None:
        """What full-text search finds; None when no index can tell."""
        return None if self._text is None else self._text.candidates(condition)

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
        if self._text is not None:
            self._text.discard(doc_id, record)

    def learn(self, doc_id: int, record: Record) -> None:
        """To be called once the document is stored."""
        self.order.add(doc_id)
        # The caller's data may have changed since it was written: fields are taken from what is stored.
        self._note(doc_id, self.record(doc_id) if self._fields or self._text else record)

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
        if self._text is not None:
            self._text.add(doc_id, record)
