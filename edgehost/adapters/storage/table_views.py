"""Tables of serialised documents as TinyDB sees them: to read, and to work on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from edgehost.adapters.storage.document_codec import decode_document, encode_document
from edgehost.adapters.storage.journal_lines import Change


class TableView(Mapping[str, Any]):
    """A table as TinyDB reads it; every access decodes a fresh copy."""

    def __init__(self, documents: Mapping[int, bytes]) -> None:
        self._documents = documents

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401  a document holds any JSON value
        try:
            return decode_document(self._documents[int(key)])
        except ValueError as error:
            raise KeyError(key) from error

    def __iter__(self) -> Iterator[str]:
        return iter([str(doc_id) for doc_id in self._documents])

    def __len__(self) -> int:
        return len(self._documents)


class TableDraft(MutableMapping[int, Any]):
    """What an updater of TinyDB works on: it decodes what is touched, and remembers it."""

    def __init__(self, documents: Mapping[int, bytes]) -> None:
        self._documents = documents
        self._touched: dict[int, Any] = {}
        self._deleted: set[int] = set()

    def __contains__(self, doc_id: object) -> bool:
        return doc_id not in self._deleted and (doc_id in self._touched or doc_id in self._documents)

    def __getitem__(self, doc_id: int) -> Any:  # noqa: ANN401  a document holds any JSON value
        if doc_id not in self:
            raise KeyError(doc_id)
        if doc_id not in self._touched:
            self._touched[doc_id] = decode_document(self._documents[doc_id])
        return self._touched[doc_id]

    def __setitem__(self, doc_id: int, document: Any) -> None:  # noqa: ANN401
        self._deleted.discard(doc_id)
        self._touched[doc_id] = document

    def __delitem__(self, doc_id: int) -> None:
        if doc_id not in self:
            raise KeyError(doc_id)
        self._touched.pop(doc_id, None)
        self._deleted.add(doc_id)

    def __iter__(self) -> Iterator[int]:
        yield from [doc_id for doc_id in self._documents if doc_id not in self._deleted]
        yield from [doc_id for doc_id in self._touched if doc_id not in self._documents]

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def clear(self) -> None:
        """See MutableMapping."""
        self._touched.clear()
        self._deleted.update(self._documents)

    def changes(self, table: str, limit_bytes: int) -> list[Change]:
        """What the updater did."""
        found = [Change("del", table, doc_id) for doc_id in self._deleted if doc_id in self._documents]
        for doc_id, document in self._touched.items():
            raw = encode_document(document, limit_bytes=limit_bytes)
            if self._documents.get(doc_id) != raw:
                found.append(Change("put", table, doc_id, raw))
        return found
